"""Which failed files to run again, and in which batches. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.attempts import file_identity
from llama_batches_nb.analysis.rates import OUTCOMES_KIND
from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.tables.schema import STRING_DTYPE

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
_TEXTS = (
    "batch_id",
    "configuration_id",
    "source_directory_id",
    "source_directory_file_id",
    "job_type",
    "outcome",
)


def run_key(source_directory_file_id: str, batch_id: str) -> str:
    """Return the name of a failed run, by which it is known whether it was run again."""
    return f"{source_directory_file_id} of {batch_id}"


def plan_retries(
    runs: pd.DataFrame,
    gone: set[str],
    rerun: Mapping[str, str],
    configuration_id: str | None = None,
    job_type: str | None = None,
) -> pd.DataFrame:
    """Return one row per file that failed, with what is to be done about it.

    `runs` are those of `attempts`, with their outcomes; `gone` the directories that are no more;
    `rerun` the batches in which failed runs, by their `origin`, were run again.
    """
    runs = runs.reset_index(drop=True).astype(dict.fromkeys(_TEXTS, STRING_DTYPE))
    runs = runs.assign(_file=file_identity(runs)).sort_values("attempt", kind="stable")
    failed = runs[runs["outcome"].isin(OUTCOMES_KIND.failures)]
    last = failed.drop_duplicates("_file", keep="last").sort_index()
    attempt = last["_file"].map(runs.groupby("_file")["attempt"].max())
    last["attempt"] = attempt.astype("Int64") + 1
    if configuration_id is not None:
        last["configuration_id"] = configuration_id
    if job_type is not None:
        last["job_type"] = job_type
    last["reason"], last["action"] = _classify(last, runs, gone, rerun)
    last["action"] = pd.Categorical(last["action"], categories=ACTIONS)
    last["outcome"] = pd.Categorical(last["outcome"], categories=OUTCOMES_KIND.failures)
    last["new_batch"] = _assign_batches(last[last["action"] == "retry"]).reindex(last.index)
    kinds = {"configuration_id": STRING_DTYPE, "job_type": STRING_DTYPE}
    return last[list(COLUMNS)].astype(kinds).reset_index(drop=True)


def _classify(
    last: pd.DataFrame, runs: pd.DataFrame, gone: set[str], rerun: Mapping[str, str]
) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Say of each file why it is not to be run again, and whether it could be."""
    reason = pd.Series(pd.NA, index=last.index, dtype=STRING_DTYPE)
    action = pd.Series("retry", index=last.index, dtype=object)

    def rule(where: pd.Series[Any], why: Any, then: str) -> None:
        first = where & (action == "retry")
        reason[first] = why[first] if isinstance(why, pd.Series) else why
        action[first] = then

    for outcomes, words in (
        (OUTCOMES_KIND.successes, "it succeeded in "),
        (_OPEN, "it still runs, or may, in "),
    ):
        there = runs[runs["outcome"].isin(outcomes)].drop_duplicates("_file", keep="last")
        batch = last["_file"].map(there.set_index("_file")["batch_id"]).astype(STRING_DTYPE)
        rule(batch.notna(), words + batch, "skip")
    keys = map(run_key, last["source_directory_file_id"], last["batch_id"])
    again = pd.Series([rerun.get(key) for key in keys], index=last.index, dtype=STRING_DTYPE)
    rule(again.notna(), "it was run again already, in " + again, "skip")
    directory = last["source_directory_id"]
    rule(directory.isin(gone), "its directory is gone: " + directory, "impossible")
    rule(last["display_name"].isna(), "it is no longer in its directory " + directory, "impossible")
    rule(last["file_id"].isna(), "no stored file is known for it", "impossible")
    rule(last["configuration_id"].isna(), "its batch names no configuration", "impossible")
    rule(last["job_type"].isna(), "its batch names no job type: pass job_type", "impossible")
    return reason, action


def _assign_batches(chosen: pd.DataFrame) -> pd.Series[Any]:
    """Return the number of each file's batch; a batch has one configuration, no name twice.

    It does not hang on the order of the rows.
    """
    kind = ["configuration_id", "job_type"]
    chosen = chosen.sort_values([*kind, "batch_id", "source_directory_file_id"])
    copy = chosen.groupby([*kind, "display_name"]).cumcount()
    place = chosen.groupby([*kind, copy]).cumcount() // MAX_FILES_PER_BATCH
    keys = chosen[kind].assign(copy=copy, place=place)
    return keys.groupby(list(keys), sort=False).ngroup().astype("Int64") + 1
