"""Upload files: which paths are rejected, what the server receives, and how to resume."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.lifecycle import upload_targets
from llama_batches_nb.lifecycle.local_files import find_files
from llama_batches_nb.messages import redirect_warnings
from tests.conftest import Serve
from tests.servers import Request, Response, page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.pdf", "deep/c.txt", ".hidden", "deep/.git/x"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


def file_record(name: str) -> dict[str, str]:
    return {"id": f"dfl-{name}", "directory_id": "dir-1", "display_name": name}


def test_uploaded_folder_can_be_processed(on_sandbox: lb.Client, folder: Path) -> None:
    files = lb.upload_files(folder)
    assert files.display_name.tolist() == ["a.pdf", "b.txt", "c.txt"]
    assert files.source_directory_id.nunique() == 1
    ephemeral = lb.fetch_directories(type="ephemeral")
    assert ephemeral.source_directory_id.isin(files.source_directory_id).any()
    batch = files.pipe(lb.create_batch, "cfg-PARSE_AGENTIC").pipe(lb.wait_for_batches, timeout=60)
    results = lb.fetch_results(batch)
    assert set(results.source_directory_file_id) == set(files.source_directory_file_id)


def test_upload_keeps_order_of_paths_and_patterns(on_sandbox: lb.Client, folder: Path) -> None:
    files = lb.upload_files([folder / "deep", str(folder / "*.txt"), folder / "b.txt"])
    assert files.display_name.tolist() == ["c.txt", "b.txt"]


def test_uploads_with_the_same_name_have_separate_directories(
    on_sandbox: lb.Client, folder: Path
) -> None:
    uploads = [lb.upload_files(folder / "b.txt", name="My upload") for _ in range(2)]
    directories = lb.fetch_directories(name="My upload").source_directory_id.tolist()
    assert directories == [files.source_directory_id[0] for files in uploads]
    assert len(set(directories)) == 2


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        ([], ValueError, "no files"),
        ("none.txt", FileNotFoundError, r"none\.txt"),
        ([""], ValueError, "empty path"),
        ([None], TypeError, "None"),
        (["b.txt", "missing", None], FileNotFoundError, "missing"),
        ("*.docx", FileNotFoundError, r"\*\.docx"),
        (["b.txt", "deep/b.txt"], ValueError, r"'b\.txt'"),
    ],
)
def test_upload_rejects_paths_without_request(
    serve: Serve, folder: Path, paths: Any, error: type[Exception], message: str
) -> None:
    (folder / "deep/b.txt").write_text("again")
    server = serve(lambda request: {})
    in_folder = (
        [folder / path if path else path for path in paths]
        if isinstance(paths, list)
        else folder / paths
    )
    with pytest.raises(error, match=message):
        lb.upload_files(in_folder)
    assert not server.requests


@pytest.mark.parametrize("paths", [None, 5, b"b.txt", "", pd.DataFrame({"path": ["b.txt"]})])
def test_upload_rejects_other_values_than_paths(serve: Serve, paths: Any) -> None:
    server = serve(lambda request: {})
    with pytest.raises((TypeError, ValueError), match=r"path"):
        lb.upload_files(paths)
    assert not server.requests


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only text as a file name")
def test_upload_rejects_file_name_that_is_not_utf8(serve: Serve, folder: Path) -> None:
    server = serve(lambda request: {})
    (folder / os.fsdecode(b"caf\xe9.pdf")).touch()
    with pytest.raises(ValueError, match=r"caf.*\.pdf.* not UTF-8"):
        lb.upload_files(folder)
    assert not server.requests


def test_upload_rejects_new_and_existing_directory_together(serve: Serve, folder: Path) -> None:
    server = serve(lambda request: {})
    with pytest.raises(TypeError, match="not both"):
        lb.upload_files(folder, name="new", source_directory_id="dir-1")
    assert not server.requests


def test_lost_response_does_not_upload_file_twice(serve: Serve, folder: Path) -> None:
    received: list[str] = []

    def script(request: Request) -> Any:
        if request.method == "GET":
            return page([file_record(received[0])])
        if request.path.endswith("/upload"):
            received.append("b.txt")
            return Response(drop=True)
        return {"id": "dir-1"}

    serve(script)
    files = lb.upload_files(folder / "b.txt")
    assert files.source_directory_file_id.tolist() == ["dfl-b.txt"]
    assert len(received) == 1


def test_upload_error_has_uploaded_files(serve: Serve, folder: Path) -> None:
    def script(request: Request) -> Any:
        if not request.path.endswith("/upload"):
            return {"id": "dir-1"}
        if b"b.txt" in request.body:
            time.sleep(0.5)  # let the other uploads finish first
            return Response({"detail": "Too large"}, 413)
        return file_record("a.pdf")

    serve(script)
    with pytest.raises(lb.InvalidRequestError, match=r"1 of 3 files .*b\.txt.*Too large") as caught:
        lb.upload_files(folder)
    assert caught.value.status_code == 413
    assert caught.value.partial is not None
    assert set(caught.value.partial.display_name) == {"a.pdf"}


def test_resumed_upload_sends_only_missing_files(serve: Serve, folder: Path) -> None:
    received: list[str] = []
    failing = {"b.txt"}

    def script(request: Request) -> Any:
        if request.method == "GET":
            name = request.param("display_name")
            names = [one for one in received if name in (None, one)]
            return page([{"id": f"dfl-{one}", "display_name": one} for one in names])
        if not request.path.endswith("/upload"):
            return {"id": "dir-1"}
        (name,) = (n for n in ("a.pdf", "b.txt", "c.txt") if f'filename="{n}"' in str(request.body))
        if name in failing:
            return Response({"detail": "Out of order"}, 507)
        received.append(name)
        return file_record(name)

    serve(script, max_retries=0)
    with pytest.raises(lb.ServerError, match="source_directory_id='dir-1'"):
        lb.upload_files(folder)
    assert sorted(received) == ["a.pdf", "c.txt"]
    failing.clear()
    files = lb.upload_files(folder, source_directory_id="dir-1")
    assert files.display_name.tolist() == ["a.pdf", "b.txt", "c.txt"]
    assert files.source_directory_id.tolist() == ["dir-1"] * 3  # not in all responses
    assert sorted(received) == ["a.pdf", "b.txt", "c.txt"]


def test_upload_sends_content_and_name_unchanged(serve: Serve, folder: Path) -> None:
    content = bytes(range(256)) * 50
    (folder / "ü ⌘.bin").write_bytes(content)
    server = serve(lambda request: file_record("x"))
    lb.upload_files(folder / "ü ⌘.bin")
    assert content in server.requests[1].body
    assert "ü ⌘.bin".encode() in server.requests[1].body


def test_file_with_two_paths_is_uploaded_once(
    on_sandbox: lb.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert lb.upload_files(["b.txt", folder / "b.txt"]).display_name.tolist() == ["b.txt"]


def test_upload_continues_after_unreadable_file(serve: Serve, folder: Path) -> None:
    def script(request: Request) -> Any:
        if not request.path.endswith("/upload"):
            (folder / "b.txt").unlink(missing_ok=True)
            return {"id": "dir-1"}
        return file_record("a.pdf")

    serve(script)
    with pytest.raises(
        lb.BatchesError, match=r"1 of 3 files .*Cannot read .*b\.txt: No such file"
    ) as caught:
        lb.upload_files(folder)
    assert caught.value.partial is not None
    assert len(caught.value.partial) == 2


@pytest.mark.parametrize("appears_late", [False, True])
def test_upload_finds_directory_after_lost_response(
    serve: Serve, folder: Path, appears_late: bool
) -> None:
    directories: list[dict[str, Any]] = []
    n_posts = 0

    def script(request: Request) -> Any:
        nonlocal n_posts
        if request.path.endswith("/files/upload"):
            return file_record("b.txt")
        if request.path.endswith("/files"):
            return page([])
        if request.method == "GET":
            return page(directories if n_posts > 1 or not appears_late else [])
        n_posts += 1
        if n_posts > 1:
            return Response({"detail": "Name exists"}, 409)
        directories.append({"id": "dir-1", "name": request.json["name"]})
        return Response(drop=True)

    serve(script)
    files = lb.upload_files(folder / "b.txt")
    assert files.source_directory_id.tolist() == ["dir-1"]
    assert n_posts == 1 + appears_late


def test_upload_never_uses_directory_with_other_files(serve: Serve, folder: Path) -> None:
    def script(request: Request) -> Any:
        if request.path.endswith("/files"):
            return page([file_record("other.txt")])
        if request.method == "GET":
            return page([{"id": "dir-1", "name": "Scans"}])
        return Response(status=504)

    server = serve(script, max_retries=0)
    with pytest.raises(lb.ServerError):
        lb.upload_files(folder / "b.txt", name="Scans")
    assert not any(path.endswith("/upload") for path in server.paths())


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch have 3 files, so that a few files need several directories."""
    monkeypatch.setattr(upload_targets, "MAX_FILES_PER_BATCH", 3)


def _numbered(folder: Path, n: int) -> Path:
    (folder / "many").mkdir(exist_ok=True)
    for i in range(n):
        (folder / "many" / f"{i:02}.txt").write_text(f"text {i}")
    return folder / "many"


@pytest.mark.usefixtures("small_batches")
def test_more_files_than_a_batch_takes_become_several_batches(
    on_sandbox: lb.Client, folder: Path
) -> None:
    files = lb.upload_files(_numbered(folder, 7), name="Many")
    assert files.display_name.tolist() == [f"{i:02}.txt" for i in range(7)]
    assert sorted(files.groupby("source_directory_id").size()) == [1, 3, 3]
    names = lb.fetch_directories().set_index("source_directory_id").name
    assert names[files.source_directory_id.unique()].tolist() == [
        f"Many ({n} of 3)" for n in (1, 2, 3)
    ]
    batches = files.pipe(lb.create_batch, "cfg-PARSE_AGENTIC")
    assert batches.source_directory_id.tolist() == files.source_directory_id.unique().tolist()
    results = lb.wait_for_batches(batches).pipe(lb.fetch_results)
    assert set(results.source_directory_file_id) == set(files.source_directory_file_id)


def test_resumed_upload_names_the_invalid_record_of_an_earlier_file(
    serve: Serve, folder: Path
) -> None:
    def answer(request: Request) -> Any:
        if request.path.endswith("/files"):
            return page([file_record("b.txt") | {"id": None}])
        return {"id": "dir-1"}

    serve(answer)
    with pytest.raises(lb.ResponseError, match="without 'id'"):
        lb.upload_files(folder / "b.txt", source_directory_id="dir-1")


@pytest.mark.usefixtures("small_batches")
def test_resumed_upload_sends_no_file_twice_and_adds_directories(
    on_sandbox: lb.Client, folder: Path
) -> None:
    first = lb.upload_files(_numbered(folder, 4))
    assert first.source_directory_id.nunique() == 2
    again = lb.upload_files(folder / "many", source_directory_id=first)
    assert again.source_directory_file_id.tolist() == first.source_directory_file_id.tolist()
    more = lb.upload_files(_numbered(folder, 8), source_directory_id=first)
    assert more.source_directory_file_id.tolist()[:4] == first.source_directory_file_id.tolist()
    assert sorted(more.groupby("source_directory_id").size()) == [2, 3, 3]


def test_metadata_and_unique_ids_are_kept(on_sandbox: lb.Client, folder: Path) -> None:
    files = lb.upload_files(
        _numbered(folder, 2),
        metadata=lambda path: {"supplier": f"S{path.stem}", "pages": 2, "tags": ["a", "é"]},
        unique_id=lambda path: f"id-{path.stem}",
    )
    listed = lb.fetch_files(files)
    for frame in (files, listed.sort_values("unique_id")):
        assert frame.unique_id.tolist() == ["id-00", "id-01"]
        values = [json.loads(text) for text in frame.metadata]
        assert [value["supplier"] for value in values] == ["S00", "S01"]
        assert values[0] == {"supplier": "S00", "pages": 2, "tags": ["a", "é"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metadata": "supplier"}, "metadata must be a dict"),
        ({"metadata": {1: "x"}}, "key 1, which must be text"),
        ({"metadata": {"a": {"b": 1}}}, r"metadata\['a'\] must be text"),
        ({"metadata": {"a": float("nan")}}, "not a finite number"),
        ({"metadata": {"a": "half \ud800"}}, r"metadata\['a'\]=.* is not valid Unicode"),
        ({"metadata": {"a": ["\udfff"]}}, r"metadata\['a'\]=.* is not valid Unicode"),
        ({"metadata": {"\ud800": 1}}, r"metadata\['.ud800'\]=.* is not valid Unicode"),
        ({"unique_id": "one"}, r"would be shared by 2 files"),
        ({"unique_id": lambda path: 5}, "unique_id must be text, not 5"),
        ({"unique_id": lambda path: " "}, r"unique_id of '00\.txt' is empty"),
    ],
)
def test_invalid_metadata_and_ids_send_no_request(
    serve: Serve, folder: Path, options: Any, message: str
) -> None:
    server = serve(lambda request: {})
    with pytest.raises((TypeError, ValueError), match=message):
        lb.upload_files(_numbered(folder, 2), **options)
    assert not server.requests


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_broken_links_are_named_and_hidden_files_left_out(
    on_sandbox: lb.Client, folder: Path
) -> None:
    many = _numbered(folder, 1)
    (many / "lost.pdf").symlink_to(folder / "nowhere.pdf")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (many / name).write_text("x")
    with pytest.warns(UserWarning, match=r"1 link in .* leads to no file .*'lost\.pdf'"):
        files = lb.upload_files(many)
    assert files.display_name.tolist() == ["00.txt"]
    assert lb.upload_files(f"{many}/*").display_name.tolist() == ["00.txt"]


@pytest.mark.parametrize("what", ["scandir", "stat"])
def test_unreadable_folder_raises_before_any_request(
    serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    server = serve(lambda request: {})
    read = getattr(os, what)

    def refuse(path: Any, **options: Any) -> Any:
        if "deep" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, **options)

    monkeypatch.setattr(os, what, refuse)
    with pytest.raises(PermissionError, match=r"Cannot read a file or folder: .*deep"):
        lb.upload_files(folder)
    assert not server.requests


def test_names_that_differ_in_unicode_form_only_are_refused(serve: Serve, folder: Path) -> None:
    server = serve(lambda request: {})
    paths = [folder / "nfc" / "caf\u00e9.txt", folder / "nfd" / "cafe\u0301.txt"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("x")
    with pytest.raises(ValueError, match="Several files are named"):
        lb.upload_files(paths)
    assert not server.requests


def test_upload_names_file_that_changes_meanwhile(serve: Serve, folder: Path) -> None:
    def append_and_answer(request: Request) -> Any:
        if request.path.endswith("/upload"):
            with (folder / "b.txt").open("a") as file:
                file.write("one more line")
        return file_record("b.txt") if request.path.endswith("/upload") else {"id": "dir-1"}

    serve(append_and_answer)
    with pytest.warns(UserWarning, match=r"1 of 1 file changed during the upload.*'b\.txt'"):
        assert len(lb.upload_files(folder / "b.txt")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_file_of_unknown_length_is_refused(serve: Serve) -> None:
    server = serve(lambda request: {"id": "dir-1"})
    with pytest.raises(lb.BatchesError, match=r"/proc/cpuinfo has content but a size of 0"):
        lb.upload_files("/proc/cpuinfo")
    assert [request.path for request in server.requests] == ["/api/v1/beta/directories"]


def test_upload_names_paths_that_lead_to_the_same_file(serve: Serve, folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder / "b.txt")
    serve(lambda r: file_record("b.txt") if r.path.endswith("/upload") else {"id": "dir-1"})
    with pytest.warns(UserWarning, match=r"1 path is left out, .*link\.txt"):
        files = lb.upload_files([folder / "b.txt", folder / "link.txt", folder / "b.txt"])
    assert files.display_name.tolist() == ["b.txt"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": b"x"}, TypeError),
        ({"name": 5}, TypeError),
        ({"name": "\ud800"}, ValueError),
        ({"unique_id": "\ud800"}, ValueError),
    ],
    ids=str,
)
def test_name_or_id_that_cannot_be_sent_raises_before_any_request(
    serve: Serve, tmp_path: Path, arguments: dict[str, Any], error: type[Exception]
) -> None:
    server = serve(lambda request: {})
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(error, match=next(iter(arguments))):
        lb.upload_files(tmp_path, progress=False, **arguments)
    assert not server.requests


def test_file_whose_name_begins_like_an_unknown_user_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("~nobody-here.txt").write_text("a")
    assert [file.name for file in find_files("~nobody-here.txt")] == ["~nobody-here.txt"]


def test_uploads_to_one_directory_at_once_store_each_file_once(
    on_sandbox: lb.Client, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        for n in range(40):
            (folder / f"{n}.txt").write_text(f"{folder.name} {n}")
    directory = lb.upload_files(folders[0] / "0.txt").source_directory_id[0]
    start = Barrier(2)

    def upload(folder: Path) -> tuple[pd.DataFrame, list[str]]:
        messages: list[str] = []
        start.wait()
        with redirect_warnings(messages.append):
            return lb.upload_files(folder, source_directory_id=directory), messages

    with ThreadPoolExecutor(2) as pool:
        (first, of_first), (second, of_second) = pool.map(upload, folders)
    stored = lb.fetch_files(directory)
    assert stored.display_name.is_unique
    assert len(stored) == 40
    assert {*first.source_directory_file_id} == {*stored.source_directory_file_id}
    pd.testing.assert_frame_equal(first, second)
    for message in of_first + of_second:
        assert "uploaded to the directory by another call at the same time" in message


def test_file_that_another_call_uploads_meanwhile_is_named(serve: Serve, folder: Path) -> None:
    def respond(request: Request) -> Any:
        if request.method == "POST":
            return Response({"detail": "There is already a file with this name."}, 409)
        is_search = request.param("display_name") is not None
        return page([file_record("b.txt")] if is_search else [])

    serve(respond)
    with pytest.warns(UserWarning, match=r"1 of 1 file was uploaded .* by another call.*'b\.txt'"):
        files = lb.upload_files(folder / "b.txt", source_directory_id="dir-1")
    assert files.source_directory_file_id.tolist() == ["dfl-b.txt"]


def test_directory_that_was_deleted_since_says_what_to_do(
    on_sandbox: lb.Client, folder: Path
) -> None:
    uploaded = lb.upload_files(folder / "b.txt")
    lb.delete_directories(uploaded, dry_run=False)
    calls: list[Callable[[], Any]] = [
        lambda: lb.upload_files(folder / "b.txt", source_directory_id=uploaded),
        lambda: lb.create_batch(uploaded, "cfg-PARSE_AGENTIC"),
        lambda: lb.fetch_files(uploaded),
    ]
    for call in calls:
        with pytest.raises(lb.NotFoundError, match=r"deletes ephemeral .* upload its files again"):
            call()
