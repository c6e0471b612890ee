"""Write the result of `check` as text, as JSON and as Markdown.

Values of a dataset come from a server: none of them can start a line, end one, or be markup.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.checks import GroupCheck, RateCheck
from llama_batches_nb.analysis.effective_size import MIN_DF
from llama_batches_nb.analysis.rates import RESULT_COLUMNS
from llama_batches_nb.messages import escape_line, format_count

MAX_MARKDOWN_ROWS = 100  # GitHub refuses summaries above 1 MiB
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


@dataclass(frozen=True)
class CheckResult:
    """The checks of groups, and what was checked."""

    checked: RateCheck
    path: str
    as_of: pd.Timestamp | None
    since: pd.Timestamp | None
    max_failure_rate: float | None
    rising: bool
    has_jobs: bool

    @property
    def status(self) -> str:
        """``alert``, ``ok``, or ``no_data`` if no file is decided."""
        if self.checked.alerts:
            return "alert"
        return "ok" if self.checked.has_decided_files else "no_data"

    @property
    def summary(self) -> str:
        """One sentence: whether there is an alert."""
        n_groups, n_alerts = len(self.checked.groups), len(self.checked.alerts)
        if self.status == "no_data":
            return "No alert: no file is decided, so no failure rate is known."
        if self.status == "ok":
            return f"No alert in {format_count(n_groups, 'group')}."
        return f"Alert in {n_alerts:,} of {format_count(n_groups, 'group')}."

    @property
    def scope(self) -> str:
        """What was checked: the dataset, its age, the batches and the conditions."""
        since = f"batches since {format_time(self.since)}" if self.since else "all batches"
        as_of = f"as of {format_time(self.as_of)}" if self.as_of else "empty"
        return f"{self.path}, {as_of}; {since}; alert if {' or if '.join(self._conditions())}."

    def _conditions(self) -> list[str]:
        conditions = []
        if self.max_failure_rate is not None:
            conditions.append(f"the interval is above {format_percent(self.max_failure_rate)}")
        if self.rising:
            conditions.append("the rate rises (CUSUM)")
        return conditions

    @property
    def notes(self) -> list[str]:
        """Sentences about what limits the result."""
        notes = []
        if not self.has_jobs:
            notes.append(
                "The dataset has no jobs, so only mapping errors count as failures. Sync with "
                "--jobs."
            )
        rates = [group.rate for group in self.checked.groups if group.rate["decided"]]
        df = sum(int(rate["batches"]) for rate in rates) - len(rates)
        if rates and df < MIN_DF:
            notes.append("There are few batches, so the intervals may be too narrow.")
        return notes

    def reasons(self, group: GroupCheck) -> list[str]:
        """Return why a group calls for an alert."""
        reasons = []
        if group.is_above and self.max_failure_rate is not None:
            reasons.append(f"above {format_percent(self.max_failure_rate)}")
        if group.rising_since is not None:
            reasons.append(f"rising since {group.rising_since:%Y-%m-%d}")
        return reasons

    def verdict(self, group: GroupCheck) -> str:
        """Return the word that begins the line of a group."""
        if group.is_alert:
            return "ALERT"
        return "ok" if group.rate["decided"] else "no data"


def format_text(result: CheckResult) -> list[str]:
    """Return a line for the whole, one for each group, and the notes."""
    lines = [f"{result.summary} {result.scope}"]
    for group in result.checked.groups:
        reasons = ", ".join(result.reasons(group))
        line = f"{group.label}: {group.text}{f': {reasons}' if reasons else ''}"
        lines.append(f"  {result.verdict(group):<7} {line}")
    lines += [f"  note    {note}" for note in result.notes]
    return [escape_line(line) for line in lines]


def format_json(result: CheckResult) -> str:
    """Return one line of JSON in ASCII; missing numbers are null."""
    document = {
        "status": result.status,
        "path": result.path,
        "as_of": _iso(result.as_of),
        "since": _iso(result.since),
        "max_failure_rate": result.max_failure_rate,
        "rising": result.rising,
        "jobs": result.has_jobs,
        "groups": [_to_json(result, group) for group in result.checked.groups],
        "notes": result.notes,
    }
    return json.dumps(document, allow_nan=False).replace("##[", "#\\u0023[")


def _to_json(result: CheckResult, group: GroupCheck) -> dict[str, Any]:
    return {
        "keys": {key: _plain(value) for key, value in group.keys.items()},
        "alert": group.is_alert,
        "reasons": result.reasons(group),
        "rising_since": _iso(group.rising_since),
        **{name: _plain(group.rate[name]) for name in RESULT_COLUMNS},
    }


def format_markdown(result: CheckResult) -> str:
    """Return a heading, a table of the groups and the notes, for a summary of GitHub Actions."""
    shown = result.checked.groups[:MAX_MARKDOWN_ROWS]
    rows = [
        f"| {' | '.join(escape_markdown(cell) for cell in cells)} |"
        for group in shown
        for cells in [
            (result.verdict(group), group.label, group.text, ", ".join(result.reasons(group)))
        ]
    ]
    notes = list(result.notes)
    if more := len(result.checked.groups) - len(shown):
        notes.insert(0, f"{format_count(more, 'more group')} without a row here.")
    table = ["| | Files | Failure rate (95 % interval) | Reason |", "| --- | --- | --- | --- |"]
    lines = [
        f"### Failure rates: {escape_markdown(result.summary)}",
        "",
        escape_markdown(result.scope),
        "",
        *(table + rows if rows else []),
        "",
        *(f"- {escape_markdown(note)}" for note in notes),
    ]
    return "\n".join(lines).rstrip() + "\n\n"


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown shows it unchanged, within one line or table cell."""
    return _PUNCTUATION.sub(r"\\\1", escape_line(text))


def format_percent(rate: float) -> str:
    """Format a rate: ``5 %`` or ``2.5 %``."""
    return f"{100 * rate:.10g} %"


def format_time(time: pd.Timestamp | None) -> str:
    """Format a time in UTC to the minute."""
    return "" if time is None else f"{time.tz_convert('UTC'):%Y-%m-%d %H:%M} UTC"


def _iso(time: pd.Timestamp | None) -> str | None:
    return None if time is None else time.isoformat()


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: null for a missing one, text for a time."""
    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, str | bool | int | float) else str(value)
