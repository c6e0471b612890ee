"""The answer that a dashboard gives first: the failure rate, its change, and what still fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.changes import BY_CHANCE, rate_changes
from llama_batches_nb.analysis.rates import failure_rates, format_rate
from llama_batches_nb.panels import markup


@dataclass(frozen=True)
class Headline:
    """The failure rate of the files shown, and counts beside it.

    Parameters
    ----------
    rate
        A row of `failure_rates`.
    change
        The row of `rate_changes`; None if the rate has not changed.
    still_failing
        The number of files of which no run succeeded.
    linked
        Whether runs of a file in different directories are known to be of one file.
    word
        What the rate is of: ``Failed``.
    """

    rate: pd.Series[Any]
    change: pd.Series[Any] | None
    still_failing: int
    linked: bool = True
    word: str = "Failed"

    def text(self) -> str:
        """Return it as plain text."""
        return " ".join(filter(None, (self._rate(), self._change(), self._base()))) + self._counts()

    def html(self) -> str:
        """Return it as HTML, the rate in large type."""
        change = self._change()
        shown = f'<span class="lb-change">{markup.text(change)}</span>' if change else ""
        return (
            f'<div class="lb-headline" title="{self._hint()}">'
            f"<b>{markup.text(self._rate())}</b> {shown} "
            f"<span>{markup.text(self._base())}{markup.text(self._counts())}</span></div>"
        )

    def _hint(self) -> str:
        """Return what the terms mean."""
        apart = "" if self.linked else "; retries in other directories count separately"
        return (
            "Failed: of decided files, with the 95 % interval. Still fail: files of which no run "
            f"succeeded{apart}. Undecided: cancelled, running or unknown. Unreliable: in FAILED "
            "batches, not counted. ▲, ▼: the rate is higher or lower since then; where no rate "
            f"changes, a mark is shown by chance in {BY_CHANCE} of cases."
        )

    def _rate(self) -> str:
        if not self.rate["decided"]:
            return f"{self.word} –"
        return f"{self.word} {markup.percent(self.rate['failure_rate'])}"

    def _change(self) -> str:
        return "" if self.change is None else f"{_arrow(self.change)} {_from(self.change)}"

    def _has_files(self) -> bool:
        return bool(self.rate["total"] or self.rate["unreliable"])

    def _base(self) -> str:
        if not self._has_files():
            return "(no files)"
        if not self.rate["decided"]:
            return f"({format_rate(self.rate)})"
        return format_rate(self.rate).partition(" % ")[2]

    def _counts(self) -> str:
        if not self._has_files():
            return ""
        undecided = int(self.rate["total"] - self.rate["decided"])
        unreliable = self.rate["unreliable"]
        files = "file still fails" if self.still_failing == 1 else "files still fail"
        counts = f" · {self.still_failing:,} {files} · {undecided:,} undecided"
        return counts + (f" · {int(unreliable):,} unreliable" if unreliable else "")


def change_of(files: pd.DataFrame) -> pd.Series[Any] | None:
    """Return the change of the failure rate of all files; None if there is none."""
    found = changes_by(files, None)
    return found.iloc[0] if len(found) else None


def changes_by(files: pd.DataFrame, by: str | None) -> pd.DataFrame:
    """Return the changes per group, the strongest first."""
    rates = failure_rates(files.dropna(subset=["batch_created_at"]), by=by, freq="W")
    found = rate_changes(rates)
    found = found.dropna(subset=by) if by else found
    strongest = found["z"].abs().sort_values(ascending=False, kind="stable").index
    return found.loc[strongest].reset_index(drop=True)


def change_text(name: str, change: pd.Series[Any]) -> str:
    """Return a change of a group: ``▲ Agentic: 4.4 % → 15.9 % since 19 Oct``."""
    before, after = (markup.percent(change[one]) for one in ("rate_before", "rate_after"))
    return f"{_arrow(change)} {name}: {before} → {after} since {_day(change)}"


def _arrow(change: pd.Series[Any]) -> str:
    return "▲" if change["z"] > 0 else "▼"


def _from(change: pd.Series[Any]) -> str:
    before, after = (markup.percent(change[one]) for one in ("rate_before", "rate_after"))
    return f"from {before} since {_day(change)}, now {after}"


def _day(change: pd.Series[Any]) -> str:
    return f"{change['since'].day} {change['since']:%b}"
