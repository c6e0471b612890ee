"""Read a synced dataset as outcomes of files, with the names that it knows."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.dataset.read import read_dataset
from llama_batches_nb.errors import TableNotSyncedError
from llama_batches_nb.types import PathLike


@dataclass(frozen=True)
class DatasetOutcomes:
    """The files of a dataset, one row per file of a batch, and what is known of the dataset.

    Without jobs, the outcomes only show whether files were mapped to jobs.
    """

    files: pd.DataFrame
    batches: pd.DataFrame
    jobs: pd.DataFrame | None

    @property
    def as_of(self) -> pd.Timestamp | None:
        """The latest time at which a batch or job of the dataset changed; None without any."""
        frames = [self.batches] if self.jobs is None else [self.batches, self.jobs]
        times = pd.concat([frame["updated_at"].dropna() for frame in frames])
        return times.max() if len(times) else None


def read_outcomes(path: PathLike) -> DatasetOutcomes:
    """Read the outcomes of all files of a dataset; raise the errors of `read_dataset`."""
    batches = read_dataset(path, "batches")
    results = read_dataset(path, "results")
    try:
        jobs = read_dataset(path, "jobs")
    except TableNotSyncedError:
        return DatasetOutcomes(outcomes(results), batches, None)
    return DatasetOutcomes(outcomes(results, jobs), batches, jobs)
