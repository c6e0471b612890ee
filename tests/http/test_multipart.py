"""The multipart body equals that of `requests`, without holding the file in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http.multipart import MultipartStream
from tests.conftest import Serve
from tests.servers import Request, Response, page
from tests.strategies import few

MEBIBYTE = 2**20


def _without_boundary(body: bytes, content_type: str | None) -> bytes:
    media_type, _, boundary = (content_type or "").partition("; boundary=")
    assert media_type == "multipart/form-data"
    return body.replace(boundary.encode(), b"(boundary)")


@few
@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), content=st.binary())
def test_body_equals_that_of_requests(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("form") / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        stream = MultipartStream("upload_file", name, file, display_name=name)
        headers, actual = stream.rewind(), b"".join(stream)
    files, data = {"upload_file": (name, content)}, {"display_name": name}
    expected = requests.Request("POST", "http://x", files=files, data=data).prepare()
    assert isinstance(expected.body, bytes)
    assert _without_boundary(actual, headers["Content-Type"]) == _without_boundary(
        expected.body, expected.headers["Content-Type"]
    )
    assert len(stream) == len(actual)


def test_large_file_is_read_in_chunks(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * MEBIBYTE)
    with large.open("rb") as file:
        stream = MultipartStream("upload_file", "large", file)
        tracemalloc.start()
        n_sent = sum(map(len, stream))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert n_sent == len(stream) > 64 * MEBIBYTE
    assert peak < MEBIBYTE


def test_file_that_changes_size_is_not_sent_wrongly(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one")
    with path.open("rb") as file:
        stream = MultipartStream("upload_file", "log", file)
        path.write_bytes(b"one, two")
        assert len(sent := b"".join(stream)) == len(stream)
    assert b"two" not in sent
    with path.open("rb") as file:
        stream = MultipartStream("upload_file", "log", file)
        path.write_bytes(b"one")
        with pytest.raises(BatchesError, match="'log' became shorter"):
            b"".join(stream)


def test_each_retry_sends_the_whole_body(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    failures = iter(
        [Response({"detail": "slow down"}, 429, {"Retry-After": "0"}), Response(status=500)]
    )

    def script(request: Request) -> Any:
        if request.method == "GET":
            return page([])
        if request.path.endswith("/upload"):
            return next(failures, {"id": "dfl-1", "display_name": "a.txt"})
        return {"id": "dir-1"}

    server = serve(script)
    assert lb.upload_files(path).display_name.tolist() == ["a.txt"]
    sent = [request for request in server.requests if request.path.endswith("/upload")]
    assert len(sent) == 3
    for request in sent:
        assert b"\r\n\r\ncontent\r\n--" in request.body
        assert request.headers["content-length"] == str(len(request.body))
