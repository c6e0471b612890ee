"""What a frame holds: batches, results, jobs, outcomes or pages, and which of its rows failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw

from llama_batches_nb.tables.engines import Frame, column_names, flag, has_text, is_one_of
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES


@dataclass(frozen=True)
class FrameKind:
    """A kind of frame: how it marks failures and successes, and what to call its rows."""

    column: str  # with the status or outcome
    failures: tuple[str, ...]
    successes: tuple[str, ...]
    time: str  # column of the time of creation
    noun: str  # for one row
    layer: str  # in which the failures occur


BATCHES_KIND = FrameKind("status", ("FAILED",), ("COMPLETED",), "created_at", "batch", "batch")
JOBS_KIND = FrameKind("status", ("FAILED",), ("COMPLETED",), "created_at", "job", "job")
OUTCOMES_KIND = FrameKind(
    "outcome",
    FAILURE_OUTCOMES,
    ("succeeded", "partial", "mapped"),
    "batch_created_at",
    "file",
    "mapping or job",
)
RESULTS_KIND = FrameKind(
    "_mapping", ("mapping_error",), ("mapped",), "batch_created_at", "file", "mapping"
)
"""Results have no column of outcomes: `flag_failures` reads ``job_id`` and ``error_message``."""
PAGES_KIND = FrameKind("success", (), (), "batch_created_at", "page", "page")
"""Pages have a boolean instead of statuses."""


def detect_kind(frame: Frame) -> FrameKind:
    """Return the kind of a frame, judged by its columns."""
    columns = set(map(str, column_names(frame)))
    if columns >= {"page_number", "success"}:
        return PAGES_KIND
    if "outcome" in columns:
        return OUTCOMES_KIND
    if columns >= {"job_id", "error_message", "batch_status", "status"}:
        raise ValueError(
            "Results with a column 'status', which may belong to the batches or to the jobs: "
            "rename it to count failed mappings, or pass outcomes(results, jobs) to count failed "
            "files."
        )
    if columns >= {"job_id", "error_message"} and "status" not in columns:
        return RESULTS_KIND
    if "status" in columns:
        return JOBS_KIND if "job_id" in columns else BATCHES_KIND
    raise ValueError(
        "Failure rates need the frame of fetch_batches, fetch_results, fetch_jobs, fetch_pages or "
        f"outcomes; this one has the columns {', '.join(sorted(columns)) or '(none)'}."
    )


def flag_failures(frame: Frame, kind: FrameKind, *kept: str) -> Frame:
    """Flag decided and failed rows with 0 or 1; drop files of ``FAILED`` batches.

    Returns the columns `_decided`, `_failed` and `kept`, with those that the flags are made from.
    """
    return flag_rows(frame, kind, *kept).filter(nw.col("_unreliable") == 0).drop("_unreliable")


def flag_rows(frame: Frame, kind: FrameKind, *kept: str) -> Frame:
    """Flag decided, failed and unreliable rows with 0 or 1.

    Files of a ``FAILED`` batch are unreliable, and neither decided nor failed. Returns the columns
    `_decided`, `_failed`, `_unreliable` and `kept`, with those that the flags are made from.
    """
    frame = _select_columns(frame, kind, kept)
    decided, failed = _conditions(frame, kind)
    frame = frame.with_columns(flag(decided).alias("_decided"), flag(failed).alias("_failed"))
    if "batch_status" not in column_names(frame):
        return frame.with_columns(_unreliable=nw.lit(0).cast(nw.Int64))
    unreliable = flag(is_one_of(frame, "batch_status", ["FAILED"]))
    frame = frame.with_columns(unreliable.alias("_unreliable"))
    reliable = 1 - nw.col("_unreliable")
    return frame.with_columns(nw.col("_decided") * reliable, nw.col("_failed") * reliable)


def select_failures(frame: Frame, kind: FrameKind, *kept: str) -> Frame:
    """Return the rows that `flag_rows` flags as failed.

    Engines apply this filter while they read a file, which they cannot do with a flag.
    """
    rows = _select_columns(frame, kind, kept)
    failed = _conditions(rows, kind)[1]
    if "batch_status" in column_names(rows):
        in_failed_batch = is_one_of(rows, "batch_status", ["FAILED"])
        failed = failed & (nw.col("batch_status").is_null() | ~in_failed_batch)
    return rows.filter(failed)


def _select_columns(frame: Frame, kind: FrameKind, kept: Sequence[str]) -> Frame:
    """Drop the columns that are not needed: Dask would read and carry them."""
    sources = ("job_id", "error_message") if kind is RESULTS_KIND else (kind.column,)
    existing = column_names(frame)
    return frame.select(name for name in existing if name in (*sources, *kept, "batch_status"))


def _conditions(frame: Frame, kind: FrameKind) -> tuple[nw.Expr, nw.Expr]:
    """Return whether a row is decided, and whether it failed."""
    if kind is RESULTS_KIND:
        failed = has_text("error_message")
        return failed | has_text("job_id"), failed
    if kind is PAGES_KIND:
        decided = ~nw.col("success").is_null()
        return decided, decided & (nw.col("success") == nw.lit(False))
    decided = is_one_of(frame, kind.column, (*kind.failures, *kind.successes))
    return decided, is_one_of(frame, kind.column, kind.failures)
