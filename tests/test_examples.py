"""The examples in docstrings run unchanged on a sandbox."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import llama_batches_nb as lb

ROOT = Path(__file__).parent.parent
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for module in pkgutil.walk_packages(lb.__path__, "llama_batches_nb."):
        if not module.name.endswith("__main__"):
            for test in finder.find(importlib.import_module(module.name)):
                if test.examples:
                    found[test.name] = test
    return list(found.values())


@pytest.mark.filterwarnings("ignore:Directory .* has other batches")  # of other examples
@pytest.mark.parametrize("example", _examples(), ids=lambda example: example.name)
def test_docstring_example_runs(
    example: doctest.DocTest,
    on_sandbox: lb.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=failures.append)
    assert not failures, "".join(failures)


def test_readme_names_every_public_function() -> None:
    text = (ROOT / "README.md").read_text()
    missing = [n for n in lb.__all__ if n.islower() and f"`{n}" not in text]
    assert not missing
