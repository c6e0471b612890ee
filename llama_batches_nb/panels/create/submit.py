"""Making batches, to the end: none must be made that its panel, stopped or closed, never knew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.lifecycle.create import create_batch
from llama_batches_nb.lifecycle.retry import retry_failed
from llama_batches_nb.messages import redirect_warnings
from llama_batches_nb.panels.create.batch_spec import BatchSpec
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, Table

T = TypeVar("T")


@dataclass(frozen=True)
class RetryResult:
    """The batches of a retry, a frame of one row each; what went wrong, and what was warned of."""

    batches: list[pd.DataFrame]
    error: Exception | None
    warnings: list[str]


def make(order: BatchSpec, client: Client) -> pd.DataFrame:
    """Make the batch of an order over a directory."""
    return _run_uncancellable(
        lambda: create_batch(
            order.source, order.configuration_id, job_type=order.job_type, client=client
        )
    )


def retry(files: pd.DataFrame, client: Client, progress: Progress) -> RetryResult:
    """Run again which of the files failed; what was made counts also if it goes wrong."""
    warnings: list[str] = []
    error: Exception | None = None

    def retry() -> pd.DataFrame:
        with redirect_warnings(warnings.append):
            return retry_failed(files, progress=progress, client=client)

    made: pd.DataFrame | None
    try:
        made = _run_uncancellable(retry)
    except Exception as problem:
        error, made = problem, getattr(problem, "partial", None)
    rows = [] if made is None else [row_of(batch) for _, batch in made.iterrows()]
    return RetryResult(rows, error, warnings)


def concat_frames(table: Table, parts: Sequence[pd.DataFrame | None]) -> pd.DataFrame | None:
    """Return the rows of frames of one kind as one frame, with its dtypes; None if all are."""
    tables = [
        pa.Table.from_pandas(part, schema=table.arrow_schema, preserve_index=False)
        for part in parts
        if part is not None
    ]
    return records.concat(table, tables) if tables else None


def row_of(batch: pd.Series[Any]) -> pd.DataFrame:
    """Return one batch as a frame of one row."""
    return records.concat(
        BATCHES,
        [pa.Table.from_pandas(batch.to_frame().T, BATCHES.arrow_schema, preserve_index=False)],
    )


def _run_uncancellable(work: Callable[[], T]) -> T:
    """Do something in a thread that nobody tells to stop."""
    with ThreadPoolExecutor(1, "llama_batches_nb_make") as thread:
        return thread.submit(work).result()
