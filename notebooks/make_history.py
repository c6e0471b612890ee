"""Write a dataset with millions of rows, as a sync of the sandbox would, without requests.

Run `python make_history.py PATH --rows 5_000_000`. The dataset equals what `sync_dataset` with jobs
fetches from a sandbox with these options and `SETTLED`; the same options give the same rows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from llama_batches_nb.dataset.parquet_files import ROW_GROUP_ROWS, FileVersion, FileWriter
from llama_batches_nb.dataset.state import (
    PendingBatch,
    State,
    SyncedRange,
    check_folder,
    day_of,
    file_name,
    save,
)
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.sandbox_server.app import job_serializers, serializers
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.state import pricing, simulation
from llama_batches_nb.sandbox_server.state.clock import EPOCH, MICROSECOND
from llama_batches_nb.sandbox_server.state.ids import IdKind
from llama_batches_nb.sandbox_server.state.models import TERMINAL_STATUSES, Batch
from llama_batches_nb.sandbox_server.state.sample_data import SAMPLE_DIRECTORIES
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState
from llama_batches_nb.sandbox_server.state.simulation import GOLDEN_RATIO
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, JOBS, RESULTS, Table

ROWS = 5_000_000  # results
DAYS = 180  # length of the history
END = datetime(2026, 11, 1, tzinfo=UTC)
SAMPLE_SIZE = 2_000  # batches from which the mean number of files is estimated
SETTLED: dict[str, Any] = {  # options: nothing appears late, and lists have credits
    "job_delay": 0,
    "results_delay": 0,
    "billing_delay": 0,
    "usage_in_lists": True,
}

OUTCOMES = (
    "mapping_error",
    "failed",
    "drifted",
    "cancelled",
    "succeeded",
)  # in the order of the thresholds
STATUSES = dict.fromkeys(OUTCOMES, "FAILED") | {"cancelled": "CANCELLED", "succeeded": "COMPLETED"}
PLAN = (
    "number",
    "directory",
    "configuration",
    "job_type",
    "file_count",
    "created",
    "started",
    "planned_end",
)
PLAN += ("ended", "final_status", "straggler_delay")
THRESHOLDS = ("seed", "mapping_error", "normal", "hard", "drift")


def options_for(rows: int, seed: int = 0) -> Options:
    """Return the options of a sandbox that has about this many results."""
    history: dict[str, Any] = {"seed": seed, "days": DAYS, "now": END, "speed": 0} | SETTLED
    sample = SandboxState(Options(batches=SAMPLE_SIZE, **history))
    files_per_batch = (
        sum(batch.file_count for batch in sample.batches if batch.final_status != "FAILED")
        / SAMPLE_SIZE
    )
    return Options(batches=max(round(rows / files_per_batch), 1), **history)


def write(path: str, options: Options) -> State:
    """Write the dataset on all cores; its record is written last."""
    storage, sandbox = Storage(path), SandboxState(options)
    check_folder(storage, storage.names())
    if State.read(storage) is not None:
        raise FileExistsError(f"{path!r} already holds a dataset; choose a new folder.")
    now = sandbox.clock.now()
    by_day: dict[str, list[int]] = {}
    for batch in sandbox.batches:
        by_day.setdefault(_day(batch), []).append(batch.number)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        written = list(pool.map(partial(_write_day, path, options), by_day, by_day.values()))
    ids = {batch.number: sandbox.ids.encode("batch", batch.number) for batch in sandbox.batches}
    state = State(
        tables=["results", "jobs", "batches"],
        files={name: version for files, _ in written for name, version in files.items()},
        asked={day: ["jobs"] for day in by_day},
        pending=[
            PendingBatch(batch_id=ids[batch.number], day=_day(batch))
            for batch in sandbox.batches
            if batch.status(now) not in TERMINAL_STATUSES
        ]
        + [
            PendingBatch(
                batch_id=ids[n], day=_day(sandbox.batches[n]), fetch=False, jobs=True, open=False
            )
            for _, numbers in written
            for n in numbers
        ],
        covered=[SyncedRange(None, None, None, EPOCH + sandbox.batches[-1].created * MICROSECOND)],
    )
    save(storage, state)
    return state


def _day(batch: Batch) -> str:
    return day_of(EPOCH + batch.created * MICROSECOND)


@cache
def _state(options: Options) -> SandboxState:
    """Return the state of the sandbox, computed once per process."""
    return SandboxState(options)


def _write_day(
    path: str, options: Options, day: str, numbers: list[int]
) -> tuple[dict[str, FileVersion], list[int]]:
    """Write the files of a day; return their versions, and the batches whose jobs still run."""
    storage, state = Storage(path), _state(options)
    now = state.clock.now()
    batches = [state.batches[number] for number in numbers]
    ended = [batch for batch in batches if batch.status(now) in TERMINAL_STATUSES]
    files = _file_rows(state, [batch for batch in ended if batch.final_status != "FAILED"])
    jobs = _jobs(state, files[files.has_job])
    is_open = ~np.isin(jobs["status"].to_pylist(), list(TERMINAL_STATUSES))
    running = files[files.has_job].number[is_open].unique().tolist()
    tables = {RESULTS: _results(state, files), JOBS: jobs, BATCHES: _batches(state, batches)}
    versions = {}
    for table, rows in tables.items():
        if len(rows):
            name = file_name(table.name, day)
            writer = FileWriter(storage.temporary_path(name, Path()), table.arrow_schema)
            for start in range(0, len(rows), ROW_GROUP_ROWS):
                writer.write(rows.slice(start, ROW_GROUP_ROWS))
            version = writer.close()
            storage.replace(name, writer.path)
            versions[name] = version
    return versions, running


def _batches(state: SandboxState, batches: Sequence[Batch]) -> pa.Table:
    now = state.clock.now()
    return records.to_arrow(
        BATCHES, [serializers.batch_json(state, batch, now) for batch in batches]
    )


def _file_rows(state: SandboxState, batches: Sequence[Batch]) -> pd.DataFrame:
    """Return one row per file of the batches, computed as in `SandboxState.mappings`."""
    plan = pd.DataFrame(
        {name: [getattr(batch, name) for batch in batches] for name in PLAN}
        | {
            f"threshold_{name}": [getattr(state.failure_thresholds(b), name) for b in batches]
            for name in THRESHOLDS
        }
    )
    rows = plan.loc[plan.index.repeat(plan.file_count)].reset_index(drop=True)
    rows["index"] = rows.groupby("number").cumcount()
    rows = rows.merge(_files(state), on=["directory", "index"], how="left")
    rows["seed"] = _mix64(rows["index"], after=rows.threshold_seed)
    by_nature = rows.threshold_hard.where(rows.is_hard, rows.threshold_normal)
    thresholds = [
        rows.threshold_mapping_error,
        by_nature,
        rows.threshold_drift,
        simulation.CANCELLED_THRESHOLD + 0 * by_nature,
    ]
    drawn = (rows.seed % simulation.SCALE).astype("int64")
    rows["outcome"] = np.array(OUTCOMES)[
        (drawn.to_numpy() >= np.cumsum(thresholds, axis=0)).sum(axis=0)
    ]
    run = rows.planned_end - rows.started
    rows["job_created"] = rows.started + run * 7 * rows["index"] // (10 * rows.file_count)
    is_reached = rows.job_created < rows.ended.where(
        rows.final_status == "CANCELLED", rows.planned_end
    )
    rows["has_job"] = is_reached & (rows.outcome != "mapping_error")
    rows["message"] = _messages(state, rows, is_reached)
    rows["job_id"] = _job_ids(state, batches)
    return rows


@cache
def _files(state: SandboxState) -> pd.DataFrame:
    """Return one row per file of all directories."""
    rows = [
        (
            number,
            index,
            state.ids.encode("file", number, index),
            f.quality == "hard",
            simulation.page_count(f),
            f.display_name,
        )
        for number, directory in enumerate(state.directories)
        for index, f in enumerate(directory.files)
    ]
    return pd.DataFrame(rows, columns=["directory", "index", "file_id", "is_hard", "pages", "name"])


def _job_ids(state: SandboxState, batches: Sequence[Batch]) -> list[str]:
    return [
        job_id
        for batch in batches
        for job_id in state.ids.encode_range(batch.job_type, batch.number, range(batch.file_count))
    ]


def _messages(
    state: SandboxState, rows: pd.DataFrame, is_reached: pd.Series
) -> npt.NDArray[np.object_]:
    """Return the error message of each failed file, and None for the others."""
    messages = np.full(len(rows), None, object)
    failed = np.flatnonzero(is_reached & rows.outcome.isin(["mapping_error", "failed", "drifted"]))
    names = ["outcome", "job_type", "seed", "directory", "index", "file_id"]
    failures = zip(*[rows[name].to_numpy()[failed].tolist() for name in names], strict=True)
    for row, (outcome, job_type, seed, directory, index, file_id) in zip(
        failed, failures, strict=True
    ):
        file = state.directories[directory].files[index]
        messages[row] = simulation.error_message(outcome, job_type, seed, file, file_id)
    return messages


def _results(state: SandboxState, rows: pd.DataFrame) -> pa.Table:
    configurations = [configuration.id for configuration in state.configurations]
    columns = {
        "batch_id": _encoded_ids(state, "batch", rows.number),
        "batch_status": rows.final_status,
        "batch_created_at": rows.created,
        "configuration_id": rows.configuration.map(dict(enumerate(configurations))),
        "source_directory_id": _encoded_ids(state, "directory", rows.directory),
        "source_directory_file_id": rows.file_id,
        "job_type": rows.job_type,
        "job_id": rows.job_id.where(rows.has_job, None),
        "error_message": rows.message.where(~rows.has_job, None),
    }
    return _table(RESULTS, columns)


def _jobs(state: SandboxState, rows: pd.DataFrame) -> pa.Table:
    """Return the jobs of the files that have one, computed as in `simulation.create_job`."""
    now, seed = state.clock.now(), rows.seed
    began = rows.job_created + ((rows.planned_end - rows.started) * _byte(seed, 20) // 2**13)
    ended = began + (rows.planned_end - began) * (32 + _byte(seed, 28) % 128) // 2**8 + 1
    late_end = rows.planned_end + rows.straggler_delay * (1 + _byte(seed, 44)) // 2**8
    is_straggler = _byte(seed, 36) < simulation.STRAGGLERS_OF_256
    is_last = rows["index"] == rows.file_count - 1
    is_late = (rows.straggler_delay > 0) & (is_straggler | is_last)
    ended = ended.mask(is_late, late_end)
    is_cancelled = (rows.final_status == "CANCELLED") & (ended > rows.ended)
    outcome = rows.outcome.mask(is_cancelled, "cancelled")
    began, ended = (
        began.mask(is_cancelled, np.minimum(began, rows.ended)),
        ended.mask(is_cancelled, rows.ended),
    )
    has_begun, has_ended = began <= now, ended <= now
    throttled = (rows.job_created + began) // 2
    is_throttled = (rows.job_type == "extract_v2") & (throttled <= now)
    is_throttled &= _byte(seed, 56) < simulation.THROTTLED_OF_256
    waiting = pd.Series("PENDING", rows.index).mask(is_throttled, "THROTTLED")
    status = outcome.map(STATUSES).where(has_ended, "RUNNING").where(has_begun, waiting)
    is_extract = rows.job_type == "extract_v2"
    tiers = [pricing.parse_tier(configuration) for configuration in state.configurations]
    columns = {
        "job_id": rows.job_id,
        "job_type": rows.job_type,
        "status": status,
        "error_message": rows.message.where(status == "FAILED", None),
        "name": rows["name"].mask(is_extract, None),
        "tier": rows.configuration.map(dict(enumerate(tiers))),
        "file_input": rows.file_id.where(is_extract, None),
        "user_metadata": rows.directory.map(_user_metadata()).mask(is_extract, None),
        "created_at": rows.job_created,
        "updated_at": (
            rows.job_created.mask(is_throttled, throttled)
            .mask(has_begun, began)
            .mask(has_ended, ended)
        ),
    }
    credits_ = _credits(state, rows, outcome, status.isin(["COMPLETED", "FAILED"]))
    return _table(JOBS, columns | dict(credits_.items()))


def _credits(
    state: SandboxState, rows: pd.DataFrame, outcome: pd.Series, is_billed: pd.Series
) -> pd.DataFrame:
    """Return the credits, computed as in `pricing`; those of extract jobs one by one."""
    names = ["credits", "extract_credits", "parse_credits", "pages_billed"]
    extract = rows[rows.job_type == "extract_v2"]
    places = zip(extract.number.tolist(), extract["index"].tolist(), strict=True)
    costs = [_extract_cost(state, number, index) for number, index in places]
    found = pd.DataFrame(costs, extract.index, [*names, "parse_job_id"]).reindex(rows.index)
    prices = [pricing.PARSE_CREDITS[pricing.parse_tier(each)] for each in state.configurations]
    pages = rows.pages.where(outcome == "succeeded", rows.pages * _byte(rows.seed, 52) // 2**8)
    parse_credits = np.array(prices)[rows.configuration] * pages
    found["credits"] = found.credits.where(rows.job_type == "extract_v2", parse_credits)
    found[names] = found[names].where(is_billed)
    return found


def _extract_cost(state: SandboxState, number: int, index: int) -> tuple[int, int, int, int, str]:
    """Return the credits of an extract job, its billed pages, and the id of its parse job."""
    batch = state.batches[number]
    job = state.job(batch, index, state.failure_thresholds(batch), state.clock.now())
    if job is None:
        raise LookupError(f"file {index} of batch {number} has no job")
    parse_job, configuration = state.parse_job(job), state.configurations[batch.configuration]
    costs = pricing.credits_of(job, parse_job, configuration, state.options)
    pages = pricing.billed_extract_pages(job, parse_job, state.options)
    parse_job_id = job_serializers.job_id(state, parse_job)
    return costs.parse + costs.extract, costs.extract, costs.parse, pages, parse_job_id


def _user_metadata() -> dict[int, str]:
    """Return the tags of the parse jobs of each directory, as JSON text."""
    return {
        number: json.dumps({"department": directory.department})
        for number, directory in enumerate(SAMPLE_DIRECTORIES)
        if directory.department
    }


def _encoded_ids(state: SandboxState, kind: IdKind, numbers: pd.Series) -> pd.Series:
    return numbers.map({n: state.ids.encode(kind, n) for n in numbers.unique().tolist()})


def _table(table: Table, columns: dict[str, pd.Series]) -> pa.Table:
    arrays = []
    for field in table.arrow_schema:
        column = columns[field.name]
        if pa.types.is_timestamp(field.type) and column.dtype == "float64":  # some are missing
            column = column.astype("Int64")
        arrays.append(pa.array(column, from_pandas=True))
    return pa.table(arrays, names=table.names).cast(table.arrow_schema)


def _mix64(index: pd.Series, after: pd.Series) -> npt.NDArray[np.uint64]:
    """Compute `simulation.mix64` for a column."""
    x = after.to_numpy("uint64") + index.to_numpy("uint64") + np.uint64(1)
    x *= np.uint64(GOLDEN_RATIO)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        x = (x ^ x >> np.uint64(shift)) * np.uint64(factor)
    return x


def _byte(seed: pd.Series, shift: int) -> npt.NDArray[np.int64]:
    return (seed.to_numpy() >> np.uint64(shift) & np.uint64(0xFF)).astype("int64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="new folder, or a URL that fsspec supports")
    parser.add_argument(
        "--rows", type=int, default=ROWS, help=f"approximate number of results (default: {ROWS:_})"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sandbox (default: 0)")
    arguments = parser.parse_args()
    started = time.perf_counter()
    state = write(arguments.path, options_for(arguments.rows, arguments.seed))
    counts: Counter[str] = Counter()
    for name, version in state.files.items():
        counts[name.split("/")[0]] += version.rows
    rows = ", ".join(f"{counts[name]:,} {name}" for name in ("batches", "results", "jobs"))
    print(f"{arguments.path}: {rows} in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
