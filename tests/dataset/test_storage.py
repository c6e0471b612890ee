"""`Storage` writes files atomically and behaves alike for local folders and URLs."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

import llama_batches_nb as lb
from llama_batches_nb.dataset.storage import Storage
from tests.dataset.checks import full_disk
from tests.fake_api import FakeApi


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


def test_put_get_and_list(storage: Storage) -> None:
    assert storage.names() == []
    assert storage.get("a/b.txt") is None
    storage.put("a/b.txt", b"one")
    storage.put("c.txt", b"")
    storage.put("a/b.txt", b"two")
    assert storage.get("a/b.txt") == b"two"
    assert storage.get("c.txt") == b""
    assert storage.names() == ["a/b.txt", "c.txt"]
    assert not storage.is_file()


def test_arrow_filesystem_reads_file(storage: Storage) -> None:
    storage.put("a/b.txt", b"content")
    with storage.arrow_filesystem.open_input_file(storage.path("a/b.txt")) as file:
        assert file.read() == b"content"


def test_path_of_file_is_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("x")
    storage = Storage(tmp_path / "one")
    assert storage.is_file()
    assert storage.get("_sync.json") is None


def test_full_disk_keeps_existing_file(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.put("one", b"old")
    with pytest.raises(OSError, match="too large"), full_disk(100):
        storage.put("one", bytes(1000))
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


# --- paths and URLs of all functions --------------------------------------------------------------

FRAME = pd.DataFrame({"job_id": ["pjb-1"], "n": [1]})
WRITERS: dict[str, Callable[[Any], object]] = {
    "export_parquet": lambda path: lb.export_parquet(FRAME, path),
    "sync_dataset": lb.sync_dataset,
    "save_outputs": lambda path: lb.save_outputs(FRAME, path),
}
READERS: dict[str, Callable[[Any], object]] = {
    "read_parquet": lb.read_parquet,
    "open_dataset": lb.open_dataset,
    "read_dataset": lb.read_dataset,
}


@pytest.mark.parametrize("call", [*WRITERS, *READERS])
@pytest.mark.parametrize(
    "path",
    [
        Path("s3://bucket") / "x",
        Path("gs://bucket/x"),
        Path("memory://x").absolute(),
        Path("kept") / "S3://bucket",
        Path("s3://bucket").parent,
        "https:/host/x",
    ],
    ids=str,
)
def test_url_that_pathlib_has_shortened_raises(
    call: str, path: Path | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="lost a slash"):
        {**WRITERS, **READERS}[call](path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", WRITERS)
@pytest.mark.parametrize("path", ["simplecache::memory://x", "zip://x::{}/a.zip", "dir::/x"])
def test_chain_of_urls_is_not_written(call: str, path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"chain of URLs|is a URL|from a cache"):
        WRITERS[call](path.format(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", WRITERS)
def test_http_url_is_not_written(call: str) -> None:
    with pytest.raises(ValueError, match=r"can only be read|is a URL"):
        WRITERS[call]("https://127.0.0.1:9/kept")


@pytest.mark.parametrize("call", READERS)
def test_missing_package_of_a_protocol_is_named(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"class": "fsspec_of_nobody.FileSystem", "err": "needs fsspec_of_nobody"}
    monkeypatch.setitem(known_implementations, "nobody", missing)
    with pytest.raises(ImportError, match=r"Cannot open 'nobody://x'.*Install it with pip"):
        READERS[call]("nobody://x")


@pytest.mark.parametrize("call", READERS)
def test_cached_url_is_not_read(call: str) -> None:
    with pytest.raises(ValueError, match="reads from a cache"):
        READERS[call]("filecache::memory://x")


def test_parquet_in_a_zip_file_is_read(tmp_path: Path) -> None:
    lb.export_parquet(FRAME, tmp_path / "x.parquet")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "x.parquet", "x.parquet")
    assert lb.read_parquet(f"zip://x.parquet::{tmp_path}/a.zip")["n"].tolist() == [1]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("~nobody-here.parquet", "~nobody-here.parquet"),
        (Path("~nobody-here.parquet"), "~nobody-here.parquet"),
        ("~/x.parquet", "home/x.parquet"),
        ("file:x.parquet", "x.parquet"),
        ("file://~/x.parquet", "home/x.parquet"),
        ("file:{}/x.parquet", "x.parquet"),
        ("file:///{}/x.parquet", "x.parquet"),
        ("FILE://{}/x.parquet", "x.parquet"),
        ("file://localhost{}/x.parquet", "x.parquet"),
        ("a::b.parquet", "a::b.parquet"),
        ("a:b.parquet", "a:b.parquet"),
    ],
    ids=str,
)
def test_forms_of_local_paths(
    path: str | Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    if isinstance(path, str):
        path = path.format(tmp_path)
    lb.export_parquet(FRAME, path)
    pd.testing.assert_frame_equal(lb.read_parquet(path), FRAME, check_dtype=False)
    assert (tmp_path / name).is_file()


def test_tilde_without_user_is_a_folder_to_save_to(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lb.save_outputs(FRAME.iloc[:0], "~nobody-here")
    assert lb.sync_dataset("file:~nobody-there", names=False).new == 0
    assert lb.read_dataset("~nobody-there").empty
    assert sorted(path.name for path in tmp_path.iterdir()) == ["~nobody-here", "~nobody-there"]


@pytest.mark.parametrize("call", [lb.read_parquet, lb.read_dataset, lb.sync_dataset])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a\0b", "null character"),
        ("a\ud800b", "an unpaired surrogate"),
        ("foo://bucket/x", "no protocol 'foo'"),
        ("simplecache::foo://x", "no protocol 'foo'"),
    ],
)
def test_impossible_path_raises(call: Any, path: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(path)


def test_registered_protocol_is_known() -> None:
    fsspec.register_implementation("registered", MemoryFileSystem, clobber=True)
    assert Storage("registered://bucket/x").local is None


def test_folders_deeper_than_those_of_a_dataset_are_not_searched(tmp_path: Path) -> None:
    deep = tmp_path / "results" / "created=2026-11-27" / "deeper"
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent):
        (folder / "data.parquet").write_bytes(b"")
    assert Storage(tmp_path).names() == ["results/created=2026-11-27/data.parquet"]
