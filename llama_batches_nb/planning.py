"""Which failed files to run again, and in which batches. Pure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from llama_batches_nb.lineage import identity
from llama_batches_nb.preconditions import MOST_FILES
from llama_batches_nb.rates import OUTCOMES
from llama_batches_nb.schema import TEXT

ACTIONS = ("retry", "skip", "impossible")

COLUMNS = (
    "source_directory_file_id",
    "display_name",
    "batch_id",
    "outcome",
    "attempt",
    "action",
    "reason",
    "new_batch",
    "configuration_id",
    "job_type",
    "file_id",
    "source_directory_id",
)

_OPEN = ("job_running", "job_unknown")


def plan(
    runs: pd.DataFrame, gone: set[str], configuration_id: str | None, job_type: str | None
) -> pd.DataFrame:
    """Return one row per failed file, with what is to be done about it.

    `runs` are those of `attempts`, with their outcomes; `gone` the directories that are no more.
    """
    runs = runs.astype({"outcome": TEXT, "job_type": TEXT}).assign(
        _file=identity(runs).astype(TEXT),
        _target=configuration_id or runs["configuration_id"],
    )
    runs = runs.sort_values("batch_created_at", kind="stable")
    failed = runs[runs["outcome"].isin(OUTCOMES.failures)]
    last = failed.drop_duplicates(["_file", "_target"], keep="last").sort_index(kind="stable")
    last = last.assign(
        attempt=last["_file"].map(runs.groupby("_file").size()).astype("Int64") + 1,
        configuration_id=last["_target"].astype(TEXT),
        job_type=(job_type if job_type else last["job_type"]),
    )
    reason, action = _judged(last, runs, gone)
    last = last.assign(reason=reason, action=pd.Categorical(action, categories=ACTIONS))
    last["outcome"] = pd.Categorical(last["outcome"], categories=OUTCOMES.failures)
    last["new_batch"] = _new_batches(last[last["action"] == "retry"]).reindex(last.index)
    return last[list(COLUMNS)].astype({"job_type": TEXT}).reset_index(drop=True)


def _judged(
    last: pd.DataFrame, runs: pd.DataFrame, gone: set[str]
) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Say of each file why it is not to be run again, and whether it could be."""
    reason = pd.Series(pd.NA, index=last.index, dtype=TEXT)
    action = pd.Series("retry", index=last.index, dtype=object)

    def rule(where: pd.Series[Any], why: Any, then: str) -> None:
        first = where & (action == "retry")
        reason[first] = why[first] if isinstance(why, pd.Series) else why
        action[first] = then

    for outcomes, words in (
        (OUTCOMES.successes, "it succeeded in "),
        (_OPEN, "it still runs, or may, in "),
    ):
        there = runs[runs["outcome"].isin(outcomes) & (runs["configuration_id"] == runs["_target"])]
        where = there.drop_duplicates(["_file", "_target"], keep="last")
        batch = last[["_file", "_target"]].merge(
            where[["_file", "_target", "batch_id"]], on=["_file", "_target"], how="left"
        )["batch_id"]
        batch = batch.set_axis(last.index).astype(TEXT)
        rule(batch.notna(), words + batch, "skip")
    directory = last["source_directory_id"].astype(TEXT)
    rule(directory.isin(gone), "its directory is gone: " + directory, "impossible")
    rule(last["display_name"].isna(), "it is no longer in its directory " + directory, "impossible")
    rule(last["file_id"].isna(), "no stored file is known for it", "impossible")
    rule(last["configuration_id"].isna(), "its batch names no configuration", "impossible")
    rule(last["job_type"].isna(), "its batch names no job type: pass job_type", "impossible")
    return reason, action


def _new_batches(chosen: pd.DataFrame) -> pd.Series[Any]:
    """Return the number of each file's batch; a batch has one configuration, no name twice."""
    kind = ["configuration_id", "job_type"]
    copy = chosen.groupby([*kind, "display_name"]).cumcount()
    place = chosen.groupby([*kind, copy]).cumcount() // MOST_FILES
    keys = chosen[kind].assign(copy=copy, place=place)
    return keys.groupby(list(keys), sort=False).ngroup().astype("Int64") + 1
