"""Ephemeral directories are deleted on request; no other directory ever is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from tests.conftest import Serve
from tests.servers import Request, Response, Server, batch, page


def _upload(folder: Path, name: str) -> str:
    (folder / f"{name}.txt").write_text("text")
    return str(lb.upload_files(folder / f"{name}.txt").source_directory_id[0])


def test_dry_run_returns_what_the_call_would_delete(on_sandbox: lb.Client, tmp_path: Path) -> None:
    ids = [_upload(tmp_path, "a"), _upload(tmp_path, "b")]
    planned = lb.delete_directories(ids[::-1])
    assert planned.source_directory_id.tolist() == ids[::-1]
    assert planned.columns.tolist() == [*lb.fetch_directories().columns, "deleted"]
    assert planned.deleted.dtype.name == "bool"
    assert not planned.deleted.any()
    assert set(ids) <= set(lb.fetch_directories().source_directory_id)
    deleted = lb.delete_directories(planned, dry_run=False)
    assert deleted.drop(columns="deleted").equals(planned.drop(columns="deleted"))
    assert deleted.deleted.all()
    assert set(ids).isdisjoint(lb.fetch_directories().source_directory_id)
    again = lb.delete_directories(ids, dry_run=False)
    assert again.deleted.all()
    assert again.deleted_at.notna().all()
    none = lb.delete_directories(planned[:0], dry_run=False)
    pd.testing.assert_frame_equal(none, planned[:0])


def test_other_directories_are_refused_by_name(on_sandbox: lb.Client, tmp_path: Path) -> None:
    ephemeral, user = _upload(tmp_path, "a"), lb.fetch_directories(name="Invoices 2026")
    with pytest.raises(ValueError, match=r"not 'Invoices 2026 \(user\)'\. Nothing was deleted"):
        lb.delete_directories([ephemeral, *user.source_directory_id], dry_run=False)
    with pytest.raises(lb.NotFoundError, match=r"has no directory 'dir-nowhere'\. Nothing was"):
        lb.delete_directories([ephemeral, "dir-nowhere"], dry_run=False)
    assert ephemeral in set(lb.fetch_directories().source_directory_id)


@pytest.mark.parametrize("argument", ["", 3, ["dir-1", 2]])
def test_invalid_argument_sends_no_request(serve: Serve, argument: Any) -> None:
    server = serve(lambda request: page([]))
    with pytest.raises((ValueError, TypeError)):
        lb.delete_directories(argument, dry_run=False)
    with pytest.raises(TypeError, match="dry_run must be True or False"):
        lb.delete_directories("dir-1", dry_run="no")  # type: ignore[arg-type]
    assert server.requests == []


def _serving(deletes: dict[str, Response], running: str | None = None) -> Any:
    def script(request: Request) -> Any:
        if request.method == "DELETE":
            return deletes[request.path.rsplit("/", 1)[1]]
        if request.path.endswith("/batches"):
            is_listed = running is not None and request.param("status") == "THROTTLED"
            return page([batch("bat-1", source_directory_id=running)] if is_listed else [])
        assert request.param("include_deleted") == "true"
        return page([{"id": name, "name": name, "type": "ephemeral"} for name in deletes])

    return script


def _deletes(server: Server) -> list[str]:
    return sorted(r.path.rsplit("/", 1)[1] for r in server.requests if r.method == "DELETE")


def test_failed_request_is_reported_and_others_are_deleted(serve: Serve) -> None:
    gone, refused = Response({"detail": "gone"}, 404), Response({"detail": "locked"}, 400)
    done = Response(raw=b"", status=204)
    server = serve(_serving({"dir-1": done, "dir-2": refused, "dir-3": gone}))
    with pytest.raises(lb.InvalidRequestError, match=r"1 of 3 .* not deleted: 'dir-2'") as caught:
        lb.delete_directories(["dir-1", "dir-2", "dir-3"], dry_run=False)
    assert caught.value.partial is not None
    assert caught.value.partial.source_directory_id.tolist() == ["dir-1", "dir-3"]
    assert _deletes(server) == ["dir-1", "dir-2", "dir-3"]


def test_dry_run_sends_no_delete(serve: Serve) -> None:
    server = serve(_serving({"dir-1": Response(raw=b"", status=204)}))
    lb.delete_directories("dir-1")
    assert _deletes(server) == []


def test_directory_of_a_running_batch_is_refused(serve: Serve) -> None:
    done = Response(raw=b"", status=204)
    server = serve(_serving({"dir-1": done, "dir-2": done}, running="dir-2"))
    with pytest.raises(lb.ConflictError, match=r"have not ended: 'bat-1'\. Nothing was deleted"):
        lb.delete_directories(["dir-1", "dir-2"], dry_run=False)
    assert _deletes(server) == []
    assert lb.delete_directories("dir-1", dry_run=False).deleted.all()
