"""Each notebook runs from top to bottom in a fresh kernel, and is saved without outputs."""

from __future__ import annotations

import os
import shutil
import sys
from http.client import HTTPConnection
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlencode

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.browser.serving import Process, free_port

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
DASHBOARD = NOTEBOOKS[0].with_name("dashboard.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_saved_without_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client


def outputs_of(notebook: NotebookNode, folder: Path) -> list[NotebookNode]:
    """Run a notebook in a fresh kernel where warnings are errors, and return what it showed."""
    strict = nbformat.v4.new_code_cell("import warnings\nwarnings.simplefilter('error')")
    notebook.cells.insert(0, strict)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.notebook
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p != DASHBOARD], ids=lambda p: p.name)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWS", "200000")  # of at_scale
    monkeypatch.setenv("PYTHONPATH", str(path.parent))  # it runs a script that lies beside it
    outputs = outputs_of(nbformat.read(path, as_version=4), tmp_path)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    errors = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not errors, errors


@pytest.mark.notebook
def test_the_dashboard_shows_its_charts_without_a_kernel_too(tmp_path: Path) -> None:
    notebook = nbformat.read(DASHBOARD, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("board.wait()"))
    outputs = outputs_of(notebook, tmp_path)
    kept = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    assert kept.count("data:image/png") == 1
    assert "Worst error patterns" in kept
    assert "Cost effective" in kept
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@pytest.mark.notebook
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_the_dashboard_is_a_web_page_for_those_with_its_address(host: str, tmp_path: Path) -> None:
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
def test_a_bar_is_saved_as_it_ended(tmp_path: Path) -> None:
    lines = """
        import time
        from llama_batches_nb.http.progress import progress_bar as bar
        with bar(None, "things", unit="thing") as shown:
            shown.set_total(20)
            for _ in range(20):
                time.sleep(0.04)
                shown.advance()
        with bar(None, "few", unit="thing", total=1) as shown:
            shown.advance()
    """
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(dedent(lines))], metadata={}
    )
    (shown,) = outputs_of(notebook, tmp_path)
    assert "things: 100%" in shown.data["text/plain"]
    assert "20/20" in shown.data["text/plain"]
