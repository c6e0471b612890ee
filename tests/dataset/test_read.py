"""Read a synced dataset with this package and with other engines; missing files are named."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from llama_batches_nb.dataset.new_files import NewFile
from llama_batches_nb.dataset.parquet_files import read_version
from llama_batches_nb.dataset.read import open_dataset, read_dataset
from llama_batches_nb.dataset.state import DATASET_TABLES, State, file_name, save
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.stored_files import StoredFiles
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables import extractions
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from tests.dataset.checks import (
    assert_dataset_complete,
    fetch_tables,
    sync_dataset,
)
from tests.fake_api import FakeApi


def create(api: FakeApi, path: str) -> str:
    """Create a dataset with three files per table."""
    for n, status in enumerate(("COMPLETED", "FAILED", "RUNNING")):
        api.add(status, hours=24 * n)
        sync_dataset(path, jobs=True)
    return path


@pytest.fixture
def dataset(api: FakeApi, path: str) -> str:
    return create(api, path)


@pytest.fixture
def each_dataset(api: FakeApi, each_path: str) -> str:
    return create(api, each_path)


def first_file(storage: Storage, folder: str) -> str:
    return next(name for name in storage.names() if name.startswith(f"{folder}/"))


def test_dtypes_match_fetched_frames_with_and_without_rows(each_dataset: str) -> None:
    for table, fetched in fetch_tables(jobs=True).items():
        rows = read_dataset(each_dataset, table)
        assert len(rows) == len(fetched)
        assert rows.dtypes.equals(fetched.dtypes)
        no_rows = read_dataset(each_dataset, table, filter=[("job_type", "==", "nothing")])
        assert no_rows.empty
        assert no_rows.dtypes.equals(rows.dtypes)
        assert open_dataset(each_dataset, table).schema == DATASET_TABLES[table].arrow_schema


def test_read_selects_columns_and_rows(dataset: str) -> None:
    frame = read_dataset(
        dataset,
        columns=["error_message", "batch_status", "batch_id"],
        filter=ds.field("error_message").is_valid(),
    )
    assert frame.columns.tolist() == ["error_message", "batch_status", "batch_id"]
    assert frame.error_message.tolist() == ["no such file"] * 2
    one = read_dataset(dataset, filter=("batch_id", "==", "bat-000"))
    assert set(one.batch_id) == {"bat-000"}
    wrong: list[Any] = [[], 5, "batch_id == 'bat-000'", ("batch_id", "=="), [("batch_id", "~", 1)]]
    for conditions in wrong:
        with pytest.raises((TypeError, ValueError), match="filter must be a list of conditions"):
            read_dataset(dataset, filter=conditions)
    with pytest.raises(
        ValueError, match=r"cannot be applied .*'results'.* FieldRef.Name\(statuss\)"
    ):
        read_dataset(dataset, filter=[("statuss", "==", "x")])
    with pytest.raises(ValueError, match=r"cannot be applied to the table 'results'"):
        read_dataset(dataset, filter=[("batch_id", ">", 3)])
    assert read_dataset(dataset, columns="batch_id").columns.tolist() == ["batch_id"]
    assert len(read_dataset(dataset, columns=[])) == len(read_dataset(dataset))


def test_filter_takes_the_times_that_other_functions_take(dataset: str) -> None:
    batches = read_dataset(dataset, "batches").sort_values("created_at")
    middle = batches.created_at.iloc[len(batches) // 2]
    expected = int((batches.created_at >= middle).sum())
    naive = middle.tz_localize(None)
    for time in (middle, naive, naive.to_pydatetime(), str(naive), naive.to_numpy()):
        assert len(read_dataset(dataset, "batches", filter=("created_at", ">=", time))) == expected
        nested: Any = [[("created_at", ">=", time)], [("batch_id", "==", "none")]]
        assert len(read_dataset(dataset, "batches", filter=nested)) == expected
    several: Any = ("created_at", "in", [middle.isoformat(), "2001-01-01"])
    assert read_dataset(dataset, "batches", filter=several).created_at.eq(middle).all()
    for bad in ("05.10.2026", "August", pd.NaT):
        with pytest.raises(ValueError, match=r"created_at.* is not a time"):
            read_dataset(dataset, "batches", filter=("created_at", ">=", bad))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bananas",), "table='bananas' must be one of 'results', 'jobs'"),
        (("files",), "has no files yet. Fetch them with .*names=True"),
        (("pages",), "has no pages yet. Fetch them with .*outputs="),
        (("results", ["batch_id", "colour"]), "no column 'colour'; it has 'batch_id'"),
        (("results", None, [("colour", "==", 1)]), "colour"),
    ],
)
def test_unknown_table_or_column_raises(
    dataset: str, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises((ValueError, DatasetError), match=message):
        read_dataset(dataset, *arguments)


def test_duckdb_and_polars_query_opened_dataset(dataset: str) -> None:
    results = open_dataset(dataset)
    query = "select count(*) from results where error_message is not null"
    assert duckdb.execute(query).fetchall() == [(2,)]
    lazy = pl.scan_pyarrow_dataset(results)
    assert lazy.filter(pl.col("error_message").is_not_null()).collect().height == 2


def test_files_are_plain_parquet_for_any_engine(api: FakeApi, tmp_path: Path) -> None:
    for n, status in enumerate(("COMPLETED", "FAILED", "RUNNING")):
        api.add(status, hours=24 * n)
        sync_dataset(tmp_path)
    files = str(tmp_path / "results" / "**" / "*.parquet")
    n_rows = len(read_dataset(tmp_path))
    assert duckdb.execute(f"select count(*) from '{files}'").fetchall() == [(n_rows,)]
    assert pl.scan_parquet(files).collect().height == n_rows
    assert len(dd.read_parquet(open_dataset(tmp_path).files)) == n_rows
    assert len(pd.read_parquet(tmp_path / "results")) == n_rows
    for file in open_dataset(tmp_path).files:
        assert pq.read_schema(file).remove_metadata().equals(RESULTS.arrow_schema)
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).statistics.has_min_max


@pytest.mark.parametrize("path", ["nothing", "memory://nothing"])
def test_missing_dataset_raises_and_creates_nothing(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for function in (open_dataset, read_dataset):
        with pytest.raises(FileNotFoundError, match="sync_dataset"):
            function(path)
    assert not list(tmp_path.iterdir())


def test_folder_that_is_no_dataset_raises(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="holds other files"):
        open_dataset(tmp_path)


def test_missing_file_is_named_and_fetched_again(each_dataset: str) -> None:
    storage = Storage(each_dataset)
    name = first_file(storage, "results")
    storage.filesystem.rm_file(storage.path(name))
    for function in (open_dataset, read_dataset):
        with pytest.raises(DatasetError, match=f"'{name}' .*is missing"):
            function(each_dataset)
    assert len(read_dataset(each_dataset, "batches")) == 3
    sync_dataset(each_dataset, jobs=True)
    assert_dataset_complete(each_dataset, jobs=True)


@pytest.mark.parametrize("content", [b"", b"PAR1" * 9, None])
def test_damaged_file_is_named_and_restored_by_a_sync(
    each_dataset: str, content: bytes | None
) -> None:
    storage = Storage(each_dataset)
    name = first_file(storage, "results")
    original = storage.get(name) or b""
    storage.put(name, original[:4] + b"\xff" * 60 + original[64:] if content is None else content)
    with pytest.raises(DatasetError, match=f"'{name}' in .* damaged"):
        read_dataset(each_dataset)
    if storage.local is None and content is None:
        storage.filesystem.rm_file(storage.path(name))
    for other in storage.names() if content is not None else ():
        if other.endswith(".parquet"):
            storage.put(other, content or b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sync_dataset(each_dataset, jobs=True)
    assert_dataset_complete(each_dataset, jobs=True)


def test_columns_of_other_versions_are_missing_or_kept(api: FakeApi, dataset: str) -> None:
    storage = Storage(dataset)
    name = first_file(storage, "batches")
    old = pq.read_table(pa.BufferReader(storage.get(name))).drop_columns("updated_at")
    sink = pa.BufferOutputStream()
    pq.write_table(old.append_column("tomorrow", pa.array(["x"] * len(old))), sink)
    storage.put(name, sink.getvalue().to_pybytes())
    with pytest.raises(DatasetError, match="not the file that the last sync wrote"):
        read_dataset(dataset, "batches")
    del api.batches["bat-000"]
    sync_dataset(dataset, jobs=True)
    frame = read_dataset(dataset, "batches")
    assert len(frame) == 3
    assert frame.columns.tolist() == BATCHES.names
    assert "tomorrow" in pq.read_schema(pa.BufferReader(storage.get(name))).names


def test_column_that_an_older_version_did_not_write_is_missing_until_fetched(
    api: FakeApi, tmp_path: Path
) -> None:
    for status in ("RUNNING", "COMPLETED"):
        api.add(status)
    sync_dataset(tmp_path)
    storage, name = Storage(tmp_path), file_name("batches", "2025-08-01")
    state = State.read(storage)
    assert state is not None
    pq.write_table(pq.read_table(tmp_path / name).drop_columns("updated_at"), tmp_path / name)
    with (tmp_path / name).open("rb") as file:
        state.files[name] = read_version(file, whole=True)
    save(storage, state)
    frame = read_dataset(tmp_path, "batches")
    assert frame.columns.tolist() == BATCHES.names
    assert frame.updated_at.isna().all()
    api.end("bat-000")
    api.batches["bat-000"] |= {"updated_at": "2025-08-01T01:00:00Z", "field_of_tomorrow": 1}
    api.requests.clear()
    sync_dataset(tmp_path)
    assert api.requests["GET batch"] == 1
    frame = read_dataset(tmp_path, "batches").set_index("batch_id")
    assert frame.updated_at.isna().to_dict() == {"bat-000": False, "bat-001": True}


def test_extracted_column_whose_type_differs_between_days_is_json(tmp_path: Path) -> None:
    storage, state = Storage(tmp_path), State(tables=["extractions"])
    stored = StoredFiles(storage, state, [])
    for day, value in enumerate(["12", '"12"', "[12]"], start=1):
        job = f"job-{day}"
        rows = extractions.to_arrow([(job, 0, {"total": value.encode()})])
        new = NewFile(storage, file_name("extractions", f"2026-11-0{day}"), tmp_path)
        new.add(rows, pa.array([job]))
        state.files[new.name] = new.finish(stored)
        new.publish()
    save(storage, state)
    frame = read_dataset(tmp_path, "extractions")
    assert dict(zip(frame.job_id, frame.total, strict=True)) == {
        "job-1": "12",
        "job-2": '"12"',
        "job-3": "[12]",
    }
    assert (
        read_dataset(tmp_path, "extractions", "job_id", [("total", "==", "12")]).job_id[0]
        == "job-1"
    )
