"""Datasets and exports on each store; other processes write to the object stores too."""

from __future__ import annotations

from typing import Any

import fsspec
import pandas as pd
import pyarrow.parquet as pq
import pytest

import llama_batches_nb as lb
from llama_batches_nb.dataset import export_folders
from tests.dataset.checks import assert_dataset_complete, fetch_tables, sync_dataset
from tests.fake_api import FakeApi

FRAME = pd.DataFrame({"status": list("abca"), "n": range(4)})


def glob_rows(url: str, table: str) -> pd.DataFrame:
    """Read the files of a table as another program does."""
    filesystem, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    paths = filesystem.glob(f"{root}/{table}/**/*.parquet")
    parts = []
    for path in paths:
        with filesystem.open(path, "rb") as file:
            parts.append(pq.read_table(file).to_pandas())
    rows: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return rows


def test_second_sync_asks_for_what_is_new(api: FakeApi, store: str) -> None:
    for hours in (0, 1, 30):
        api.add(hours=hours)
    sync_dataset(store, jobs=True)
    assert_dataset_complete(store, jobs=True)
    api.requests.clear()
    assert sync_dataset(store, jobs=True).new == 0
    assert api.requests == {"GET batches": 1}
    api.add(hours=31)
    report = sync_dataset(store, jobs=True)
    assert (report.new, api.requests["GET batch"]) == (1, 1)
    assert_dataset_complete(store, jobs=True)
    for table, frame in fetch_tables(jobs=True).items():
        key = frame.columns[0]
        assert sorted(glob_rows(store, table)[key]) == sorted(frame[key])


# --- exports ------------------------------------------------------------------------------------


def remove(url: str) -> None:
    filesystem, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    filesystem.rm(root, recursive=True)


def test_round_trip(bucket: str) -> None:
    lb.export_parquet(FRAME, f"{bucket}/x.parquet")
    pd.testing.assert_frame_equal(lb.read_parquet(f"{bucket}/x.parquet"), FRAME)
    lb.export_parquet(FRAME, f"{bucket}/by", partition_by="status")
    assert sorted(lb.read_parquet(f"{bucket}/by")["n"]) == [0, 1, 2, 3]


def test_changes_of_another_process_are_seen(bucket: str) -> None:
    lb.export_parquet(FRAME, f"{bucket}/by", partition_by="status")
    lb.read_parquet(f"{bucket}/by")
    remove(f"{bucket}/by/status=b")
    with pytest.raises(lb.DatasetError, match="1 of 3 files is missing"):
        lb.read_parquet(f"{bucket}/by")
    remove(f"{bucket}/by")
    with pytest.raises(FileNotFoundError):
        lb.read_parquet(f"{bucket}/by")
    lb.export_parquet(FRAME, f"{bucket}/by", partition_by="status")
    assert len(lb.read_parquet(f"{bucket}/by")) == 4


@pytest.mark.parametrize("keys", [None, "status"])
def test_missing_bucket_is_not_created(bucket: str, keys: str | None) -> None:
    with pytest.raises(OSError, match=r"(?i)bucket|not ?found|exist"):
        lb.export_parquet(FRAME, f"{bucket}-2/x", partition_by=keys)
    filesystem, root = fsspec.url_to_fs(bucket, skip_instance_cache=True)
    assert f"{root}-2" not in [each.strip("/") for each in filesystem.ls("", detail=False)]


def test_folder_is_not_replaced_by_file(bucket: str) -> None:
    lb.export_parquet(FRAME, f"{bucket}/by", partition_by="status")
    with pytest.raises(IsADirectoryError, match="choose a file name"):
        lb.export_parquet(FRAME.iloc[:1], f"{bucket}/by")
    assert len(lb.read_parquet(f"{bucket}/by")) == 4


def test_of_two_exports_at_once_one_wins(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bucket.startswith("gs:"):
        pytest.skip("the emulator ignores the condition that an object does not exist yet")
    write_parts = export_folders._write_parts

    def overtaken(*arguments: Any) -> dict[str, str]:
        monkeypatch.setattr(export_folders, "_write_parts", write_parts)
        lb.export_parquet(FRAME.iloc[:2], f"{bucket}/by", partition_by="n")
        return write_parts(*arguments)

    monkeypatch.setattr(export_folders, "_write_parts", overtaken)
    with pytest.raises(FileExistsError, match="Another process has exported"):
        lb.export_parquet(FRAME, f"{bucket}/by", partition_by="status")
    assert lb.read_parquet(f"{bucket}/by")["status"].tolist() == ["a", "b"]
