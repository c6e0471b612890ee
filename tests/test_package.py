"""What `import llama_batches_nb` brings, and how the public functions present themselves."""

from __future__ import annotations

import ast
import importlib
import inspect
import operator
import pkgutil
import signal
import subprocess
import sys

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http.interrupts import defer_interrupts

FUNCTIONS = [name for name in lb.__all__ if inspect.isfunction(getattr(lb, name))]


def test_import_is_light() -> None:
    heavy = ["ipywidgets", "matplotlib", "fastapi", "IPython", "tqdm", "requests", "narwhals"]
    code = f"import sys, llama_batches_nb; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_first_request_without_frames_imports_no_engine() -> None:
    code = "import sys, llama_batches_nb as lb; lb.connect('llx-key'); lb.fetch_batches; "
    code += "print([m for m in ('narwhals', 'polars', 'duckdb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


INTERRUPTED = """
import os, signal, sys
import llama_batches_nb as lb

class Interrupting:
    def find_spec(self, name, *args):
        if name == "fsspec.transaction":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
errors = []
for turn in range(2):
    try:
        lb.read_parquet("nothing")
    except BaseException as error:
        errors.append(type(error).__name__)
print(*errors)
"""


def test_interrupted_first_call_does_not_break_the_next_call() -> None:
    """What is interrupted while it is imported may not be importable again."""
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["KeyboardInterrupt", "FileNotFoundError"]


def test_names_for_type_checkers_are_those_at_run_time() -> None:
    """The names that are imported on first use are listed for type checkers and at run time."""
    imported = {
        alias.name: node.module
        for node in ast.walk(ast.parse(inspect.getsource(lb)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is None
    }
    assert sorted(imported) == lb.__all__
    for name, module in imported.items():
        assert getattr(lb, name).__qualname__ == name
        assert inspect.unwrap(getattr(lb, name)) is getattr(sys.modules[str(module)], name)


MODULES = [
    module.name
    for module in pkgutil.walk_packages(lb.__path__, "llama_batches_nb.")
    if not module.name.endswith("__main__")
]


@defer_interrupts()
def _interrupted_import() -> None:
    signal.raise_signal(signal.SIGINT)
    raise ImportError


def test_interrupt_of_a_failed_import_is_not_lost() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    try:
        with pytest.raises(KeyboardInterrupt):
            _interrupted_import()
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_can_be_imported_by_path_in_every_form(name: str) -> None:
    parent, _, module = name.rpartition(".")
    names: dict[str, object] = {}
    exec(f"import {name} as first\nfrom {parent} import {module} as second\nimport {name}", names)
    third = operator.attrgetter(name.partition(".")[2])(lb)
    assert names["first"] is names["second"] is third is sys.modules[name]


def test_no_public_function_is_hidden_by_a_module() -> None:
    for name in MODULES:
        importlib.import_module(name)
    assert all(callable(getattr(lb, name)) for name in FUNCTIONS)


def test_pydoc_finds_modules_by_path() -> None:
    command = [sys.executable, "-m", "pydoc", "llama_batches_nb.sandbox_server.options"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "class Options" in done.stdout


def test_all_is_sorted_and_documented() -> None:
    assert lb.__all__ == sorted(lb.__all__)
    for name in lb.__all__:
        assert getattr(lb, name).__doc__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_function_documents_its_parameters_with_an_example(name: str) -> None:
    function = getattr(lb, name)
    doc = inspect.getdoc(function) or ""
    assert ">>> " in doc
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        assert parameter.name in doc, f"{name}: {parameter.name} is not described"
        assert parameter.annotation is not inspect.Parameter.empty


@pytest.mark.parametrize(
    "name", [n for n in FUNCTIONS if "client" in inspect.signature(getattr(lb, n)).parameters]
)
def test_client_is_keyword_only(name: str) -> None:
    client, *others = inspect.signature(getattr(lb, name)).parameters.values()
    if client.name != "client":  # it comes first in panels, which are made of nothing else
        (client,) = [other for other in others if other.name == "client"]
        assert client.kind is inspect.Parameter.KEYWORD_ONLY
    assert client.default is None


def test_errors_share_a_base_class_and_can_be_pickled() -> None:
    import pickle

    errors = [getattr(lb, name) for name in lb.__all__ if name.endswith("Error")]
    for kind in errors:
        assert issubclass(kind, lb.BatchesError)
        error = kind("words", status_code=418, retry_after=2.0)
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.status_code, again.retry_after) == ("words", 418, 2.0)
