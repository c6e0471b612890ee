"""All analysis functions on all engines: equal results, dtypes included."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import duckdb
import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import llama_batches_nb as lb
from llama_batches_nb.dataset.read import TableName
from llama_batches_nb.sandbox_server.process import Server
from llama_batches_nb.tables import records
from llama_batches_nb.tables.engines import wrap_frame
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS, STRING_DTYPE
from tests.strategies import results_of

Frame = Any
"""A frame of some engine."""
Read = Callable[[Path], Frame]
"""How an engine reads a folder of Parquet files."""

ZONE = "America/New_York"  # of the sessions of those engines that have one: it must not matter
TABLES: tuple[TableName, ...] = ("batches", "results", "jobs")

# Dask's reader of Parquet uses what pandas is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

# --- the world ----------------------------------------------------------------------------------

STATUSES = ["COMPLETED", "COMPLETED", "CANCELLED", "FAILED", "COMPLETED", "RUNNING", "PAUSED"]
TIMES = [  # about the ends of days, weeks, months, a year, and of summer time in New York
    "2026-10-31T23:59:59.999999Z",
    "2026-11-01T00:00:00Z",
    "2026-11-01T05:30:00.000001Z",
    "2026-11-01T06:30:00Z",
    "2026-11-02T02:00:00+05:30",
    "2026-12-31T23:00:00-05:00",
    "2027-01-04T00:00:00Z",
]
MESSAGES = [None, "", "Page 3 of 'a.pdf' is blank", "Page 12 of 'b (2).pdf' is blank", "Schlüssel"]
JOB_STATUSES = ["COMPLETED", "FAILED", "COMPLETED", "CANCELLED", "RUNNING", "FAILED", "PAUSED"]


def batch(n: int) -> dict[str, Any]:
    """Return a batch: one file in four got no job, and one has that of the batch before."""
    kind = ["parse_v2", "extract_v2", "parse_v3"][n % 7 // 3]
    mappings = [
        {
            "source_directory_file_id": f"dfl-{place}",
            "job_reference": {"id": f"pjb-{n}-{place}", "type": kind} if place % 4 else None,
            "error_message": None if place % 4 else MESSAGES[(n + place) % 5],
        }
        for place in range(n % 9)
    ]
    again = {"job_reference": {"id": f"pjb-{n - 1}-1"}, "source_directory_file_id": "dfl-x"}
    return {
        "id": f"bat-{n:02d}",
        "status": STATUSES[n % 7],
        "config": {"job": {"type": kind, "configuration_id": ["cfg-b", None, "cfg-ä"][n % 3]}},
        "source_directory_id": f"dir-{n % 4}",
        "created_at": TIMES[n % 7] if n % 11 else None,
        "updated_at": TIMES[6],
        "results": [*mappings, again] if n % 5 else None,
    }


def job(n: int, place: int) -> dict[str, Any]:
    status = JOB_STATUSES[(n * 3 + place) % 7]
    return {
        "id": f"pjb-{n}-{place}",
        "status": status,
        "error_message": MESSAGES[(n * 2 + place) % 5] if status == "FAILED" else None,
        "usage": {"credits": n * place % 13 + 0.5 if place % 3 else None},
        "job_type": ["parse_v2", None][n % 2],
        "created_at": TIMES[(n + place) % 7],
        "updated_at": TIMES[6],
    }


RECORDS = [batch(n) for n in range(60)]
WORLD = (
    records.to_pandas(BATCHES, RECORDS),
    results_of(*RECORDS),
    records.to_pandas(JOBS, [job(n, place) for n in range(55) for place in range(1, 9)]),
)

EMPTY = (records.to_pandas(BATCHES, []), results_of(), records.to_pandas(JOBS, []))
FILES = pd.DataFrame(
    {
        "source_directory_file_id": [f"dfl-{n}" for n in range(8)],
        "file_id": [f"fil-{n // 2}" for n in range(8)],  # two in each directory are one file
        "display_name": [f"{n // 2}.pdf" for n in range(8)],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world as Parquet, each table in three files."""
    root = tmp_path_factory.mktemp("world")
    for table, rows in zip((BATCHES, RESULTS, JOBS), WORLD, strict=True):
        (root / table.name).mkdir()
        whole = pa.Table.from_pandas(rows, table.arrow_schema, preserve_index=False)
        third = len(whole) // 3 + 1
        for n in range(3):
            part = root / table.name / f"part-{n}.parquet"
            pq.write_table(whole.slice(n * third, third).replace_schema_metadata(), part)
    return root


# --- the engines --------------------------------------------------------------------------------


@contextmanager
def on_duckdb() -> Iterator[Read]:
    with duckdb.connect() as connection:
        connection.execute(f"set timezone = '{ZONE}'")
        yield lambda place: connection.read_parquet(f"{place}/**/*.parquet")


@contextmanager
def on_dask() -> Iterator[Read]:
    yield lambda place: dd.read_parquet(f"{place}/**/*.parquet")


@contextmanager
def on_a_dask_cluster() -> Iterator[Read]:
    """Two processes, on loopback."""
    distributed = pytest.importorskip("distributed", reason="needs pip install '.[scale]'")
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )
    with cluster, distributed.Client(cluster) as client, on_dask() as read:
        assert len(client.scheduler_info()["workers"]) == 2
        yield read


@contextmanager
def on_spark() -> Iterator[Read]:
    sql = pytest.importorskip("pyspark.sql", reason="needs pip install '.[spark]'")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": ZONE,
        "spark.sql.shuffle.partitions": 2,
        "spark.ui.enabled": False,
    }
    with warnings.catch_warnings():  # it has its say on the version of pandas
        warnings.simplefilter("ignore")
        session = sql.SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    try:
        yield lambda place: session.read.parquet(str(place))
    finally:
        session.stop()


@contextmanager
def in_memory(read: Read) -> Iterator[Read]:
    yield read


ENGINES = {
    "pyarrow": lambda: in_memory(pq.read_table),
    "polars": lambda: in_memory(pl.read_parquet),
    "lazy polars": lambda: in_memory(pl.scan_parquet),
    "duckdb": on_duckdb,
    "dask": on_dask,
    "dask cluster": on_a_dask_cluster,
    "spark": on_spark,
}
LAZY = ["lazy polars", "duckdb", "dask", "spark"]  # a cluster runs Dask's graphs, and is slow


def marks_of(name: str) -> list[Any]:
    return [mark for mark in (pytest.mark.dask, pytest.mark.spark) if mark.name in name]


def marked(names: list[str]) -> list[Any]:
    return [pytest.param(name, marks=marks_of(name)) for name in names]


@pytest.fixture(scope="module")
def read(request: pytest.FixtureRequest) -> Iterator[Read]:
    """Start an engine, once for the tests that follow each other on it."""
    with ENGINES[request.param]() as reading:
        yield reading


ON_CLUSTER = {"rates of outcomes", "patterns of jobs"}
ON_CONVERTED_DASK = {"rates of outcomes", "patterns of outcomes", "summary"}
"""The calls that run on Dask more than once: each takes seconds at any size."""

on_every_engine = pytest.mark.parametrize(
    "read", marked(["pyarrow", "polars", *LAZY]), indirect=True
)
on_lazy_engines = pytest.mark.parametrize("read", marked(LAZY), indirect=True)

# --- the questions ------------------------------------------------------------------------------

Question = Callable[[Frame, Frame, Frame], pd.DataFrame]

QUESTIONS: dict[str, Question] = {
    "rates of batches": lambda b, r, j: lb.failure_rates(b, by="configuration_id"),
    "rates of batches by the week": lambda b, r, j: lb.failure_rates(b, by="job_type", freq="W"),
    "rates of batches every two days": lambda b, r, j: lb.failure_rates(b, freq="2D"),
    "rates of results": lambda b, r, j: lb.failure_rates(r),
    "rates of results by the month": lambda b, r, j: lb.failure_rates(
        r, by=["configuration_id", "job_type"], freq="MS"
    ),
    "rates of results by the hour": lambda b, r, j: lb.failure_rates(r, freq="6h", confidence=0.9),
    "rates of jobs by the day": lambda b, r, j: lb.failure_rates(j, by="job_type", freq="D"),
    "rates by status": lambda b, r, j: lb.failure_rates(b, by=["status", "created_at"]),
    "rates of mapped files": lambda b, r, j: lb.failure_rates(
        lb.outcomes(r), by="source_directory_id"
    ),
    "rates of outcomes": lambda b, r, j: lb.failure_rates(
        lb.outcomes(r, j), by="configuration_id", freq="W"
    ),
    "rates by outcome": lambda b, r, j: lb.failure_rates(
        lb.outcomes(r, j), by=["outcome", "batch_status"]
    ),
    "rates by week in a zone": lambda b, r, j: lb.failure_rates(
        r, by="configuration_id", freq="W", tz="America/New_York"
    ),
    "rates by day in a zone": lambda b, r, j: lb.failure_rates(r, freq="D", tz="Asia/Kathmandu"),
    "rates by hour in a zone": lambda b, r, j: lb.failure_rates(r, freq="h", tz="Asia/Kathmandu"),
    "rates by cluster": lambda b, r, j: lb.failure_rates(
        lb.outcomes(r, j), by="configuration_id", cluster="source_directory_id"
    ),
    "ledger": lambda b, r, j: lb.ledger(lb.outcomes(r, j)),
    "ledger by configuration": lambda b, r, j: lb.ledger(lb.outcomes(r, j), by="configuration_id"),
    "ledger of results": lambda b, r, j: lb.ledger(r, by=["batch_status", "job_type"]),
    "ledger by time": lambda b, r, j: lb.ledger(r, by=["batch_created_at", "job_type"]),
    "patterns of results": lambda b, r, j: lb.error_patterns(r),
    "patterns of jobs": lambda b, r, j: lb.error_patterns(j, by="job_type"),
    "patterns of outcomes": lambda b, r, j: lb.error_patterns(
        lb.outcomes(r, j), by="configuration_id"
    ),
    "summary": lambda b, r, j: in_order(lb.summarize(b, r, j, pages=as_pages(j))),
    "summary of mappings": lambda b, r, j: in_order(lb.summarize(b, r)),
    "summary of outcomes": lambda b, r, j: in_order(lb.summarize(b, lb.outcomes(r, j))),
    "summary of pandas batches": lambda b, r, j: lb.summarize(WORLD[0], r, j),
    "attempts": lambda b, r, j: lb.attempts(r, FILES).groupby("attempt").size().to_frame(),
    "final outcomes": lambda b, r, j: in_order(lb.final_outcomes(lb.outcomes(r, j), FILES)),
    "comparison": lambda b, r, j: lb.compare_configurations(
        lb.outcomes(r, j), "cfg-b", "cfg-ä", on="source_directory_file_id"
    ),
}


def as_pages(jobs: Frame) -> Frame:
    """Return a page of each job except one, and a second page of those that have not completed."""
    rows = wrap_frame("jobs", jobs)
    is_done = nw.col("status").cast(nw.String) == "COMPLETED"
    pages: Any = rows.select("job_id", is_done.alias("success"))
    pages = pages.filter(nw.col("job_id") != "pjb-3-1")
    return nw.concat([pages, pages.filter(~nw.col("success"))]).to_native()


def in_order(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in an order; engines have none."""
    keys = [name for name in ("batch_id", "source_directory_file_id") if name in summary]
    return summary.sort_values(keys, ignore_index=True)


@pytest.mark.parametrize(
    ("read", "question"),
    [
        pytest.param(engine, question, marks=marks_of(engine))
        for engine in ENGINES
        for question in QUESTIONS
        if question in ON_CLUSTER or engine != "dask cluster"
    ],
    indirect=["read"],
)
def test_engine_gives_results_of_pandas(read: Read, folder: Path, question: str) -> None:
    ask = QUESTIONS[question]
    expected = ask(*WORLD)
    assert len(expected)
    pd.testing.assert_frame_equal(ask(*(read(folder / table) for table in TABLES)), expected)


@pytest.mark.parametrize(
    "question", ["rates of batches", "rates of outcomes", "ledger", "patterns of outcomes"]
)
def test_pandas_text_gives_results_of_categories(folder: Path, question: str) -> None:
    ask = QUESTIONS[question]
    plain = [pd.read_parquet(folder / table) for table in TABLES]
    pd.testing.assert_frame_equal(ask(*plain), ask(*WORLD))


def test_pandas_text_key_keeps_text_dtype(folder: Path) -> None:
    plain = pd.read_parquet(folder / "batches").astype({"job_type": object})
    assert lb.failure_rates(plain, by="job_type").job_type.dtype == STRING_DTYPE


def retyped(frame: pd.DataFrame, as_type: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    """Return an Arrow table whose text has another type."""
    table = pa.Table.from_pandas(frame)
    for n, field in enumerate(table.schema):
        if pa.types.is_large_string(field.type) or pa.types.is_string(field.type):
            table = table.set_column(n, field.name, as_type(table[n]))
    return table


def record_batch(table: pa.Table) -> pa.RecordBatch:
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


CONVERTERS: dict[str, Callable[[pd.DataFrame], Frame]] = {
    "polars": pl.from_pandas,
    "lazy polars": lambda frame: pl.from_pandas(frame).lazy(),
    "pyarrow": pa.Table.from_pandas,
    "pandas on arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "duckdb": lambda frame: duckdb.from_arrow(pa.Table.from_pandas(frame)),
    "dask": dd.from_pandas,
    "narwhals": nw.from_native,
    "pyarrow, dictionaries": lambda frame: retyped(frame, pa.ChunkedArray.dictionary_encode),
    "a record batch": lambda frame: record_batch(pa.Table.from_pandas(frame)),
}
"""How an engine takes a pandas frame, categories included."""
if int(pa.__version__.split(".")[0]) >= 21:  # earlier ones cannot convert text to views
    CONVERTERS["pyarrow, views"] = lambda frame: retyped(
        frame, lambda text: text.cast(pa.string_view())
    )
    CONVERTERS["pyarrow of polars"] = lambda frame: pa.table(pl.from_pandas(frame))


@pytest.mark.parametrize(
    ("name", "question"),
    [
        pytest.param(name, question, marks=marks_of(name))
        for name in CONVERTERS
        for question in QUESTIONS
        if question in ON_CONVERTED_DASK or name != "dask"
    ],
)
@pytest.mark.parametrize("world", ["rows", "no rows"])
def test_converted_frames_give_results_of_pandas(name: str, question: str, world: str) -> None:
    if world == "no rows" and (question == "comparison" or name == "dask"):
        pytest.skip("needs rows")
    frames = WORLD if world == "rows" else EMPTY
    expected = QUESTIONS[question](*frames)
    result = QUESTIONS[question](*map(CONVERTERS[name], frames))
    if name == "pandas on arrow":  # pandas keeps the dtypes of keys
        result, expected = (
            frame.astype(object).where(frame.notna(), None) for frame in (result, expected)
        )
    pd.testing.assert_frame_equal(result, expected)


def test_reader_of_record_batches_is_a_frame() -> None:
    reader = pa.Table.from_pandas(WORLD[0]).to_reader()
    expected = lb.failure_rates(WORLD[0], by="job_type")
    pd.testing.assert_frame_equal(lb.failure_rates(reader, by="job_type"), expected)


@pytest.mark.parametrize("name", ["polars", "pyarrow", "pandas on arrow"])
def test_pattern_ids_are_those_of_pandas(name: str) -> None:
    for frame in (WORLD[1], WORLD[2], lb.outcomes(*WORLD[1:]), WORLD[2][:0]):
        ids = lb.pattern_ids(CONVERTERS[name](frame))
        pd.testing.assert_series_equal(ids, lb.pattern_ids(frame))


FRAMES_PER_CALL: dict[str, tuple[Callable[..., Any], int]] = {
    "failure_rates": (lambda b, r, j: lb.failure_rates(b, by="job_type", freq="W"), 1),
    "failure_rates of results": (lambda b, r, j: lb.failure_rates(r), 1),
    "outcomes": (lambda b, r, j: lb.outcomes(r), 1),
    "outcomes with jobs": (lambda b, r, j: lb.outcomes(r, j), 2),
    "attempts": (lambda b, r, j: lb.attempts(r, FILES), 2),
    "final_outcomes": (lambda b, r, j: lb.final_outcomes(r.assign(outcome="mapped"), FILES), 2),
    "summarize": (lambda b, r, j: lb.summarize(b, r), 2),
    "summarize with jobs": (lambda b, r, j: lb.summarize(b, r, j), 3),
    "ledger": (lambda b, r, j: lb.ledger(r, by="job_type"), 1),
    "error_patterns": (lambda b, r, j: lb.error_patterns(j), 1),
    "pattern_ids": (lambda b, r, j: lb.pattern_ids(j), 1),
    "compare_configurations": (
        lambda b, r, j: lb.compare_configurations(r.assign(outcome="mapped"), "cfg-b", "cfg-ä"),
        1,
    ),
}


@pytest.mark.parametrize("call", FRAMES_PER_CALL)
def test_each_frame_argument_is_wrapped_once(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, n_frames = FRAMES_PER_CALL[call]
    wrapped = []
    from_native = nw.from_native

    def counting(value: Any, *args: Any, **options: Any) -> Any:
        if not options.get("series_only"):
            wrapped.append(value)
        return from_native(value, *args, **options)

    monkeypatch.setattr(nw, "from_native", counting)
    function(*WORLD)
    assert len(wrapped) == n_frames


@on_every_engine
def test_outcomes_return_the_type_of_results(read: Read, folder: Path) -> None:
    results, jobs = read(folder / "results"), read(folder / "jobs")
    assert type(lb.outcomes(results)) is type(results)
    assert type(lb.outcomes(results, jobs)) is type(results)


@on_lazy_engines
@pytest.mark.parametrize(
    ("ask", "most"),
    [
        (lambda files: lb.failure_rates(files, by="configuration_id"), 3),
        (lambda files: lb.failure_rates(files, freq="MS"), 48),  # batches with files
        (lb.ledger, 8),  # outcomes
        (lb.error_patterns, 10),  # a layer and a message each
    ],
    ids=["rates", "rates by the month", "ledger", "patterns"],
)
def test_lazy_engine_collects_only_aggregates(
    read: Read,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Frame], pd.DataFrame],
    most: int,
) -> None:
    rows = []
    collect = nw.LazyFrame.collect

    def watched(frame: nw.LazyFrame[Any], **how: Any) -> nw.DataFrame[Any]:
        found = collect(frame, **how)
        rows.append(len(found))
        return found

    monkeypatch.setattr(nw.LazyFrame, "collect", watched)
    ask(lb.outcomes(read(folder / "results"), read(folder / "jobs")))
    assert 0 < sum(rows) <= most


@on_lazy_engines
@pytest.mark.parametrize("turned", [False, True], ids=["older first", "newer first"])
def test_duplicate_job_has_latest_status_on_lazy_engines(
    read: Read, tmp_path: Path, turned: bool, request: pytest.FixtureRequest
) -> None:
    found = results_of({**batch(8), "status": "COMPLETED"})
    jobs = [{**job(8, place), "status": "FAILED"} for place in range(1, 9)]
    older = [{**one, "status": "RUNNING", "updated_at": None} for one in jobs[:4]]
    older += [{**one, "status": "RUNNING", "updated_at": TIMES[2]} for one in jobs[4:]]
    both = records.to_pandas(JOBS, [*jobs, *older] if turned else [*older, *jobs])
    for name, rows in (("results", found), ("jobs", both)):
        (tmp_path / name).mkdir()
        rows.to_parquet(tmp_path / name / "part-0.parquet")
    counted = lb.ledger(lb.outcomes(read(tmp_path / "results"), read(tmp_path / "jobs")))
    assert counted.rows.tolist() == [len(found)]
    if "dask" not in request.node.name:
        expected = lb.ledger(lb.outcomes(found, records.to_pandas(JOBS, jobs)))
        pd.testing.assert_frame_equal(counted, expected)


# --- what sync_dataset keeps --------------------------------------------------------------------


@pytest.fixture(scope="module")
def synced(sandbox_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty days: for Dask each is a partition, which costs time."""
    path = tmp_path_factory.mktemp("kept") / "dataset"
    with lb.connect(sandbox_server.api_key, base_url=sandbox_server.url) as client:
        newest = lb.fetch_batches(progress=False, client=client).created_at.max()
        since = newest - pd.Timedelta(days=20)
        lb.sync_dataset(path, jobs=True, created_at_on_or_after=since, progress=False)
    return path


@on_every_engine
@pytest.mark.parametrize("question", ["rates of outcomes", "patterns of jobs", "summary"])
def test_engines_read_synced_parquet_files(read: Read, synced: Path, question: str) -> None:
    ask = QUESTIONS[question]
    expected = ask(*(lb.read_dataset(synced, table) for table in TABLES))
    found = ask(*(read(synced / table) for table in TABLES))
    found = found.drop(columns="created", errors="ignore")  # the day in the name of a folder
    pd.testing.assert_frame_equal(found, expected)


@on_every_engine
def test_synced_times_have_zone_and_microseconds(read: Read, synced: Path) -> None:
    rows = wrap_frame("results", read(synced / "results")).select("batch_created_at")
    kind = rows.collect_schema()["batch_created_at"]
    assert isinstance(kind, nw.Datetime)
    assert (kind.time_unit, kind.time_zone is None) == ("us", False)
