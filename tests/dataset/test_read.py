"""What was synced is read back by ourselves and by the engines, and what is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import llama_batches_nb as lb
from llama_batches_nb.dataset import part_files
from llama_batches_nb.dataset.manifest import PartFile
from llama_batches_nb.dataset.read import TABLES, open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.sync import sync_dataset
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables.schema import BATCHES, RESULTS
from tests.conftest import Serve
from tests.dataset.test_sync import World


@pytest.fixture(params=["disk", "url"])
def kept(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> Iterator[str]:
    """Give a dataset of three files a table."""
    world = World()
    serve(world)
    path = str(tmp_path / "kept") if request.param == "disk" else "memory://read/kept"
    for status in ("COMPLETED", "FAILED", "RUNNING"):
        world.add(status)
        sync_dataset(path, jobs=True)
    yield path
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/read"):
        filesystem.rm("/read", recursive=True)


@pytest.mark.parametrize("table", TABLES)
def test_dtypes_are_those_of_fetching_with_rows_or_without(kept: str, table: str) -> None:
    fetched = {"batches": lb.fetch_batches(), "results": lb.fetch_results()}
    fetched["jobs"] = lb.fetch_jobs(fetched["results"])
    found = read_dataset(kept, table)
    assert len(found) == len(fetched[table])
    assert found.dtypes.equals(fetched[table].dtypes)
    none = read_dataset(kept, table, filter=[("job_type", "==", "nothing")])
    assert none.empty
    assert none.dtypes.equals(found.dtypes)
    assert open_dataset(kept, table).schema == TABLES[table].arrow_schema


def test_columns_and_rows_can_be_chosen(kept: str) -> None:
    found = read_dataset(
        kept,
        columns=["error_message", "batch_status", "batch_id"],
        filter=ds.field("error_message").is_valid(),
    )
    assert found.columns.tolist() == ["error_message", "batch_status", "batch_id"]
    assert found.error_message.tolist() == ["no such file"] * 2
    assert read_dataset(kept, columns="batch_id").columns.tolist() == ["batch_id"]
    assert len(read_dataset(kept, columns=[])) == len(read_dataset(kept))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("files",), "table='files' must be one of 'batches', 'results', 'jobs'"),
        (("results", ["batch_id", "colour"]), "no column 'colour'; it has 'batch_id'"),
        (("results", None, [("colour", "==", 1)]), "colour"),
    ],
)
def test_what_there_is_not(kept: str, arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_dataset(kept, *arguments)


def test_engines_read_it(kept: str) -> None:
    results = open_dataset(kept)
    query = "select count(*) from results where error_message is not null"
    assert duckdb.execute(query).fetchall() == [(2,)]
    lazy = pl.scan_pyarrow_dataset(results)
    assert lazy.filter(pl.col("error_message").is_not_null()).collect().height == 2


def test_files_are_plain_parquet_for_any_engine(serve: Serve, tmp_path: Path) -> None:
    world = World()
    serve(world)
    for status in ("COMPLETED", "FAILED", "RUNNING"):
        world.add(status)
        sync_dataset(tmp_path)
    files = str(tmp_path / "results" / "*.parquet")
    n_rows = len(read_dataset(tmp_path))
    assert duckdb.execute(f"select count(*) from '{files}'").fetchall() == [(n_rows,)]
    assert pl.scan_parquet(files).collect().height == n_rows
    assert len(dd.read_parquet(open_dataset(tmp_path).files)) == n_rows
    assert len(pd.read_parquet(tmp_path / "results")) == n_rows
    for file in open_dataset(tmp_path).files:
        assert pq.read_schema(file).equals(RESULTS.arrow_schema)
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).statistics.has_min_max


@pytest.mark.parametrize("path", ["nothing", "memory://nothing"])
def test_nothing_is_no_dataset(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for function in (open_dataset, read_dataset):
        with pytest.raises(FileNotFoundError, match="sync_dataset"):
            function(path)
    assert not list(tmp_path.iterdir())


def test_something_else_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="something else"):
        open_dataset(tmp_path)


def test_file_that_is_missing_is_named(kept: str) -> None:
    storage = Storage(kept)
    name = next(name for name in storage.names() if name.startswith("results/"))
    storage.remove([name])
    for function in (open_dataset, read_dataset):
        with pytest.raises(DatasetError, match=f"lacks {name}"):
            function(kept)
    assert len(read_dataset(kept, "batches")) == 3


@pytest.mark.parametrize("content", [b"", b"PAR1" * 9, None])
def test_file_that_is_damaged_is_named(kept: str, content: bytes | None) -> None:
    storage = Storage(kept)
    name = next(name for name in storage.names() if name.startswith("results/"))
    whole = storage.get(name) or b""
    storage.put(name, whole[:4] + b"\xff" * 60 + whole[64:] if content is None else content)
    with pytest.raises(DatasetError, match=f"'{name}' in .* damaged"):
        read_dataset(kept)
    for other in storage.names():
        if other.endswith(".parquet"):
            storage.put(other, content or b"")
    with pytest.raises(DatasetError, match="missing or damaged"):
        sync_dataset(kept, jobs=True)


def test_column_that_an_older_file_lacks_is_missing_there(kept: str) -> None:
    storage = Storage(kept)
    name = next(name for name in storage.names() if name.startswith("batches/"))
    old = pq.read_table(pa.BufferReader(storage.get(name))).drop_columns("updated_at")
    sink = pa.BufferOutputStream()
    pq.write_table(old.append_column("tomorrow", pa.array(["x"] * len(old))), sink)
    storage.put(name, sink.getvalue().to_pybytes())
    found = read_dataset(kept, "batches")
    assert len(found) == 3
    assert found.columns.tolist() == BATCHES.names


def test_merging_does_not_change_rows(kept: str) -> None:
    storage = Storage(kept)
    names = [name for name in storage.names() if name.startswith("results/")]
    before = [PartFile(name, 0) for name in names]
    merged = part_files.merge(storage, RESULTS, before)
    assert part_files.read(storage, RESULTS, [merged]).equals(
        part_files.read(storage, RESULTS, before)
    )
