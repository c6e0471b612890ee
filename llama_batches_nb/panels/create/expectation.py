"""The sentence that says what a batch is expected to cost and how long it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from llama_batches_nb.dataset.estimate import estimate_files, fetch_history
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.messages import format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.create.batch_spec import BatchSpec
from llama_batches_nb.panels.task_runner import TaskRunner

TYPING_DELAY = 0.4  # seconds without a keystroke before the history of a typed id is fetched
UNKNOWN = "Expected credits and time are not known: no earlier batches of this configuration."

Key = tuple[str, str]
"""Configuration and job type."""


class Expectation:
    """Estimates for the selected batch; `on_change` is called when an estimate arrives."""

    def __init__(self, client: Client, runner: TaskRunner, on_change: Callable[[], object]) -> None:
        self._client, self._runner, self._on_change = client, runner, on_change
        self._histories: dict[Key, pd.DataFrame | str] = {}  # or why there is none
        self._loading: Key | None = None

    def load(self, spec: BatchSpec, *, delay: bool) -> None:
        """Fetch the history of the configuration in the background, once."""
        key = spec.configuration_id, spec.job_type
        if key not in self._histories and key != self._loading:
            self._loading = key
            self._runner.start("estimate", partial(self._load, key, TYPING_DELAY * delay))

    def row(self, spec: BatchSpec, n_files: int | None) -> pd.Series[Any] | None:
        """Return the row of `estimate_batch`; None while it is not known."""
        history = self._histories.get((spec.configuration_id, spec.job_type))
        if not isinstance(history, pd.DataFrame) or n_files is None:
            return None
        return estimate_files(str(spec.source), spec.configuration_id, n_files, history).iloc[0]

    def minutes(self, spec: BatchSpec, n_files: int | None) -> float | None:
        """Return the expected minutes, or None."""
        row = self.row(spec, n_files)
        return None if row is None or pd.isna(row.minutes) else float(row.minutes)

    def text(self, spec: BatchSpec, n_files: int | None) -> str:
        """Return the sentence as plain text."""
        history = self._histories.get((spec.configuration_id, spec.job_type))
        if isinstance(history, str):
            return history
        row = self.row(spec, n_files)
        if row is None:
            return "Estimating credits and time …" if history is None else ""
        return expectation_text(row)

    def _load(self, key: Key, delay: float) -> None:
        history: pd.DataFrame | str | None = None
        try:
            workers.sleep(delay)
            history = fetch_history(*key, {}, progress=False, client=self._client)
        except BatchesError as error:
            history = f"Expected credits and time are not known: {error}"
        except Cancelled:
            pass
        self._runner.update_ui(lambda: self._show(key, history))

    def _show(self, key: Key, history: pd.DataFrame | str | None) -> None:
        self._loading = None
        self._histories[key] = "" if history is None else history
        self._on_change()


def expectation_text(row: pd.Series[Any]) -> str:
    """Return the sentence for a row of `estimate_batch`."""
    parts = []
    if pd.notna(row.credits):
        basis = f"from {format_count(int(row.batches_with_credits), 'earlier batch')}"
        known = pd.notna(row.credits_low)
        spread = row.credits_high - row.credits_low if known else row.credits
        low, about, high = (
            rounded(each, spread) for each in (row.credits_low, row.credits, row.credits_high)
        )
        bounds = f"{low}–{high}, " if known else ""
        parts.append(f"about {about} credits ({bounds}{basis})")
    if pd.notna(row.minutes):
        parts.append(_minutes_text(row))
    if not parts:
        return UNKNOWN
    missing = " Its credits are not known." if pd.isna(row.credits) else ""
    return f"Expected: {', '.join(parts)}.{missing}"


def _minutes_text(row: pd.Series[Any]) -> str:
    if pd.isna(row.minutes_low):
        return f"about {markup.rough_duration(60 * row.minutes)}"
    ends = (row.minutes_low, row.minutes_high)
    low, high = (markup.rough_duration(60 * minutes) for minutes in ends)
    return low if low == high else f"{low} to {high}"


def rounded(number: Any, spread: float) -> str:
    """Return a number that is known within `spread`, to the second digit of that: ``1,450``."""
    if pd.isna(number):
        return markup.MISSING
    digits = max(0, math.floor(math.log10(spread)) - 1) if spread > 0 else 0
    return f"{round(number, -digits):,.0f}"
