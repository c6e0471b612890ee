"""What is kept comes back as it was; what fails leaves everything as it was."""

from __future__ import annotations

import resource
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

FOUND = records.to_pandas(
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
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder to all examples of a property."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def memory() -> Iterator[str]:
    """Give the URL of an empty place that is no folder of this machine."""
    filesystem = fsspec.filesystem("memory")
    yield "memory://kept"
    filesystem.rm("/kept", recursive=True)


def kept(frame: pd.DataFrame, place: Path | str, **partition_by: Any) -> pd.DataFrame:
    """Write and read."""
    frame.pipe(lb.export_parquet, place, **partition_by)
    return lb.read_parquet(place)


def everything_below(folder: Path) -> dict[str, bytes | None]:
    """Return all that is in a folder, hidden or not."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# --- one file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@given(data=st.data())
@few
def test_any_table_comes_back_as_it_was(table: Table, data: st.DataObject, place: Path) -> None:
    frame = data.draw(table_frames(table))
    pd.testing.assert_frame_equal(kept(frame, place / "table.parquet"), frame)


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
"""What is made of batches, results and jobs."""


@given(batches=batch_frames(), results=result_frames(), jobs=job_frames())
@settings(max_examples=6, deadline=None)
def test_what_is_made_of_tables_comes_back_as_it_was(
    place: Path, batches: pd.DataFrame, results: pd.DataFrame, jobs: pd.DataFrame
) -> None:
    for name, made in DERIVED.items():
        frame = made(batches.drop_duplicates("batch_id"), results, jobs)
        pd.testing.assert_frame_equal(kept(frame, place / "made.parquet"), frame, obj=name)


def test_comparison_comes_back_as_it_was(tmp_path: Path) -> None:
    mapped = [{"source_directory_file_id": "dfl-1", "error_message": None}]
    runs = [
        {"id": one, "config": {"job": {"configuration_id": one}}, "results": mapped} for one in "ab"
    ]
    frame = lb.compare_configurations(lb.outcomes(results_of(*runs)), "a", "b")
    pd.testing.assert_frame_equal(kept(frame, tmp_path / "compared.parquet"), frame)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_without_rows_keeps_its_dtypes(table: Table, tmp_path: Path) -> None:
    empty = schema.to_pandas(table.arrow_schema.empty_table(), table.columns)
    pd.testing.assert_frame_equal(kept(empty, tmp_path / "empty.parquet"), empty)


@given(st.lists(st.text(), min_size=1))
@example(["\0", "\x1b[31m", "\u202e", "\ufeff", "\U0010ffff", "e\u0301", "é", " ", ""])
@some
def test_text_of_every_script_is_kept(place: Path, texts: list[str]) -> None:
    frame = records.to_pandas(BATCHES, [{"id": text, "status": text} for text in texts])
    found = kept(frame, place / "texts.parquet")
    assert found.batch_id.tolist() == texts
    assert found.status.tolist() == texts


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.assign(status=found.status.cat.remove_unused_categories()),
        lambda found: found.assign(status=found.status.cat.as_ordered()),
        lambda found: found.assign(status=found.status.cat.add_categories(["née"])),
        lambda found: found.assign(status=found.status.cat.set_categories(["RUNNING"])),
        lambda found: found.iloc[::-1],
        lambda found: found[::2],
        lambda found: found.set_axis([4, 4, 1, 2]),
        lambda found: found.set_index("batch_id"),
        lambda found: found.set_index("batch_id", drop=False),
        lambda found: found.set_index(["batch_id", "created_at"]),
        lambda found: found.rename_axis("row"),
        lambda found: found[["updated_at", "batch_id"]],
        lambda found: found.assign(pages=range(4), share=0.5, good=[True, False] * 2),
        lambda found: found.assign(pages=pd.array([1, None, 2, 3], "Int64")),
        lambda found: found.assign(took=found.created_at - found.created_at.iloc[0]),
        lambda found: found.assign(day=found.created_at.dt.tz_localize(None)),
    ],
)
def test_frame_that_was_worked_on_comes_back_too(
    change: Callable[[pd.DataFrame], pd.DataFrame], tmp_path: Path
) -> None:
    frame = change(FOUND)
    found = kept(frame, tmp_path / "changed.parquet")
    pd.testing.assert_frame_equal(found, frame, check_index_type="equiv")


def test_column_of_nothing_has_a_type_for_other_readers(tmp_path: Path) -> None:
    frame = FOUND.assign(note=pd.Series([None] * 4, dtype=object))
    found = kept(frame, tmp_path / "note.parquet")
    assert found.note.isna().all()
    assert duckdb.read_parquet(str(tmp_path / "note.parquet")).select("note").types == ["VARCHAR"]


def test_columns_may_be_named_by_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({5: pd.Categorical(["a", None, "b"]), 6: [1, 2, 3]})
    found = kept(frame, tmp_path / "one.parquet")
    assert list(found) == list(frame)
    assert found[5].dtype.name == "category"
    assert found[5].astype(object).fillna("none").tolist() == ["a", "none", "b"]


def test_attrs_are_no_obstacle_and_stay_with_the_frame(tmp_path: Path) -> None:
    frame = FOUND.copy()
    frame.attrs = {"when": datetime(2026, 8, 1), "what": object()}
    assert lb.export_parquet(frame, tmp_path / "attrs.parquet") is frame
    assert set(frame.attrs) == {"when", "what"}
    pd.testing.assert_frame_equal(lb.read_parquet(tmp_path / "attrs.parquet"), FOUND)


def test_frame_is_not_changed(tmp_path: Path) -> None:
    before = FOUND.copy(deep=True)
    kept(FOUND, tmp_path / "one.parquet")
    kept(FOUND, tmp_path / "many", partition_by="status")
    pd.testing.assert_frame_equal(FOUND, before)


@pytest.mark.parametrize(
    "frame",
    [pl.from_pandas(FOUND), pl.from_pandas(FOUND).lazy(), pa.Table.from_pandas(FOUND)],
    ids=["polars", "lazy polars", "pyarrow"],
)
def test_frames_of_other_engines_are_kept(frame: Any, tmp_path: Path) -> None:
    assert lb.export_parquet(frame, tmp_path / "other.parquet") is frame
    found = lb.read_parquet(tmp_path / "other.parquet")
    pd.testing.assert_frame_equal(
        found.astype({"status": str, "job_type": str}),
        FOUND.astype({"status": str, "job_type": str}),
        check_dtype=False,
    )
    assert found.created_at.dtype == FOUND.created_at.dtype
    assert found.batch_id.dtype == schema.STRING_DTYPE


def test_place_may_be_text_or_a_file_url(tmp_path: Path) -> None:
    for place in (f"{tmp_path}/text.parquet", f"file://{tmp_path}/url.parquet"):
        pd.testing.assert_frame_equal(kept(FOUND, place), FOUND)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.parquet", "url.parquet"]


# --- for other readers --------------------------------------------------------------------------

FOR_ALL = records.to_pandas(JOBS, [{"id": "pjb-1", "status": "FAILED", "usage": {"credits": 1}}])


def test_duckdb_reads_text_times_and_numbers(tmp_path: Path) -> None:
    kept(FOR_ALL, tmp_path / "jobs.parquet")
    relation = duckdb.read_parquet(str(tmp_path / "jobs.parquet"))
    kinds = {"string": "VARCHAR", "category": "VARCHAR", "Float64": "DOUBLE"}
    expected = [kinds.get(column.type, "TIMESTAMP WITH TIME ZONE") for column in JOBS.columns]
    assert relation.columns == JOBS.names
    assert [str(kind) for kind in relation.types] == expected


def test_polars_reads_text_times_and_numbers(tmp_path: Path) -> None:
    kept(FOR_ALL, tmp_path / "jobs.parquet")
    kinds = {"string": pl.String(), "category": pl.String(), "Float64": pl.Float64()}
    expected = {c.name: kinds.get(c.type, pl.Datetime("us", "UTC")) for c in JOBS.columns}
    assert dict(pl.read_parquet(tmp_path / "jobs.parquet").schema) == expected


def test_pandas_alone_reads_it(tmp_path: Path) -> None:
    kept(FOUND, tmp_path / "plain.parquet")
    found = pd.read_parquet(tmp_path / "plain.parquet")
    assert found.batch_id.tolist() == FOUND.batch_id.tolist()
    assert found.created_at.tolist() == FOUND.created_at.tolist()


def test_parquet_of_others_has_our_dtypes(tmp_path: Path) -> None:
    pl.from_pandas(FOUND).cast({pl.Categorical: pl.String}).write_parquet(tmp_path / "pl.parquet")
    found = lb.read_parquet(tmp_path / "pl.parquet")
    assert found.columns.tolist() == BATCHES.names
    assert {found[name].dtype for name in ("batch_id", "status")} == {schema.STRING_DTYPE}
    assert found.created_at.dtype == FOUND.created_at.dtype


# --- a folder by the values of columns ----------------------------------------------------------

names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=6)
odd_names = st.sampled_from(["..", ".", "a/b", "x=y", "%2F", "null", "None", "NaN", " ", "~", "\n"])


@st.composite
def partitioned(draw: st.DrawFn) -> tuple[pd.DataFrame, list[str]]:
    """A frame with its rows numbered, and the columns to write it by."""
    found = draw(st.lists(api_records(BATCHES), max_size=8))
    projects = draw(st.lists(st.none() | names | odd_names, min_size=8, max_size=8))
    for n, record in enumerate(found):
        record |= {"id": f"bat-{n}", "project_id": projects[n]}
    keys = st.sampled_from(["status", "job_type", "project_id"])
    return records.to_pandas(BATCHES, found), draw(
        st.lists(keys, min_size=1, max_size=3, unique=True)
    )


@given(partitioned())
@some
def test_folder_comes_back_with_its_columns_and_rows(
    place: Path, given: tuple[pd.DataFrame, list[str]]
) -> None:
    frame, keys = given
    found = kept(frame, place / "folder", partition_by=keys)
    pd.testing.assert_frame_equal(found.sort_values("batch_id", ignore_index=True), frame)


def test_folder_without_rows_keeps_its_dtypes(tmp_path: Path) -> None:
    empty = FOUND.iloc[:0]
    found = kept(empty, tmp_path / "empty", partition_by="status")
    pd.testing.assert_frame_equal(found, empty, check_index_type=False)


def test_folder_has_a_sub_folder_per_value(tmp_path: Path) -> None:
    kept(FOUND, tmp_path / "by", partition_by=["status"])
    folders = {path.name for path in (tmp_path / "by").iterdir() if path.is_dir()}
    missing = "status=__HIVE_DEFAULT_PARTITION__"
    assert folders == {"status=FAILED", "status=PAUSED", missing}


def test_others_read_the_folder(tmp_path: Path) -> None:
    kept(FOUND.loc[:2, ["batch_id", "status"]], tmp_path / "by", partition_by="status")
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
def test_folders_of_numbers_and_dates(values: Any, tmp_path: Path) -> None:
    frame = FOUND.assign(key=values)
    found = kept(frame, tmp_path / "by", partition_by="key").sort_values("batch_id")
    pd.testing.assert_frame_equal(found.reset_index(drop=True), frame)


def test_folder_keeps_labels_with_their_rows(tmp_path: Path) -> None:
    frame = FOUND.iloc[::-1]
    found = kept(frame, tmp_path / "by", partition_by="status")
    pd.testing.assert_frame_equal(found.loc[frame.index], frame, check_index_type=False)


def test_folder_keeps_the_order_within_a_sub_folder(tmp_path: Path) -> None:
    frame = pd.DataFrame({"key": ["a", "b"] * 300_000, "row": range(600_000)})
    found = kept(frame, tmp_path / "by", partition_by="key")
    assert len(found) == len(frame)
    for _, rows in found.groupby("key"):
        assert rows.row.is_monotonic_increasing


def test_more_sub_folders_than_arrow_has_by_default(tmp_path: Path) -> None:
    frame = pd.DataFrame({"key": [f"k-{n:04}" for n in range(1100)], "row": range(1100)})
    found = kept(frame, tmp_path / "by", partition_by="key")
    assert found.sort_values("row").key.tolist() == frame.key.tolist()


def test_column_named_twice_is_one_step(tmp_path: Path) -> None:
    found = kept(FOUND, tmp_path / "by", partition_by=["status", "status"])
    assert found.columns.tolist() == BATCHES.names


def test_folder_without_our_schema_is_still_read(tmp_path: Path) -> None:
    kept(FOUND, tmp_path / "by", partition_by="status")
    (tmp_path / "by" / "_common_metadata").unlink()
    found = lb.read_parquet(tmp_path / "by")
    assert set(found.columns) == set(BATCHES.names)
    assert sorted(found.batch_id) == FOUND.batch_id.tolist()


# --- replaced in one step -----------------------------------------------------------------------


def test_reader_of_the_old_file_reads_on(tmp_path: Path) -> None:
    kept(FOUND, tmp_path / "one.parquet")
    before = (tmp_path / "one.parquet").read_bytes()
    with (tmp_path / "one.parquet").open("rb") as reader:
        kept(FOUND.iloc[:1], tmp_path / "one.parquet")
        assert reader.read() == before
    assert len(lb.read_parquet(tmp_path / "one.parquet")) == 1
    assert list(everything_below(tmp_path)) == ["one.parquet"]


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    kept(FOUND, tmp_path / "by", partition_by="status")
    found = kept(FOUND.iloc[:1], tmp_path / "by", partition_by="job_type")
    pd.testing.assert_frame_equal(found, FOUND.iloc[:1])
    assert {name.split("/")[0] for name in everything_below(tmp_path)} == {"by"}
    assert not list((tmp_path / "by").glob("status=*"))


def test_empty_folder_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "by").mkdir()
    assert len(kept(FOUND, tmp_path / "by", partition_by="status")) == 4


@pytest.mark.parametrize("name", ["mine.parquet", "sub/mine.parquet", "status=FAILED/mine.parquet"])
@pytest.mark.parametrize("is_ours", [True, False])
def test_parquet_of_others_is_not_replaced(tmp_path: Path, name: str, is_ours: bool) -> None:
    if is_ours:
        kept(FOUND, tmp_path / "by", partition_by="status")
    mine = tmp_path / "by" / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    FOUND.to_parquet(mine)
    with nothing_changed(tmp_path), pytest.raises(FileExistsError, match="something else"):
        lb.export_parquet(FOUND, tmp_path / "by", partition_by="status")


@contextmanager
def nothing_changed(folder: Path) -> Iterator[None]:
    before = everything_below(folder)
    yield
    assert everything_below(folder) == before


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Give a folder with a Parquet file, a folder of them, and a folder of something else."""
    kept(FOUND, tmp_path / "one.parquet")
    kept(FOUND, tmp_path / "by", partition_by="status")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("keep me")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "error", "says"),
    [
        ("missing/one.parquet", FileNotFoundError, "no folder '.*missing'"),
        ("one.parquet/two.parquet", OSError, "one.parquet"),
        ("other", IsADirectoryError, "is a folder"),
        ("by", IsADirectoryError, "is a folder"),
    ],
)
def test_place_that_cannot_hold_a_file(
    old: Path, place: str, error: type[OSError], says: str
) -> None:
    with nothing_changed(old), pytest.raises(error, match=says):
        lb.export_parquet(FOUND, old / place)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("missing/by", FileNotFoundError),
        ("one.parquet/by", OSError),
        ("other", FileExistsError),
        ("one.parquet", FileExistsError),
    ],
)
def test_place_that_cannot_hold_a_folder(old: Path, place: str, error: type[OSError]) -> None:
    with nothing_changed(old), pytest.raises(error):
        lb.export_parquet(FOUND, old / place, partition_by="status")


@pytest.mark.parametrize("partition_by", [None, "status"])
def test_column_that_is_no_column_leaves_the_old(old: Path, partition_by: str | None) -> None:
    place = old / ("by" if partition_by else "one.parquet")
    frame = FOUND.assign(mixed=pd.Series([1, "a", None, 2.5], dtype=object))
    with nothing_changed(old), pytest.raises((ValueError, TypeError), match="mixed"):
        lb.export_parquet(frame, place, partition_by=partition_by)


def test_value_too_long_for_a_folder_leaves_the_old(old: Path) -> None:
    frame = FOUND.assign(project_id="é" * 300)
    with nothing_changed(old), pytest.raises(OSError, match="too long"):
        lb.export_parquet(frame, old / "by", partition_by="project_id")


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("partition_by", [None, "status"])
def test_disk_that_fills_up_leaves_the_old(old: Path, partition_by: str | None) -> None:
    place = old / ("by" if partition_by else "one.parquet")
    with nothing_changed(old), pytest.raises(OSError, match=r"(?i)too large"), full_disk(500):
        lb.export_parquet(FOUND, place, partition_by=partition_by)


# --- what can't be partitioned by ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "key", "says"),
    [
        (FOUND, "nothing", "no column 'nothing'"),
        (FOUND, "created_at", r"timestamp.*\.dt\.date"),
        (FOR_ALL, "credits", "double"),
        (FOUND.assign(x=["a", "", "b", "c"]), "x", "holds ''"),
        (FOUND.assign(x=["a", "b\0c", "b", "d"]), "x", "holds 'b.*c'"),
        (FOUND.assign(x="__HIVE_DEFAULT_PARTITION__"), "x", "holds '__HIVE"),
        (FOUND.assign(_x="a"), "_x", "rename the column"),
        (FOUND.assign(**{".x": "a"}), ".x", "rename the column"),
        (FOUND.assign(**{"a/b": "a"}), "a/b", "rename the column"),
        (FOUND.assign(**{"a=b": "a"}), "a=b", "rename the column"),
        (FOUND.assign(**{"%41": "a"}), "%41", "rename the column"),
        (FOUND[["status"]], "status", "at least one column"),
    ],
)
def test_what_would_not_come_back_is_refused(
    frame: pd.DataFrame, key: str, says: str, tmp_path: Path
) -> None:
    with nothing_changed(tmp_path), pytest.raises(ValueError, match=says):
        lb.export_parquet(frame, tmp_path / "by", partition_by=key)


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    with nothing_changed(tmp_path), pytest.raises(TypeError, match="A frame is needed"):
        lb.export_parquet([1], tmp_path / "one.parquet")


# --- URLs ---------------------------------------------------------------------------------------


@given(batch_frames())
@few
def test_url_holds_a_file(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(kept(frame, "memory://kept-by-url/one.parquet"), frame)


def test_url_holds_a_folder(memory: str) -> None:
    found = kept(FOUND, f"{memory}/deep/by", partition_by=["status", "job_type"])
    pd.testing.assert_frame_equal(found.sort_values("batch_id", ignore_index=True), FOUND)


def test_url_holds_a_folder_without_rows(memory: str) -> None:
    found = kept(FOUND.iloc[:0], f"{memory}/by", partition_by="status")
    assert found.dtypes.equals(FOUND.dtypes)


def test_folder_at_a_url_is_not_overwritten(memory: str) -> None:
    kept(FOUND, f"{memory}/by", partition_by="status")
    with pytest.raises(FileExistsError, match="name a new folder"):
        lb.export_parquet(FOUND.iloc[:1], f"{memory}/by", partition_by="status")
    assert len(lb.read_parquet(f"{memory}/by")) == 4


def test_url_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="nosuch"):
        lb.export_parquet(FOUND, "nosuch://kept/one.parquet")


# --- what is not there, or not Parquet ----------------------------------------------------------


@pytest.mark.parametrize("name", ["nothing.parquet", "nothing/one.parquet"])
def test_nothing_is_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        lb.read_parquet(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=name):
        lb.read_parquet(f"memory://{name}")


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"batch_id,status\n" * 9, b"PAR1" * 9, b"\0" * 99]
)
def test_something_else_is_a_dataset_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(lb.DatasetError, match="other' is not Parquet"):
        lb.read_parquet(tmp_path / "other")


@given(st.floats(0, 1, exclude_max=True))
@few
def test_part_of_a_file_is_a_dataset_error(place: Path, share: float) -> None:
    kept(FOUND, place / "whole.parquet")
    whole = (place / "whole.parquet").read_bytes()
    (place / "part.parquet").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(lb.DatasetError, match=r"part\.parquet"):
        lb.read_parquet(place / "part.parquet")


def test_damaged_values_are_a_dataset_error(tmp_path: Path) -> None:
    kept(FOUND, tmp_path / "one.parquet")
    whole = (tmp_path / "one.parquet").read_bytes()
    (tmp_path / "one.parquet").write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    with pytest.raises(lb.DatasetError, match="or damaged"):
        lb.read_parquet(tmp_path / "one.parquet")


def test_folder_of_something_else_is_a_dataset_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(lb.DatasetError, match="no Parquet files"):
        lb.read_parquet(tmp_path / "empty")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("not Parquet")
    with pytest.raises(lb.DatasetError, match="not Parquet"):
        lb.read_parquet(tmp_path / "notes")
