"""Exported frames are read back unchanged, and a failed export changes no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.tables import records, schema
from llama_batches_nb.tables.schema import BATCHES, FILES, JOBS, Table
from tests.dataset.checks import full_disk
from tests.fake_api import FakeApi
from tests.strategies import (
    TABLES,
    api_records,
    batch_frames,
    few,
    job_frames,
    result_frames,
    results_of,
    some,
    table_frames,
)

BATCH_FRAME = records.to_pandas(
    BATCHES,
    [
        {
            "id": f"bat-{n}",
            "status": status,
            "project_id": project,
            "created_at": f"2026-08-0{n + 1}T10:00:00.00000{n}Z",
            "config": {"job": {"type": "parse_v2"}},
        }
        for n, (status, project) in enumerate(
            [("FAILED", "é"), ("PAUSED", None), ("FAILED", "a/b"), (None, "\u202e \x01\n")]
        )
    ],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all examples of a property share."""
    return tmp_path_factory.mktemp("export")


def round_trip(frame: pd.DataFrame, path: Path | str, **partition_by: Any) -> pd.DataFrame:
    """Export a frame and read it back."""
    lb.export_parquet(frame, path, **partition_by)
    return lb.read_parquet(path)


def folder_content(folder: Path) -> dict[str, bytes | None]:
    """Return the content of all files in a folder, hidden ones included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# --- one file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@given(data=st.data())
@few
def test_round_trip_of_any_table(table: Table, data: st.DataObject, folder: Path) -> None:
    frame = data.draw(table_frames(table))
    pd.testing.assert_frame_equal(round_trip(frame, folder / "table.parquet"), frame)


DERIVED: dict[str, Callable[[pd.DataFrame, pd.DataFrame, pd.DataFrame], pd.DataFrame]] = {
    "outcomes": lambda batches, results, jobs: lb.outcomes(results, jobs),
    "summarize": lb.summarize,
    "failure_rates": lambda batches, results, jobs: lb.failure_rates(
        results, by=["configuration_id", "job_type"], freq="W"
    ),
    "failure_rates of all": lambda batches, results, jobs: lb.failure_rates(batches),
    "error_patterns": lambda batches, results, jobs: lb.error_patterns(lb.outcomes(results, jobs)),
    "error_patterns by": lambda batches, results, jobs: lb.error_patterns(results, by="job_type"),
    "ledger": lambda batches, results, jobs: lb.ledger(lb.outcomes(results, jobs), by="batch_id"),
    "attempts": lambda batches, results, jobs: lb.attempts(results, records.to_pandas(FILES, [])),
}
"""Frames that this package computes from batches, results and jobs."""


@given(batches=batch_frames(), results=result_frames(), jobs=job_frames())
@settings(max_examples=6, deadline=None)
def test_round_trip_of_computed_frames(
    folder: Path, batches: pd.DataFrame, results: pd.DataFrame, jobs: pd.DataFrame
) -> None:
    for name, made in DERIVED.items():
        frame = made(batches.drop_duplicates("batch_id"), results, jobs)
        pd.testing.assert_frame_equal(round_trip(frame, folder / "made.parquet"), frame, obj=name)


def test_round_trip_of_comparison(tmp_path: Path) -> None:
    mapped = [{"source_directory_file_id": "dfl-1", "error_message": None}]
    runs = [
        {"id": one, "config": {"job": {"configuration_id": one}}, "results": mapped} for one in "ab"
    ]
    frame = lb.compare_configurations(lb.outcomes(results_of(*runs)), "a", "b")
    pd.testing.assert_frame_equal(round_trip(frame, tmp_path / "compared.parquet"), frame)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_round_trip_keeps_dtypes_of_empty_table(table: Table, tmp_path: Path) -> None:
    empty = schema.to_pandas(table.arrow_schema.empty_table(), table.columns)
    pd.testing.assert_frame_equal(round_trip(empty, tmp_path / "empty.parquet"), empty)


@given(st.lists(st.text(), min_size=1))
@example(["\0", "\x1b[31m", "\u202e", "\ufeff", "\U0010ffff", "e\u0301", "é", " ", ""])
@some
def test_round_trip_of_any_text(folder: Path, texts: list[str]) -> None:
    frame = records.to_pandas(BATCHES, [{"id": text, "status": text} for text in texts])
    result = round_trip(frame, folder / "texts.parquet")
    assert result.batch_id.tolist() == texts
    assert result.status.tolist() == texts


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(status=frame.status.cat.remove_unused_categories()),
        lambda frame: frame.assign(status=frame.status.cat.as_ordered()),
        lambda frame: frame.assign(status=frame.status.cat.add_categories(["née"])),
        lambda frame: frame.assign(status=frame.status.cat.set_categories(["RUNNING"])),
        lambda frame: frame.iloc[::-1],
        lambda frame: frame[::2],
        lambda frame: frame.set_axis([4, 4, 1, 2]),
        lambda frame: frame.set_index("batch_id"),
        lambda frame: frame.set_index("batch_id", drop=False),
        lambda frame: frame.set_index(["batch_id", "created_at"]),
        lambda frame: frame.rename_axis("row"),
        lambda frame: frame.set_index(pd.RangeIndex(2, 10, 2, name="row")),
        lambda frame: frame.set_index(pd.RangeIndex(4, 0, -1)),
        lambda frame: frame.set_index(pd.interval_range(0, 4, name="bin")),
        lambda frame: frame.set_index(pd.period_range("2026-01", periods=4, freq="M")),
        lambda frame: frame.set_index([pd.period_range("2026", periods=4, freq="W"), "batch_id"]),
        lambda frame: frame.set_index(pd.Index([1, None, 3, 4], dtype="Int64")),
        lambda frame: frame.set_index(pd.Index([1, 2, 3, 4], dtype="int32")),
        lambda frame: frame.set_index(pd.timedelta_range("1h", periods=4).as_unit("us")),
        lambda frame: frame[["updated_at", "batch_id"]],
        lambda frame: frame.assign(pages=range(4), share=0.5, good=[True, False] * 2),
        lambda frame: frame.assign(pages=pd.array([1, None, 2, 3], "Int64")),
        lambda frame: frame.assign(took=frame.created_at - frame.created_at.iloc[0]),
        lambda frame: frame.assign(day=frame.created_at.dt.tz_localize(None)),
    ],
)
def test_round_trip_of_modified_frame(
    change: Callable[[pd.DataFrame], pd.DataFrame], tmp_path: Path
) -> None:
    frame = change(BATCH_FRAME)
    result = round_trip(frame, tmp_path / "changed.parquet")
    pd.testing.assert_frame_equal(result, frame, check_index_type="equiv", check_freq=False)


def test_all_missing_column_is_written_as_text(tmp_path: Path) -> None:
    frame = BATCH_FRAME.assign(note=pd.Series([None] * 4, dtype=object))
    result = round_trip(frame, tmp_path / "note.parquet")
    assert result.note.isna().all()
    assert duckdb.read_parquet(str(tmp_path / "note.parquet")).select("note").types == ["VARCHAR"]


def test_round_trip_with_integer_column_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({5: pd.Categorical(["a", None, "b"]), 6: [1, 2, 3]})
    result = round_trip(frame, tmp_path / "one.parquet")
    assert list(result) == list(frame)
    assert result[5].dtype.name == "category"
    assert result[5].astype(object).fillna("none").tolist() == ["a", "none", "b"]


def test_export_ignores_attrs_and_returns_same_frame(tmp_path: Path) -> None:
    frame = BATCH_FRAME.copy()
    frame.attrs = {"when": datetime(2026, 8, 1), "what": object()}
    assert lb.export_parquet(frame, tmp_path / "attrs.parquet") is frame
    assert set(frame.attrs) == {"when", "what"}
    pd.testing.assert_frame_equal(lb.read_parquet(tmp_path / "attrs.parquet"), BATCH_FRAME)


def test_export_does_not_change_frame(tmp_path: Path) -> None:
    before = BATCH_FRAME.copy(deep=True)
    round_trip(BATCH_FRAME, tmp_path / "one.parquet")
    round_trip(BATCH_FRAME, tmp_path / "many", partition_by="status")
    pd.testing.assert_frame_equal(BATCH_FRAME, before)


@pytest.mark.parametrize(
    "frame",
    [
        pl.from_pandas(BATCH_FRAME),
        pl.from_pandas(BATCH_FRAME).lazy(),
        pa.Table.from_pandas(BATCH_FRAME),
    ],
    ids=["polars", "lazy polars", "pyarrow"],
)
def test_round_trip_of_other_engines(frame: Any, tmp_path: Path) -> None:
    assert lb.export_parquet(frame, tmp_path / "other.parquet") is frame
    result = lb.read_parquet(tmp_path / "other.parquet")
    pd.testing.assert_frame_equal(
        result.astype({"status": str, "job_type": str}),
        BATCH_FRAME.astype({"status": str, "job_type": str}),
        check_dtype=False,
    )
    assert result.created_at.dtype == BATCH_FRAME.created_at.dtype
    assert result.batch_id.dtype == schema.STRING_DTYPE
    assert result.status.dtype == "category"


def test_path_may_be_text_or_file_url(tmp_path: Path) -> None:
    for path in (f"{tmp_path}/text.parquet", f"file://{tmp_path}/url.parquet"):
        pd.testing.assert_frame_equal(round_trip(BATCH_FRAME, path), BATCH_FRAME)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["text.parquet", "url.parquet"]


# --- read by other libraries ----------------------------------------------------------------------

JOB_FRAME = records.to_pandas(JOBS, [{"id": "pjb-1", "status": "FAILED", "usage": {"credits": 1}}])


def test_duckdb_reads_text_times_and_numbers(tmp_path: Path) -> None:
    round_trip(JOB_FRAME, tmp_path / "jobs.parquet")
    relation = duckdb.read_parquet(str(tmp_path / "jobs.parquet"))
    kinds = {"time": "TIMESTAMP WITH TIME ZONE", "Float64": "DOUBLE", "Int64": "BIGINT"}
    expected = [kinds.get(column.type, "VARCHAR") for column in JOBS.columns]
    assert relation.columns == JOBS.names
    assert [str(kind) for kind in relation.types] == expected


def test_polars_reads_text_times_and_numbers(tmp_path: Path) -> None:
    round_trip(JOB_FRAME, tmp_path / "jobs.parquet")
    kinds = {"time": pl.Datetime("us", "UTC"), "Float64": pl.Float64(), "Int64": pl.Int64()}
    expected = {c.name: kinds.get(c.type, pl.String()) for c in JOBS.columns}
    assert dict(pl.read_parquet(tmp_path / "jobs.parquet").schema) == expected


def test_pandas_reads_file(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "plain.parquet")
    result = pd.read_parquet(tmp_path / "plain.parquet")
    assert result.batch_id.tolist() == BATCH_FRAME.batch_id.tolist()
    assert result.created_at.tolist() == BATCH_FRAME.created_at.tolist()


def test_parquet_of_other_writer_has_package_dtypes(tmp_path: Path) -> None:
    pl.from_pandas(BATCH_FRAME).cast({pl.Categorical: pl.String}).write_parquet(
        tmp_path / "pl.parquet"
    )
    result = lb.read_parquet(tmp_path / "pl.parquet")
    assert result.columns.tolist() == BATCHES.names
    assert {result[name].dtype for name in ("batch_id", "status")} == {schema.STRING_DTYPE}
    assert result.created_at.dtype == BATCH_FRAME.created_at.dtype


# --- partitioned folders --------------------------------------------------------------------------

names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=6)
odd_names = st.sampled_from(["..", ".", "a/b", "x=y", "%2F", "null", "None", "NaN", " ", "~", "\n"])


@st.composite
def partitioned(draw: st.DrawFn) -> tuple[pd.DataFrame, list[str]]:
    """Draw a frame with unique batch ids, and the columns to partition it by."""
    result = draw(st.lists(api_records(BATCHES), max_size=8))
    projects = draw(st.lists(st.none() | names | odd_names, min_size=8, max_size=8))
    for n, record in enumerate(result):
        record |= {"id": f"bat-{n}", "project_id": projects[n]}
    keys = st.sampled_from(["status", "job_type", "project_id"])
    return records.to_pandas(BATCHES, result), draw(
        st.lists(keys, min_size=1, max_size=3, unique=True)
    )


@given(partitioned())
@some
def test_round_trip_of_partitioned_folder(
    folder: Path, given: tuple[pd.DataFrame, list[str]]
) -> None:
    frame, keys = given
    result = round_trip(frame, folder / "folder", partition_by=keys)
    pd.testing.assert_frame_equal(result.sort_values("batch_id", ignore_index=True), frame)


def test_partitioned_folder_keeps_dtypes_without_rows(tmp_path: Path) -> None:
    empty = BATCH_FRAME.iloc[:0]
    result = round_trip(empty, tmp_path / "empty", partition_by="status")
    pd.testing.assert_frame_equal(result, empty, check_index_type=False)


def test_partitioned_folder_has_sub_folder_per_value(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "by", partition_by=["status"])
    folders = {path.name for path in (tmp_path / "by").iterdir() if path.is_dir()}
    missing = "status=__HIVE_DEFAULT_PARTITION__"
    assert folders == {"status=FAILED", "status=PAUSED", missing}


def test_duckdb_and_polars_read_partitioned_folder(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME.loc[:2, ["batch_id", "status"]], tmp_path / "by", partition_by="status")
    pattern = str(tmp_path / "by" / "**" / "*.parquet")
    expected = {("bat-0", "FAILED"), ("bat-1", "PAUSED"), ("bat-2", "FAILED")}
    relation = duckdb.read_parquet(pattern, hive_partitioning=True)
    assert set(relation.select("batch_id, status").fetchall()) == expected
    assert set(pl.read_parquet(pattern, hive_partitioning=True).rows()) == expected


@pytest.mark.parametrize(
    "values",
    [
        pd.array([3, -1, None, 3], "Int64"),
        pd.array([3, 1, 2, 3], "uint16"),
        [date(2026, 8, 1), date(2026, 8, 2), None, date(2026, 8, 1)],
    ],
    ids=["whole", "unsigned", "dates"],
)
def test_partition_by_integers_and_dates(values: Any, tmp_path: Path) -> None:
    frame = BATCH_FRAME.assign(key=values)
    result = round_trip(frame, tmp_path / "by", partition_by="key").sort_values("batch_id")
    pd.testing.assert_frame_equal(result.reset_index(drop=True), frame)


def test_partitioned_folder_keeps_index_labels(tmp_path: Path) -> None:
    frame = BATCH_FRAME.iloc[::-1]
    result = round_trip(frame, tmp_path / "by", partition_by="status")
    pd.testing.assert_frame_equal(result.loc[frame.index], frame, check_index_type=False)


def test_partitioned_folder_keeps_order_within_sub_folder(tmp_path: Path) -> None:
    frame = pd.DataFrame({"key": ["a", "b"] * 300_000, "row": range(600_000)})
    result = round_trip(frame, tmp_path / "by", partition_by="key")
    assert len(result) == len(frame)
    for _, rows in result.groupby("key"):
        assert rows.row.is_monotonic_increasing


def test_more_partitions_than_arrow_default(tmp_path: Path) -> None:
    frame = pd.DataFrame({"key": [f"k-{n:04}" for n in range(1100)], "row": range(1100)})
    result = round_trip(frame, tmp_path / "by", partition_by="key")
    assert result.sort_values("row").key.tolist() == frame.key.tolist()


def test_repeated_partition_column_is_used_once(tmp_path: Path) -> None:
    result = round_trip(BATCH_FRAME, tmp_path / "by", partition_by=["status", "status"])
    assert result.columns.tolist() == BATCHES.names


def test_folder_without_schema_file_is_read(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")
    (tmp_path / "by" / "_common_metadata").unlink()
    result = lb.read_parquet(tmp_path / "by")
    assert set(result.columns) == set(BATCHES.names)
    assert sorted(result.batch_id) == BATCH_FRAME.batch_id.tolist()


# --- replacing existing files ---------------------------------------------------------------------


def test_open_file_is_readable_after_replacement(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "one.parquet")
    before = (tmp_path / "one.parquet").read_bytes()
    with (tmp_path / "one.parquet").open("rb") as reader:
        round_trip(BATCH_FRAME.iloc[:1], tmp_path / "one.parquet")
        assert reader.read() == before
    assert len(lb.read_parquet(tmp_path / "one.parquet")) == 1
    assert list(folder_content(tmp_path)) == ["one.parquet"]


def test_export_replaces_whole_folder(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")
    result = round_trip(BATCH_FRAME.iloc[:1], tmp_path / "by", partition_by="job_type")
    pd.testing.assert_frame_equal(result, BATCH_FRAME.iloc[:1])
    assert {name.split("/")[0] for name in folder_content(tmp_path)} == {"by"}
    assert not list((tmp_path / "by").glob("status=*"))


def test_export_to_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "by").mkdir()
    assert len(round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")) == 4


SYSTEM_FILES = [".DS_Store", "._notes", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini"]


@pytest.mark.parametrize("name", SYSTEM_FILES)
def test_folder_of_system_files_is_empty(each_path: str, name: str) -> None:
    filesystem, root = fsspec.url_to_fs(each_path)
    filesystem.makedirs(root, exist_ok=True)
    filesystem.pipe_file(f"{root}/{name}", b"not Parquet")
    assert len(round_trip(BATCH_FRAME, each_path, partition_by="status")) == 4
    assert filesystem.cat_file(f"{root}/{name}") == b"not Parquet"


@pytest.mark.parametrize("name", SYSTEM_FILES)
def test_system_files_in_a_folder_are_no_part_of_it(tmp_path: Path, name: str) -> None:
    round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")
    for folder in (tmp_path / "by", tmp_path / "by" / "status=FAILED"):
        (folder / name).write_text("not Parquet")
    assert len(round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")) == 4
    plain = tmp_path / "plain"
    plain.mkdir()
    BATCH_FRAME.to_parquet(plain / "one.parquet")
    (plain / name).write_text("not Parquet")
    assert len(lb.read_parquet(plain)) == 4


@pytest.mark.parametrize("name", ["mine.parquet", "sub/mine.parquet", "status=FAILED/mine.parquet"])
@pytest.mark.parametrize("is_exported", [True, False])
def test_folder_with_other_files_is_not_replaced(
    tmp_path: Path, name: str, is_exported: bool
) -> None:
    if is_exported:
        round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")
    mine = tmp_path / "by" / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    BATCH_FRAME.to_parquet(mine)
    with (
        nothing_changed(tmp_path),
        pytest.raises(FileExistsError, match="not written by export_parquet"),
    ):
        lb.export_parquet(BATCH_FRAME, tmp_path / "by", partition_by="status")


@contextmanager
def nothing_changed(folder: Path) -> Iterator[None]:
    before = folder_content(folder)
    yield
    assert folder_content(folder) == before


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """Return a folder with an exported file, an exported folder and a folder of other files."""
    round_trip(BATCH_FRAME, tmp_path / "one.parquet")
    round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("keep me")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("missing/one.parquet", FileNotFoundError, "No folder '.*missing'"),
        ("one.parquet/two.parquet", OSError, "one.parquet"),
        ("other", IsADirectoryError, "is a folder"),
        ("by", IsADirectoryError, "is a folder"),
    ],
)
def test_invalid_path_for_file_raises(
    existing: Path, path: str, error: type[OSError], message: str
) -> None:
    with nothing_changed(existing), pytest.raises(error, match=message):
        lb.export_parquet(BATCH_FRAME, existing / path)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("missing/by", FileNotFoundError),
        ("one.parquet/by", OSError),
        ("other", FileExistsError),
        ("one.parquet", FileExistsError),
    ],
)
def test_invalid_path_for_folder_raises(existing: Path, path: str, error: type[OSError]) -> None:
    with nothing_changed(existing), pytest.raises(error):
        lb.export_parquet(BATCH_FRAME, existing / path, partition_by="status")


@pytest.mark.parametrize("partition_by", [None, "status"])
def test_unwritable_column_keeps_existing_files(existing: Path, partition_by: str | None) -> None:
    path = existing / ("by" if partition_by else "one.parquet")
    frame = BATCH_FRAME.assign(mixed=pd.Series([1, "a", None, 2.5], dtype=object))
    with nothing_changed(existing), pytest.raises((ValueError, TypeError), match="mixed"):
        lb.export_parquet(frame, path, partition_by=partition_by)


def test_too_long_partition_value_keeps_existing_folder(existing: Path) -> None:
    frame = BATCH_FRAME.assign(project_id="é" * 300)
    with nothing_changed(existing), pytest.raises(OSError, match="too long"):
        lb.export_parquet(frame, existing / "by", partition_by="project_id")


@pytest.mark.parametrize("partition_by", [None, "status"])
def test_full_disk_keeps_existing_files(existing: Path, partition_by: str | None) -> None:
    path = existing / ("by" if partition_by else "one.parquet")
    with (
        nothing_changed(existing),
        pytest.raises(OSError, match="export again") as e,
        full_disk(500),
    ):
        lb.export_parquet(BATCH_FRAME, path, partition_by=partition_by)
    assert str(path) in str(e.value)


# --- completeness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_url", [False, True])
def test_folder_that_lost_files_is_refused(is_url: bool, tmp_path: Path, memory_url: str) -> None:
    path = memory_url if is_url else str(tmp_path / "by")
    round_trip(BATCH_FRAME, path, partition_by="status")
    filesystem, root = fsspec.url_to_fs(path)
    filesystem.rm(f"{root}/status=PAUSED", recursive=True)
    with pytest.raises(lb.DatasetError, match=r"1 of 3 files is missing \('status=PAUSED/part-"):
        lb.read_parquet(path)


def test_changed_file_of_folder_is_refused(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")
    [part] = (tmp_path / "by" / "status=PAUSED").iterdir()
    part.write_bytes(next((tmp_path / "by" / "status=FAILED").iterdir()).read_bytes())
    with pytest.raises(lb.DatasetError, match=r"PAUSED/part-.* is damaged"):
        lb.read_parquet(tmp_path / "by")


def test_file_that_is_not_of_the_export_is_not_read(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "by", partition_by="status")
    (tmp_path / "by" / "status=NEW").mkdir()
    BATCH_FRAME.to_parquet(tmp_path / "by" / "status=NEW" / "mine.parquet")
    assert len(lb.read_parquet(tmp_path / "by")) == 4


def test_folder_of_different_tables_is_refused(tmp_path: Path) -> None:
    lb.export_parquet(BATCH_FRAME, tmp_path / "batches.parquet")
    lb.export_parquet(JOB_FRAME, tmp_path / "jobs.parquet")
    with pytest.raises(lb.DatasetError, match="files of different tables"):
        lb.read_parquet(tmp_path)


def test_synced_dataset_is_refused(api: FakeApi, each_path: str) -> None:
    lb.sync_dataset(each_path)
    with pytest.raises(lb.DatasetError, match="read_dataset or open_dataset"):
        lb.read_parquet(each_path)


def test_files_stay_until_new_ones_are_listed(
    existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def check(self: Path, target: Path) -> Path:
        assert len(lb.read_parquet(existing / "by")) == 4
        result = replace(self, target)
        assert len(lb.read_parquet(existing / "by")) == 1
        return result

    monkeypatch.setattr(Path, "replace", check)
    lb.export_parquet(BATCH_FRAME.iloc[:1], existing / "by", partition_by="job_type")
    assert len(list((existing / "by").rglob("*.parquet"))) == 1


def test_export_that_another_one_overtook_raises(
    existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def overtaken(self: Path, target: Path) -> Path:
        monkeypatch.undo()
        lb.export_parquet(BATCH_FRAME.iloc[:2], existing / "by", partition_by="job_type")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    with pytest.raises(FileExistsError, match="Another process has exported"):
        lb.export_parquet(BATCH_FRAME, existing / "by", partition_by="status")
    assert len(lb.read_parquet(existing / "by")) == 2
    assert len(list((existing / "by").rglob("*.parquet"))) == 1


# --- invalid partitions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "key", "message"),
    [
        (BATCH_FRAME, "nothing", "no column 'nothing'"),
        (BATCH_FRAME, "created_at", r"timestamp.*\.dt\.date"),
        (JOB_FRAME, "credits", "double"),
        (BATCH_FRAME.assign(x=["a", "", "b", "c"]), "x", "contains ''"),
        (BATCH_FRAME.assign(x=["a", "b\0c", "b", "d"]), "x", "contains 'b.*c'"),
        (BATCH_FRAME.assign(x="__HIVE_DEFAULT_PARTITION__"), "x", "contains '__HIVE"),
        (BATCH_FRAME.assign(_x="a"), "_x", "rename the column"),
        (BATCH_FRAME.assign(**{".x": "a"}), ".x", "rename the column"),
        (BATCH_FRAME.assign(**{"a/b": "a"}), "a/b", "rename the column"),
        (BATCH_FRAME.assign(**{"a=b": "a"}), "a=b", "rename the column"),
        (BATCH_FRAME.assign(**{"%41": "a"}), "%41", "rename the column"),
        (BATCH_FRAME[["status"]], "status", "at least one column"),
    ],
)
def test_invalid_partition_column_raises(
    frame: pd.DataFrame, key: str, message: str, tmp_path: Path
) -> None:
    with nothing_changed(tmp_path), pytest.raises(ValueError, match=message):
        lb.export_parquet(frame, tmp_path / "by", partition_by=key)


def test_value_that_is_no_frame_raises(tmp_path: Path) -> None:
    with nothing_changed(tmp_path), pytest.raises(TypeError, match="frame must be a frame"):
        lb.export_parquet([1], tmp_path / "one.parquet")  # type: ignore[type-var]


# --- URLs -----------------------------------------------------------------------------------------


@given(batch_frames())
@few
def test_round_trip_of_file_at_url(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(round_trip(frame, "memory://export/one.parquet"), frame)


def test_round_trip_of_partitioned_folder_at_url(memory_url: str) -> None:
    result = round_trip(BATCH_FRAME, f"{memory_url}/deep/by", partition_by=["status", "job_type"])
    pd.testing.assert_frame_equal(result.sort_values("batch_id", ignore_index=True), BATCH_FRAME)


def test_partitioned_folder_at_url_keeps_dtypes_without_rows(memory_url: str) -> None:
    result = round_trip(BATCH_FRAME.iloc[:0], f"{memory_url}/by", partition_by="status")
    assert result.dtypes.equals(BATCH_FRAME.dtypes)


def test_existing_folder_at_url_is_not_replaced(memory_url: str) -> None:
    round_trip(BATCH_FRAME, f"{memory_url}/by", partition_by="status")
    with pytest.raises(FileExistsError, match="choose a new folder"):
        lb.export_parquet(BATCH_FRAME.iloc[:1], f"{memory_url}/by", partition_by="status")
    assert len(lb.read_parquet(f"{memory_url}/by")) == 4


@pytest.mark.parametrize("name", ["notes.txt", "deep/.DS_Store", "deep/notes.txt"])
def test_folder_with_other_files_at_url_is_not_replaced(memory_url: str, name: str) -> None:
    filesystem, root = fsspec.url_to_fs(memory_url)
    filesystem.pipe_file(f"{root}/{name}", b"mine")
    with pytest.raises(FileExistsError, match="choose a new folder"):
        lb.export_parquet(BATCH_FRAME, memory_url, partition_by="status")
    assert filesystem.find(root) == [f"{root}/{name}"]


def test_url_with_unknown_scheme_raises() -> None:
    with pytest.raises(ValueError, match="nosuch"):
        lb.export_parquet(BATCH_FRAME, "nosuch://bucket/one.parquet")


# --- missing and invalid files --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nothing.parquet", "nothing/one.parquet"])
def test_missing_file_raises(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        lb.read_parquet(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=name):
        lb.read_parquet(f"memory://{name}")


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"batch_id,status\n" * 9, b"PAR1" * 9, b"\0" * 99]
)
def test_file_that_is_not_parquet_raises(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(lb.DatasetError, match="other' is not Parquet"):
        lb.read_parquet(tmp_path / "other")


@given(st.floats(0, 1, exclude_max=True))
@few
def test_truncated_file_raises(folder: Path, share: float) -> None:
    round_trip(BATCH_FRAME, folder / "whole.parquet")
    whole = (folder / "whole.parquet").read_bytes()
    (folder / "part.parquet").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(lb.DatasetError, match=r"part\.parquet"):
        lb.read_parquet(folder / "part.parquet")


def test_damaged_file_raises(tmp_path: Path) -> None:
    round_trip(BATCH_FRAME, tmp_path / "one.parquet")
    whole = (tmp_path / "one.parquet").read_bytes()
    (tmp_path / "one.parquet").write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    with pytest.raises(lb.DatasetError, match="or is damaged"):
        lb.read_parquet(tmp_path / "one.parquet")


def test_folder_without_parquet_files_raises(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(lb.DatasetError, match="contains no Parquet files"):
        lb.read_parquet(tmp_path / "empty")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("not Parquet")
    with pytest.raises(lb.DatasetError, match="not Parquet"):
        lb.read_parquet(tmp_path / "notes")
