"""Exports to an S3 emulator, on which other processes write too (needs moto and s3fs)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pandas as pd
import pytest

import llama_batches_nb as lb

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")
pytestmark = pytest.mark.filterwarnings("ignore")  # of botocore and moto

FRAME = pd.DataFrame({"status": list("abca"), "n": range(4)})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Serve an S3 emulator."""
    server = moto_server.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the file system of another process, with an empty bucket."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    other = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    other.mkdir("bucket")
    yield other
    other.rm("bucket", recursive=True)


def test_round_trip(s3: Any) -> None:
    lb.export_parquet(FRAME, "s3://bucket/x.parquet")
    pd.testing.assert_frame_equal(lb.read_parquet("s3://bucket/x.parquet"), FRAME)
    lb.export_parquet(FRAME, "s3://bucket/by", partition_by="status")
    assert sorted(lb.read_parquet("s3://bucket/by")["n"]) == [0, 1, 2, 3]


def test_changes_of_another_process_are_seen(s3: Any) -> None:
    lb.export_parquet(FRAME, "s3://bucket/by", partition_by="status")
    lb.read_parquet("s3://bucket/by")
    s3.rm("bucket/by/status=b", recursive=True)
    with pytest.raises(lb.DatasetError, match="1 of 3 files are missing"):
        lb.read_parquet("s3://bucket/by")
    s3.rm("bucket/by", recursive=True)
    with pytest.raises(FileNotFoundError):
        lb.read_parquet("s3://bucket/by")
    lb.export_parquet(FRAME, "s3://bucket/by", partition_by="status")
    assert len(lb.read_parquet("s3://bucket/by")) == 4


@pytest.mark.parametrize("keys", [None, "status"])
def test_missing_bucket_is_not_created(s3: Any, keys: str | None) -> None:
    with pytest.raises(FileNotFoundError):
        lb.export_parquet(FRAME, "s3://bukcet/x", partition_by=keys)
    assert s3.ls("") == ["bucket"]


def test_folder_is_not_replaced_by_file(s3: Any) -> None:
    lb.export_parquet(FRAME, "s3://bucket/by", partition_by="status")
    with pytest.raises(IsADirectoryError, match="choose a file name"):
        lb.export_parquet(FRAME.iloc[:1], "s3://bucket/by")
    assert len(lb.read_parquet("s3://bucket/by")) == 4


def test_of_two_exports_at_once_one_wins(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = s3fs.S3FileSystem.exists

    def overtaken(self: Any, path: str, **options: Any) -> bool:
        found = exists(self, path, **options)
        monkeypatch.setattr(s3fs.S3FileSystem, "exists", exists)
        lb.export_parquet(FRAME.iloc[:2], "s3://bucket/by", partition_by="n")
        return bool(found)

    monkeypatch.setattr(s3fs.S3FileSystem, "exists", overtaken)
    with pytest.raises(FileExistsError, match="Another process has exported"):
        lb.export_parquet(FRAME, "s3://bucket/by", partition_by="status")
    assert lb.read_parquet("s3://bucket/by")["status"].tolist() == ["a", "b"]
    assert len(s3.find("bucket/by")) == 3
