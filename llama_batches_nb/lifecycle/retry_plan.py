"""Plan which failed files to retry, and in which batches, without any request."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.attempts import file_identity
from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND
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

_UNFINISHED = ("job_running", "job_unknown")
_STRING_COLUMNS = (
    "batch_id",
    "configuration_id",
    "source_directory_id",
    "source_directory_file_id",
    "job_type",
    "outcome",
)


def run_key(source_directory_file_id: str, batch_id: str) -> str:
    """Return the key of one file's run in one batch; a retry stores it with the file."""
    return f"{source_directory_file_id} of {batch_id}"


def is_reliable(runs: pd.DataFrame) -> pd.Series[Any]:
    """Return which runs are not known to be in a ``FAILED`` batch."""
    if "batch_status" not in runs:
        return pd.Series(True, index=runs.index)
    return runs["batch_status"].astype(object).ne("FAILED")


def plan_retries(
    runs: pd.DataFrame,
    deleted_directories: Set[str],
    retried: Mapping[str, str],
    configuration_id: str | None = None,
    job_type: str | None = None,
) -> pd.DataFrame:
    """Return one row per failed file, with the action for it.

    Parameters
    ----------
    runs
        Frame of `attempts` with the column ``outcome``. If it has a column ``batch_status``, runs
        in ``FAILED`` batches neither fail nor succeed: their results are unreliable.
    deleted_directories
        Ids of directories that no longer exist.
    retried
        Ids of the batches that already retry failed runs, by `run_key`.
    configuration_id, job_type
        Override those of each file's last failed run.
    """
    runs = runs.reset_index(drop=True).astype(dict.fromkeys(_STRING_COLUMNS, STRING_DTYPE))
    runs[[*_STRING_COLUMNS]] = runs[[*_STRING_COLUMNS]].replace("", pd.NA)
    runs = runs.assign(_file=file_identity(runs)).sort_values("attempt", kind="stable")
    last_attempts = runs.groupby("_file")["attempt"].max()
    runs = runs[is_reliable(runs)]
    failed = runs[runs["outcome"].isin(OUTCOMES_KIND.failures)]
    plan = failed.drop_duplicates("_file", keep="last").sort_index()
    plan["attempt"] = plan["_file"].map(last_attempts).astype("Int64") + 1
    if configuration_id is not None:
        plan["configuration_id"] = configuration_id
    if job_type is not None:
        plan["job_type"] = job_type
    plan["reason"], plan["action"] = _classify(plan, runs, deleted_directories, retried)
    plan["action"] = pd.Categorical(plan["action"], categories=ACTIONS)
    plan["outcome"] = pd.Categorical(plan["outcome"], categories=OUTCOMES_KIND.failures)
    plan["new_batch"] = _assign_batches(plan[plan["action"] == "retry"]).reindex(plan.index)
    dtypes = {"configuration_id": STRING_DTYPE, "job_type": STRING_DTYPE}
    return plan[list(COLUMNS)].astype(dtypes).reset_index(drop=True)


def _classify(
    plan: pd.DataFrame,
    runs: pd.DataFrame,
    deleted_directories: Set[str],
    retried: Mapping[str, str],
) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Return the reason not to retry each file, if any, and the action; the first rule applies."""
    reason = pd.Series(pd.NA, index=plan.index, dtype=STRING_DTYPE)
    action = pd.Series("retry", index=plan.index, dtype=object)

    def apply_rule(condition: pd.Series[Any], text: pd.Series[Any] | str, result: str) -> None:
        applies = condition & (action == "retry")
        reason[applies] = text if isinstance(text, str) else text[applies]
        action[applies] = result

    for outcomes, text in (
        (OUTCOMES_KIND.successes, "it succeeded in "),
        (_UNFINISHED, "it may still be running in "),
    ):
        matching = runs[runs["outcome"].isin(outcomes)].drop_duplicates("_file", keep="last")
        batch = plan["_file"].map(matching.set_index("_file")["batch_id"]).astype(STRING_DTYPE)
        apply_rule(batch.notna(), text + batch, "skip")
    keys = map(run_key, plan["source_directory_file_id"], plan["batch_id"])
    batch = pd.Series([retried.get(key) for key in keys], index=plan.index, dtype=STRING_DTYPE)
    apply_rule(batch.notna(), "it was already retried in " + batch, "skip")
    directory = plan["source_directory_id"]
    for condition, missing in (
        (directory.isin(deleted_directories), "its directory no longer exists: " + directory),
        (plan["display_name"].isna(), "it is no longer in its directory " + directory),
        (plan["file_id"].isna(), "it has no stored file"),
        (plan["configuration_id"].isna(), "its batch has no configuration; pass configuration_id"),
        (plan["job_type"].isna(), "its batch has no job type; pass job_type"),
    ):
        apply_rule(condition, missing, "impossible")
    return reason, action


def _assign_batches(files: pd.DataFrame) -> pd.Series[Any]:
    """Return the number of each file's new batch, independent of the order of the rows.

    A batch has one configuration and job type, unique file names, and a limited number of files.
    """
    job = ["configuration_id", "job_type"]
    files = files.sort_values([*job, "batch_id", "source_directory_file_id"])
    copy = files.groupby([*job, "display_name"]).cumcount()
    chunk = files.groupby([*job, copy]).cumcount() // MAX_FILES_PER_BATCH
    keys = files[job].assign(copy=copy, chunk=chunk)
    return keys.groupby(list(keys), sort=False).ngroup().astype("Int64") + 1
