"""Create and retry batches without interruption, so that the panel knows each created batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import pandas as pd

from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import Progress
from llama_batches_nb.lifecycle.create import create_batch
from llama_batches_nb.lifecycle.retry import retry_failed
from llama_batches_nb.messages import redirect_warnings
from llama_batches_nb.panels.create.batch_spec import BatchSpec

T = TypeVar("T")


@dataclass(frozen=True)
class RetryResult:
    """The outcome of a retry: one-row frames of the new batches, the error and the warnings."""

    batches: list[pd.DataFrame]
    error: Exception | None
    warnings: list[str]


def create(spec: BatchSpec, client: Client) -> pd.DataFrame:
    """Create a batch from a directory."""
    directory_id = cast("str", spec.source)
    return _run_uncancellable(
        lambda: create_batch(
            directory_id, spec.configuration_id, job_type=spec.job_type, client=client
        )
    )


def retry(files: pd.DataFrame, client: Client, progress: Progress) -> RetryResult:
    """Retry the failed files. An error comes with the batches created before it."""
    warnings: list[str] = []
    created: pd.DataFrame | None
    error: Exception | None = None

    def retry() -> pd.DataFrame:
        with redirect_warnings(warnings.append):
            return retry_failed(files, progress=progress, client=client)

    try:
        created = _run_uncancellable(retry)
    except Exception as exception:
        error, created = exception, getattr(exception, "partial", None)
    if created is None:
        return RetryResult([], error, warnings)
    rows = [created.iloc[[i]].reset_index(drop=True) for i in range(len(created))]
    return RetryResult(rows, error, warnings)


def _run_uncancellable(work: Callable[[], T]) -> T:
    """Run `work` in a thread that does not receive cancellation."""
    with ThreadPoolExecutor(1, "llama_batches_nb_submit") as executor:
        return executor.submit(work).result()
