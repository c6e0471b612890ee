"""Tracebacks in notebooks show the user's line and the message; functions stay what they are."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pydoc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import pandas as pd
import pytest
from IPython.core.ultratb import FormattedTB

import llama_batches_nb as lb
from llama_batches_nb.fetch import batches
from tests.conftest import Serve
from tests.servers import Response

FUNCTIONS = [name for name in lb.__all__ if isinstance(getattr(lb, name), FunctionType)]
PACKAGE = str(Path(lb.__file__).parent)


def _shown(error: BaseException) -> list[str]:
    """Return the lines that IPython shows for an error."""
    formatter = FormattedTB(mode="Context", theme_name="nocolor")  # type: ignore[no-untyped-call]
    parts = formatter.structured_traceback(type(error), error, error.__traceback__)
    return "\n".join(parts).splitlines()


CALLS: dict[str, Callable[[], object]] = {
    "unknown status": lambda: lb.fetch_batches(status="FAILD"),  # type: ignore[arg-type]
    "no frame": lambda: lb.plot_outcomes(5),  # type: ignore[arg-type]
    "no column": lambda: lb.outcomes(pd.DataFrame({"a": [1]})),
    "no id": lambda: lb.create_batch("", "cfg-1"),
    "setting": lambda: lb.connect(timeout=-1),
    "panel": lambda: lb.filter_panel(status="FAILD"),  # type: ignore[arg-type]
    "rejected": lambda: lb.fetch_results("bat-1"),
    "rejected key of a sync": lambda: lb.sync_dataset("kept"),
}


@pytest.mark.parametrize("call", CALLS)
def test_traceback_in_a_notebook_is_short(
    serve: Serve, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    serve(lambda request: Response({"detail": "no"}, 401), max_retries=0)
    with pytest.raises((ValueError, TypeError, lb.BatchesError)) as caught:
        CALLS[call]()
    lines = _shown(caught.value)
    internal = [n for n, line in enumerate(lines) if line.startswith(f"File {PACKAGE}")]
    assert len(internal) == 1, "\n".join(lines)
    assert len(lines) - internal[0] <= 12
    assert str(caught.value) in lines[-1]


def test_traceback_of_an_unexpected_error_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise KeyError("unexpected")

    monkeypatch.setattr(batches, "parse_filters", fail, raising=False)
    monkeypatch.setattr(batches, "get_client", fail)
    with pytest.raises(KeyError) as caught:
        lb.fetch_batches()
    assert any("in fetch_batches" in line for line in _shown(caught.value))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_keeps_its_signature_help_and_pickle(name: str) -> None:
    function = getattr(lb, name)
    written = inspect.unwrap(function)
    assert inspect.signature(function) == inspect.signature(written)
    assert inspect.getdoc(function) == inspect.getdoc(written)
    assert f"{name}(" in pydoc.plain(pydoc.render_doc(function)).splitlines()[2]
    assert inspect.getsource(function) == inspect.getsource(written)
    assert pickle.loads(pickle.dumps(function)) is function
    assert pickle.loads(pickle.dumps(written)) is written
    assert getattr(importlib.import_module(written.__module__), name) is written
    assert sys.modules[function.__module__] is lb
