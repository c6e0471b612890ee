"""Uploading: what is refused before, and what arrives."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.servers import Answer, Asked, page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.pdf", "deep/c.txt", ".hidden", "deep/.git/x"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


def test_a_folder_is_uploaded_and_run(on_sandbox: lb.Client, folder: Path) -> None:
    files = lb.upload_files(folder)
    assert files.display_name.tolist() == ["a.pdf", "b.txt", "c.txt"]
    assert files.source_directory_id.nunique() == 1
    assert (
        lb.fetch_directories(type="ephemeral")
        .source_directory_id.isin(files.source_directory_id)
        .any()
    )
    batch = files.pipe(lb.create_batch, "cfg-PARSE_AGENTIC").pipe(lb.wait_for_batches, timeout=60)
    results = lb.fetch_results(batch)
    assert set(results.source_directory_file_id) == set(files.source_directory_file_id)


def test_files_patterns_and_lists_keep_their_order(on_sandbox: lb.Client, folder: Path) -> None:
    files = lb.upload_files([folder / "deep", str(folder / "*.txt"), folder / "b.txt"])
    assert files.display_name.tolist() == ["c.txt", "b.txt"]


def test_the_directory_has_the_name_given(on_sandbox: lb.Client, folder: Path) -> None:
    files = lb.upload_files(folder / "b.txt", name="My upload")
    named = lb.fetch_directories(name="My upload")
    assert named.source_directory_id.tolist() == files.source_directory_id.unique().tolist()
    with pytest.raises(lb.ConflictError):
        lb.upload_files(folder / "b.txt", name="My upload")


@pytest.mark.parametrize(
    ("paths", "error", "words"),
    [
        ([], ValueError, "no files"),
        ("none.txt", FileNotFoundError, r"none\.txt"),
        ([""], ValueError, "empty path"),
        ([None], TypeError, "None"),
        (["b.txt", "missing", None], FileNotFoundError, "missing"),
        ("*.docx", FileNotFoundError, r"\*\.docx"),
        (["b.txt", "deep/b.txt"], ValueError, r"'b\.txt'"),
        ("many", ValueError, r"1,001 .* 1,000"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    serve: Serve, folder: Path, paths: Any, error: type[Exception], words: str
) -> None:
    (folder / "deep/b.txt").write_text("again")
    (folder / "many").mkdir()
    for n in range(1001):
        (folder / "many" / str(n)).touch()
    server = serve(lambda asked: {})
    given = [folder / p if p else p for p in paths] if isinstance(paths, list) else folder / paths
    with pytest.raises(error, match=words):
        lb.upload_files(given)
    assert not server.asked


def test_a_lost_answer_does_not_upload_twice(serve: Serve, folder: Path) -> None:
    arrived: list[str] = []

    def script(asked: Asked) -> Any:
        if asked.method == "GET":
            return page([{"id": "dfl-1", "directory_id": "dir-1", "display_name": arrived[0]}])
        if asked.path.endswith("/upload"):
            arrived.append("b.txt")
            return Answer(drop=True)
        return {"id": "dir-1"}

    serve(script)
    files = lb.upload_files(folder / "b.txt")
    assert files.source_directory_file_id.tolist() == ["dfl-1"]
    assert len(arrived) == 1


def test_an_upload_that_fails_leaves_those_that_arrived(serve: Serve, folder: Path) -> None:
    def script(asked: Asked) -> Any:
        if not asked.path.endswith("/upload"):
            return {"id": "dir-1"}
        if b"b.txt" in asked.body:
            time.sleep(0.5)  # the others arrive meanwhile
            return Answer({"detail": "Too large"}, 413)
        return {"id": "dfl-1", "directory_id": "dir-1", "display_name": "a.pdf"}

    serve(script)
    with pytest.raises(lb.InvalidRequestError, match=r"1 of 3 files .*b\.txt.*Too large") as caught:
        lb.upload_files(folder)
    assert caught.value.status_code == 413
    assert caught.value.partial is not None
    assert set(caught.value.partial.display_name) == {"a.pdf"}


def test_what_did_not_arrive_is_sent_when_asked_again(serve: Serve, folder: Path) -> None:
    arrived: list[str] = []
    broken = {"b.txt"}

    def script(asked: Asked) -> Any:
        if asked.method == "GET":
            name = asked.one("display_name")
            files = [a for a in arrived if name in (None, a)]
            return page([{"id": f"dfl-{a}", "display_name": a} for a in files])
        if not asked.path.endswith("/upload"):
            return {"id": "dir-1"}
        (name,) = (n for n in ("a.pdf", "b.txt", "c.txt") if f'filename="{n}"' in str(asked.body))
        if name in broken:
            return Answer({"detail": "Out of order"}, 507)
        arrived.append(name)
        return {"id": f"dfl-{name}", "directory_id": "dir-1", "display_name": name}

    serve(script, max_retries=0)
    with pytest.raises(lb.ServerError, match="source_directory_id='dir-1'"):
        lb.upload_files(folder)
    assert sorted(arrived) == ["a.pdf", "c.txt"]
    broken.clear()
    files = lb.upload_files(folder, source_directory_id="dir-1")
    assert files.display_name.tolist() == ["a.pdf", "b.txt", "c.txt"]
    assert files.source_directory_id.tolist() == ["dir-1"] * 3  # which not all answers tell
    assert sorted(arrived) == ["a.pdf", "b.txt", "c.txt"]


def test_a_directory_is_new_or_there_already(serve: Serve, folder: Path) -> None:
    server = serve(lambda asked: {})
    with pytest.raises(TypeError, match="not both"):
        lb.upload_files(folder, name="new", source_directory_id="dir-1")
    assert not server.asked


def test_the_content_arrives_as_it_was(serve: Serve, folder: Path) -> None:
    content = bytes(range(256)) * 50
    (folder / "ü ⌘.bin").write_bytes(content)

    def script(asked: Asked) -> Any:
        return {"id": "x", "directory_id": "x", "display_name": "x"}

    server = serve(script)
    lb.upload_files(folder / "ü ⌘.bin")
    assert content in server.asked[1].body
    assert "ü ⌘.bin".encode() in server.asked[1].body


@pytest.mark.parametrize("paths", [None, 5, b"b.txt", "", pd.DataFrame({"path": ["b.txt"]})])
def test_what_is_no_path_is_said_so(serve: Serve, paths: Any) -> None:
    server = serve(lambda asked: {})
    with pytest.raises((TypeError, ValueError), match=r"path"):
        lb.upload_files(paths)
    assert not server.asked


def test_one_file_by_two_paths_is_one(
    on_sandbox: lb.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert lb.upload_files(["b.txt", folder / "b.txt"]).display_name.tolist() == ["b.txt"]


def test_a_file_that_vanishes_does_not_keep_the_others(serve: Serve, folder: Path) -> None:
    def script(asked: Asked) -> Any:
        if not asked.path.endswith("/upload"):
            (folder / "b.txt").unlink(missing_ok=True)
            return {"id": "dir-1"}
        return {"id": "dfl-1", "directory_id": "dir-1", "display_name": "a.pdf"}

    serve(script)
    with pytest.raises(lb.BatchesError, match=r"1 of 3 files .*b\.txt can't be read") as caught:
        lb.upload_files(folder)
    assert caught.value.partial is not None
    assert len(caught.value.partial) == 2


def test_a_directory_whose_answer_is_lost_is_found(serve: Serve, folder: Path) -> None:
    names: list[str] = []

    def script(asked: Asked) -> Any:
        if asked.path.endswith("/upload"):
            return {"id": "dfl-1", "directory_id": "dir-1", "display_name": "b.txt"}
        if asked.method == "POST":
            names.append(asked.json["name"])
            return Answer(drop=True)
        if asked.path.endswith("/files"):
            return page([])
        return page([{"id": "dir-1", "name": name} for name in names])

    serve(script)
    assert len(lb.upload_files(folder / "b.txt")) == 1
    assert len(names) == 1


def test_a_directory_that_was_made_late_is_found(serve: Serve, folder: Path) -> None:
    made: list[dict[str, Any]] = []
    n_posts = 0

    def script(asked: Asked) -> Any:
        nonlocal n_posts
        if asked.path.endswith("/files/upload"):
            return {"id": "dfl-1", "directory_id": "dir-1", "display_name": "b.txt"}
        if asked.path.endswith("/files"):
            return page([])
        if asked.method == "GET":
            return page(made if n_posts > 1 else [])
        n_posts += 1
        if n_posts > 1:
            return Answer({"detail": "The name is taken"}, 409)
        made.append({"id": "dir-1", "name": asked.json["name"]})
        return Answer(drop=True)

    serve(script)
    files = lb.upload_files(folder / "b.txt")
    assert files.source_directory_id.tolist() == ["dir-1"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, names are text")
def test_a_name_that_is_no_text_is_told_before_anything_is_sent(serve: Serve, folder: Path) -> None:
    server = serve(lambda asked: {})
    (folder / os.fsdecode(b"caf\xe9.pdf")).touch()
    with pytest.raises(ValueError, match=r"caf.*\.pdf.* not UTF-8"):
        lb.upload_files(folder)
    assert not server.asked
