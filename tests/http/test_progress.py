"""Progress bars: shown in terminals and notebooks, silent elsewhere, with rate limit waits."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from tqdm.std import tqdm

import llama_batches_nb as lb
from llama_batches_nb.http import progress
from tests.conftest import Serve
from tests.servers import Response, batch, mapping, page, responses_in_turn


class Recorder(tqdm):  # type: ignore[type-arg]
    """A bar that records its texts and its final counts."""

    shown: list[str]
    ends: list[tuple[str, float]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "file": io.StringIO()})

    def close(self) -> None:
        type(self).ends.append((self.desc, self.n))
        super().close()

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        type(self).shown.append(s)


@pytest.mark.parametrize("delay", [0, 60])
def test_notebook_bar_leaves_no_widget(monkeypatch: pytest.MonkeyPatch, delay: int) -> None:
    from ipywidgets.widgets.widget import _instances

    monkeypatch.setattr(progress, "DELAY", delay)
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    before = set(_instances)
    for total in (3, None):
        with progress.progress_bar(None, "things", unit="thing", total=total) as shown:
            shown.advance(2)
    assert set(_instances) == before


@pytest.mark.parametrize(("shell", "shown"), [({"kernel": object()}, True), ({}, False)])
def test_shell_with_a_kernel_is_a_notebook(
    shell: dict[str, Any], shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import IPython

    found = type("DatabricksShell", (), shell)()
    monkeypatch.setattr(IPython, "get_ipython", lambda: found)
    assert progress._in_notebook() is shown


@pytest.fixture(autouse=True)
def _forget() -> None:
    Recorder.shown, Recorder.ends = [], []


def test_no_bar_without_a_terminal(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve(lambda request: page([batch("bat-1")]))
    lb.fetch_batches()
    lb.fetch_batches(progress=False)
    assert capsys.readouterr() == ("", "")


def test_bar_is_shown_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "DELAY", 0)
    with progress.progress_bar(None, "things", unit="thing", total=3) as shown:
        shown.advance(2)
    assert "things:" in capsys.readouterr().err


def test_requested_bar_is_shown_even_if_the_call_is_short(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(lambda request: page([batch("bat-1")]))
    lb.fetch_batches(progress=True)
    assert "1 batch" in capsys.readouterr().err


def test_tqdm_like_class_is_used_as_bar(serve: Serve) -> None:
    serve(lambda request: page([batch("bat-1"), batch("bat-2")]))
    lb.fetch_batches(progress=Recorder)
    assert set(Recorder.ends) == {("batches", 2)}  # its destructor closes it once more


def test_bar_shows_rate_limit_wait(serve: Serve) -> None:
    refusal = Response(status=429, headers={"Retry-After": "0.6"})
    serve(responses_in_turn([refusal, batch("bat-1", results=[mapping("dfl-1")])]))
    lb.fetch_results("bat-1", progress=Recorder)
    assert "rate limit, waiting 1 s" in Recorder.shown


def test_total_below_the_count_is_ignored(serve: Serve) -> None:
    with progress.progress_bar(Recorder, "things", unit="thing") as shown:
        shown.set_total(10)
        shown.advance(4)
        shown.set_total(2)  # less than the count: ignored
        assert (shown._bar.n, shown._bar.total) == (4, 10)
        shown.set_count(3)
        assert shown._bar.n == 3


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("total", [98, None])
def test_text_after_the_bar_is_shown_in_a_narrow_terminal(width: int, total: int | None) -> None:
    text = "rate limit, waiting 2 s · 637 pages, 0.8 MB"
    line = progress.FittingBar.format_meter(
        n=95,
        total=total,
        elapsed=24,
        ncols=width,
        prefix="saving",
        unit=" file",
        rate=0.5,
        postfix=text,
    )
    assert text in line
    assert len(line) <= width
    assert (" 2.00s/file, " in line) == (width == 120)


def test_wait_is_not_part_of_the_last_state(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bar(True, "things", unit="thing", total=3) as shown:
        shown.set_postfix("5 rows")
        shown.show_rate_limit_wait(7)
        assert "rate limit, waiting 7 s · 5 rows" in capsys.readouterr().err
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert "5 rows" in last
    assert "waiting" not in last


START_METHOD = """
import multiprocessing, sys
import llama_batches_nb as lb

with lb.connect("llx-1", base_url=sys.argv[1]):
    lb.fetch_batches(progress=True)
multiprocessing.set_start_method("spawn")
"""


def test_bar_leaves_the_start_method_of_processes_to_the_user(serve: Serve) -> None:
    url = serve(lambda request: page([batch("bat-1")])).url
    command = [sys.executable, "-c", START_METHOD, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
