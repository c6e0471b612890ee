"""Notebooks run from top to bottom in a fresh kernel; articles are saved with outputs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from http.client import HTTPConnection
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlencode

import nbformat
import pytest
from nbformat import NotebookNode

from tests.browser.serving import Process, free_port
from tests.notebooks import ARTICLES, FOLDER, execute, outputs

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
DASHBOARD = FOLDER / "dashboard.ipynb"
MAX_SAVED_SIZE = 500_000  # bytes of a notebook with its outputs
MACHINE_PATH = re.compile(r"(?:/(?:home|root|tmp|Users|work)/|127\.0\.0\.1|localhost|[A-Z]:\\\\)")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_only_articles_are_saved_with_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    if path not in ARTICLES:
        assert not outputs(notebook)
        assert all(cell.get("execution_count") is None for cell in notebook.cells)
        return
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))  # executed once, from top to bottom


@pytest.mark.parametrize("path", ARTICLES, ids=lambda path: path.name)
def test_saved_outputs_are_small_and_name_no_machine(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text) < MAX_SAVED_SIZE
    saved = outputs(nbformat.reads(text, as_version=4))
    assert any("image/png" in output.get("data", {}) for output in saved)
    for output in saved:
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        data = output.get("data", {})
        shown = [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
        assert not MACHINE_PATH.search("".join(shown))


def execute_strictly(notebook: NotebookNode, folder: Path) -> list[NotebookNode]:
    """Run a notebook where warnings are errors, and return its outputs."""
    strict = nbformat.v4.new_code_cell("import warnings\nwarnings.simplefilter('error')")
    notebook.cells.insert(0, strict)
    execute(notebook, folder)
    return outputs(notebook)


def is_progress_bar(output: NotebookNode) -> bool:
    """Return whether an output is a bar, which is shown only if a call takes long enough."""
    kinds = set(output.get("data", {}))
    return output.output_type == "display_data" and not kinds & {"text/html", "image/png"}


def shapes(notebook_outputs: list[NotebookNode]) -> list[object]:
    """Return the shape of each output other than progress bars."""
    return [shape(output) for output in notebook_outputs if not is_progress_bar(output)]


def shape(output: NotebookNode) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return what an output has in common with that of another run: kinds, and table columns."""
    data = output.get("data", {})
    header = data.get("text/html", "").partition("</thead>")[0]
    return output.output_type, tuple(sorted(data)), tuple(re.findall(r"<th>(.*?)</th>", header))


@pytest.mark.notebook
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p != DASHBOARD], ids=lambda p: p.name)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWS", "200000")  # of at_scale
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER), *sys.path]))  # make_history.py
    notebook = nbformat.read(path, as_version=4)
    saved = shapes(outputs(notebook))
    fresh = execute_strictly(notebook, tmp_path)
    assert any("image/png" in output.get("data", {}) for output in fresh)
    errors = [output.text for output in fresh if output.get("name") == "stderr"]
    assert not errors, errors
    if path in ARTICLES:
        assert shapes(fresh) == saved


@pytest.mark.notebook
def test_saved_dashboard_shows_charts_without_kernel(tmp_path: Path) -> None:
    notebook = nbformat.read(DASHBOARD, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("board.wait()"))
    shown = execute_strictly(notebook, tmp_path)
    kept = "".join(output.get("data", {}).get("text/html", "") for output in shown)
    assert kept.count("lb-wide") == 1
    assert "Most frequent error patterns" in kept
    assert "Cost effective" in kept
    assert not [output.text for output in shown if output.get("name") == "stderr"]


@pytest.mark.notebook
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_served_dashboard_requires_its_token(host: str, tmp_path: Path) -> None:
    for name in (DASHBOARD.name, "voila.json"):
        shutil.copy(DASHBOARD.with_name(name), tmp_path)
    port = free_port()
    command = [sys.executable, "-m", "voila", DASHBOARD.name, "--no-browser"]
    command += ["--Voila.ip=127.0.0.1", f"--port={port}"]
    with Process(command, port=port, token="", folder=tmp_path, env=os.environ) as voila:
        voila.wait_until_it_answers("/login")
        for path in ("/", "/voila/render/dashboard.ipynb"):
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Location"]) == (302, _login(path))
            connection.close()
        assert f"http://127.0.0.1:{port}/?token=" in voila.log()
        assert "Kernel started" not in voila.log()


def _login(path: str) -> str:
    return f"/login?{urlencode({'next': path})}"


@pytest.mark.notebook
def test_saved_progress_bar_shows_final_state(tmp_path: Path) -> None:
    lines = """
        import time
        from llama_batches_nb.http.progress import progress_bar
        with progress_bar(None, "things", unit="thing") as shown:
            shown.set_total(20)
            for _ in range(20):
                time.sleep(0.04)
                shown.advance()
        with progress_bar(None, "few", unit="thing", total=1) as shown:
            shown.advance()
    """
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(dedent(lines))], metadata={}
    )
    (shown,) = execute_strictly(notebook, tmp_path)
    assert "things: 100%" in shown.data["text/plain"]
    assert "20/20" in shown.data["text/plain"]
