"""A fake project to sync, and local folders and URLs to sync to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.conftest import Serve
from tests.dataset.checks import EVERY_CALL
from tests.dataset.stores import EMULATORS, new_bucket
from tests.fake_api import FakeApi

EMULATED = [
    # The packages of the stores warn of their own deprecations.
    pytest.param(name, marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore")])
    for name in EMULATORS
]


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read damaged datasets again at once."""
    monkeypatch.setattr("llama_batches_nb.dataset.read.RETRY_DELAY", 0.0)


@pytest.fixture
def api(serve: Serve) -> FakeApi:
    """Serve a fake project, and connect to it."""
    api = FakeApi(page_size=4)
    serve(api, max_retries=0)
    return api


@pytest.fixture
def memory_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the URL of a folder in memory that does not exist yet."""

    def put_file(self: MemoryFileSystem, source: str, path: str) -> None:
        self.pipe_file(path, Path(source).read_bytes())  # at once, as object stores do

    def open_(self: MemoryFileSystem, path: str, mode: str = "rb", **options: Any) -> Any:
        file = open_shared(self, path, mode, **options)
        return BytesIO(file.getvalue()) if mode == "rb" else file  # each reader has its position

    open_shared = MemoryFileSystem._open
    monkeypatch.setattr(MemoryFileSystem, "_open", open_)
    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    yield "memory://tests/dataset"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/tests"):
        filesystem.rm("/tests", recursive=True)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a local path at which nothing exists yet."""
    return str(tmp_path / "new" / "dataset")


@pytest.fixture(params=["local", "url"])
def each_path(request: pytest.FixtureRequest, path: str, memory_url: str) -> str:
    """Return a local path and a URL at which nothing exists yet."""
    return path if request.param == "local" else memory_url


@pytest.fixture(scope="session")
def emulators() -> Iterator[Callable[[str], dict[str, str]]]:
    """Return a function that starts the emulator of a store once."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(EMULATORS[name]()))


@pytest.fixture(params=EMULATED)
def bucket(
    request: pytest.FixtureRequest, emulators: Callable[[str], dict[str, str]]
) -> Iterator[str]:
    """Return the URL of an empty bucket of each object store."""
    with new_bucket(request.param, emulators(request.param)) as url:
        yield url


@pytest.fixture(params=["memory", *EMULATED])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a URL at which nothing exists yet, of each store."""
    yield from _new_url(request)


def _new_url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param in EMULATORS:
        environment = request.getfixturevalue("emulators")(request.param)
        with new_bucket(request.param, environment) as url:
            yield f"{url}/dataset"
    else:
        yield request.getfixturevalue("memory_url")


@pytest.fixture(params=["memory", *(EMULATED if EVERY_CALL else [])])
def sampled_store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a URL of a store in memory; of each store only in `make reliability`."""
    yield from _new_url(request)
