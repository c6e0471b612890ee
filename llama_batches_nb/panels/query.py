"""What is asked for: the values of filters, the frames that they give, and the code for these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from llama_batches_nb import frames
from llama_batches_nb.batches import fetch_batches
from llama_batches_nb.client import Client
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.jobs import fetch_jobs
from llama_batches_nb.outcomes import outcomes
from llama_batches_nb.progress import Progress
from llama_batches_nb.results import fetch_results
from llama_batches_nb.schema import BATCHES, RESULTS
from llama_batches_nb.summaries import summarize
from llama_batches_nb.workers import Stopped

COUNTS = ["n_files", "n_decided", "n_failed", "failure_rate"]
DEPTHS = ("batches", "results", "jobs")  # what may be fetched, one after the other
LAST = "T23:59:59.999999Z"  # of a day that is meant to its end


@dataclass(frozen=True)
class Frames:
    """What a query gave, as far as it was fetched."""

    batches: pd.DataFrame = field(default_factory=lambda: frames.frame(BATCHES, []))
    results: pd.DataFrame | None = None
    jobs: pd.DataFrame | None = None
    partial: bool = False  # whether batches without results are there because they were not asked

    def having(self, name: str, frame: pd.DataFrame, *, partial: bool = False) -> Frames:
        """Return these frames with one more."""
        return Frames(**{**self.tables(), name: frame}, partial=partial)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the frames that there are, by name."""
        given = {"batches": self.batches, "results": self.results, "jobs": self.jobs}
        return {name: frame for name, frame in given.items() if frame is not None}

    def outcomes(self) -> pd.DataFrame:
        """Return what became of each file, as far as that is known."""
        results = frames.concat(RESULTS, []) if self.results is None else self.results
        files: pd.DataFrame = outcomes(results, self.jobs)
        return files

    def summary(self) -> pd.DataFrame:
        """Return the batches with the counts of their files, missing where they were not asked."""
        summary = summarize(self.batches, self.outcomes())
        asked = pd.Series(True, summary.index)
        if self.results is None or self.partial:
            found = () if self.results is None else self.results["batch_id"]
            asked = summary["batch_id"].isin(found)
        return summary.assign(**{name: summary[name].where(asked) for name in COUNTS})


@dataclass(frozen=True)
class Query:
    """Batches by filter.

    The API can't filter by configuration and job type: that is done here, and the limit after it.
    """

    status: tuple[str, ...] = ()
    source_directory_id: str | None = None
    configuration_id: str | None = None
    job_type: str | None = None
    since: date | None = None
    until: date | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise ValueError(
                f"From {self.since} is later than To {self.until}: no batch can lie between them."
            )

    def filters(self) -> dict[str, Any]:
        """Return the arguments of `fetch_batches`."""
        given = {
            "status": list(self.status) if len(self.status) > 1 else "".join(self.status),
            "source_directory_id": self.source_directory_id,
            "created_at_on_or_after": self.since and self.since.isoformat(),
            "created_at_on_or_before": self.until and self.until.isoformat() + LAST,
            "limit": None if self._here() else self.limit,
        }
        return {name: value for name, value in given.items() if value}

    def fetch(self, client: Client, progress: Progress, depth: str) -> Iterator[Frames]:
        """Yield what is there after each step, and what there is before an error comes."""
        found = Frames()
        for step in DEPTHS[: DEPTHS.index(depth) + 1]:
            try:
                frame = self._step(step, found, client, progress)
            except (BatchesError, Stopped) as error:
                if error.partial is not None and step != "jobs":  # of some jobs come wrong rates
                    rest = self.chosen(error.partial) if step == "batches" else error.partial
                    yield found.having(step, rest, partial=True)
                raise
            found = found.having(step, frame)
            yield found

    def _step(self, step: str, found: Frames, client: Client, progress: Progress) -> pd.DataFrame:
        if step == "batches":
            batches = fetch_batches(**self.filters(), client=client, progress=progress)
            return self.chosen(batches)
        if step == "results":
            return fetch_results(found.batches, client=client, progress=progress)
        return fetch_jobs(found.results, client=client, progress=progress)

    def chosen(self, batches: pd.DataFrame) -> pd.DataFrame:
        """Return those of the API's answer that are meant."""
        here = self._here()
        if not here:
            return batches
        for name, value in here.items():
            batches = batches[batches[name] == value]
        return batches.head(self.limit or len(batches)).reset_index(drop=True)

    def code(self, *, client: bool = False) -> str:
        """Return the lines that give the same batches."""
        arguments = [f"{name}={value!r}" for name, value in self.filters().items()]
        lines = [_call("batches", "fetch_batches", [*arguments, *(["client=client"] * client)])]
        here = self._here()
        if here:
            tests = " & ".join(f"(batches[{name!r}] == {value!r})" for name, value in here.items())
            head = f".head({self.limit})" if self.limit else ""
            lines.append(f"batches = batches[{tests}]{head}.reset_index(drop=True)")
        return "\n".join(lines)

    def _here(self) -> dict[str, str]:
        given = {"configuration_id": self.configuration_id, "job_type": self.job_type}
        return {name: value for name, value in given.items() if value}


def file_code(*, jobs: bool, client: bool = False) -> str:
    """Return the lines that go on from batches to what became of each file."""
    given = ", client=client" if client else ""
    lines = [f"results = lb.fetch_results(batches{given})"]
    if jobs:
        lines.append(f"jobs = lb.fetch_jobs(results{given})")
    lines.append(f"files = lb.outcomes(results{', jobs' if jobs else ''})")
    return "\n".join(lines)


def _call(name: str, function: str, arguments: Iterable[str]) -> str:
    given = list(arguments)
    line = f"{name} = lb.{function}({', '.join(given)})"
    if len(line) <= 88:
        return line
    return f"{name} = lb.{function}(\n" + "".join(f"    {one},\n" for one in given) + ")"
