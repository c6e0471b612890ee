"""`Storage` writes files atomically and behaves alike for local folders and URLs."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from llama_batches_nb.dataset.storage import Storage


@pytest.fixture(params=["local", "url"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Return the storage of a folder that does not exist yet."""
    if request.param == "local":
        yield Storage(tmp_path / "deep" / "place")
        return
    filesystem = fsspec.filesystem("memory")
    yield Storage("memory://stored/place")
    if filesystem.exists("/stored"):
        filesystem.rm("/stored", recursive=True)


def test_put_get_list_and_remove(storage: Storage) -> None:
    assert storage.names() == []
    assert storage.get("a/b.txt") is None
    storage.put("a/b.txt", b"one")
    storage.put("c.txt", b"")
    storage.put("a/b.txt", b"two")
    assert storage.get("a/b.txt") == b"two"
    assert storage.get("c.txt") == b""
    assert storage.names() == ["a/b.txt", "c.txt"]
    assert not storage.is_file()
    storage.remove(["a/b.txt", "never.txt"])
    assert storage.names() == ["c.txt"]


def test_arrow_filesystem_reads_file(storage: Storage) -> None:
    storage.put("a/b.txt", b"content")
    with storage.arrow_filesystem.open_input_file(storage.path("a/b.txt")) as file:
        assert file.read() == b"content"


def test_path_of_file_is_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("x")
    storage = Storage(tmp_path / "one")
    assert storage.is_file()
    assert storage.get("_manifest.json") is None


def test_full_disk_keeps_existing_file(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.put("one", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            storage.put("one", bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert storage.names() == ["one"]
    assert storage.get("one") == b"old"


def test_relative_path_ignores_later_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("place")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    storage.put("one", b"x")
    assert (tmp_path / "place" / "one").exists()


@pytest.mark.parametrize("form", ["{}", "file://{}", "local://{}", "{}/"])
def test_local_path_forms(form: str, tmp_path: Path) -> None:
    storage = Storage(form.format(tmp_path))
    storage.put("one", b"x")
    assert os.listdir(tmp_path) == ["one"]  # noqa: PTH208
    assert storage.names() == ["one"]


def test_tilde_is_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Storage(Path("~/kept")).put("one", b"x")
    assert (tmp_path / "kept" / "one").exists()


@pytest.mark.parametrize(
    ("path", "error"),
    [("", ValueError), (" ", ValueError), (b"x", TypeError), (None, TypeError), (1, TypeError)],
)
def test_invalid_path_raises(path: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Storage(path)  # type: ignore[arg-type]
