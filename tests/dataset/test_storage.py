"""A file is put whole or not at all, on a disk and at a URL alike."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from llama_batches_nb.dataset.storage import Storage


@pytest.fixture(params=["disk", "url"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Give an empty place."""
    if request.param == "disk":
        yield Storage(tmp_path / "deep" / "place")
        return
    filesystem = fsspec.filesystem("memory")
    yield Storage("memory://stored/place")
    if filesystem.exists("/stored"):
        filesystem.rm("/stored", recursive=True)


def test_what_is_put_can_be_got_listed_and_removed(storage: Storage) -> None:
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


def test_arrow_reads_from_it(storage: Storage) -> None:
    storage.put("a/b.txt", b"content")
    with storage.arrow_filesystem.open_input_file(storage.path("a/b.txt")) as file:
        assert file.read() == b"content"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("x")
    storage = Storage(tmp_path / "one")
    assert storage.is_file()
    assert storage.get("_manifest.json") is None


def test_disk_that_fills_up_leaves_the_old(tmp_path: Path) -> None:
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


def test_path_is_that_of_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("place")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    storage.put("one", b"x")
    assert (tmp_path / "place" / "one").exists()


@pytest.mark.parametrize("form", ["{}", "file://{}", "local://{}", "{}/"])
def test_forms_of_a_local_path(form: str, tmp_path: Path) -> None:
    storage = Storage(form.format(tmp_path))
    storage.put("one", b"x")
    assert os.listdir(tmp_path) == ["one"]  # noqa: PTH208
    assert storage.names() == ["one"]


def test_home_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Storage(Path("~/kept")).put("one", b"x")
    assert (tmp_path / "kept" / "one").exists()


@pytest.mark.parametrize(
    ("path", "error"),
    [("", ValueError), (" ", ValueError), (b"x", TypeError), (None, TypeError), (1, TypeError)],
)
def test_what_is_no_path(path: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Storage(path)  # type: ignore[arg-type]
