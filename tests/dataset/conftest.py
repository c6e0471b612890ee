"""A fake project to sync, and a local folder and a URL to sync to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.conftest import Serve
from tests.fake_api import FakeApi


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

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    yield "memory://tests/dataset"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/tests"):
        filesystem.rm("/tests", recursive=True)


@pytest.fixture(params=["local", "url"])
def path(request: pytest.FixtureRequest, tmp_path: Path, memory_url: str) -> str:
    """Return a local path and a URL at which nothing exists yet."""
    return str(tmp_path / "new" / "dataset") if request.param == "local" else memory_url
