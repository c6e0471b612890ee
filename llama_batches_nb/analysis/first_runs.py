"""Pair the first decided runs of files under two configurations, in the frame's engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis.frame_kinds import OUTCOMES_KIND, flag_failures
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.engines import Frame

_NOT_RUN = 2**62
_UNDECIDED = _NOT_RUN - 1
_TIME = "batch_created_at"


def pair_first_runs(outcomes: Frame, file: Sequence[str], a: str, b: str) -> pd.DataFrame:
    """Count files by their first decided runs under `a` and under `b`.

    Each run is numbered: twice the rank of its batch by time of creation, plus 1 if it failed. So
    the smallest number of a file is its first decided run, and one aggregation finds it. If a batch
    ran a file twice and the runs differ, the success counts.

    Returns
    -------
    pandas.DataFrame
        One row per combination of the other columns, with

        ======== ======= =======================================================================
        ran_a    bool    whether `a` ran the files, in a batch that is not ``FAILED``
        batch_a  Int64   rank of the batch of the first decided run; missing if none is decided
        failed_a Int64   1 if that run failed, else 0
        n        int64   files
        ======== ======= =======================================================================

        and ``ran_b``, ``batch_b`` and ``failed_b``.
    """
    rows = outcomes.filter(engines.is_one_of(outcomes, "configuration_id", [a, b]))
    rows = rows.filter(*(~nw.col(name).is_null() for name in file), ~nw.col("batch_id").is_null())
    kept = dict.fromkeys([*file, "configuration_id", "batch_id", _TIME])
    rows = flag_failures(rows, OUTCOMES_KIND, *kept)
    rows = engines.convert_pandas_times(rows, _TIME).with_columns(
        nw.col("configuration_id", "batch_id").cast(nw.String)
    )
    numbered = _join_ranks(rows)
    run = (
        nw.when(nw.col("_decided") == 1)
        .then(2 * nw.col("_rank") + nw.col("_failed"))
        .otherwise(nw.lit(_UNDECIDED))
    )
    is_a = nw.col("configuration_id") == a
    runs = numbered.select(
        *(nw.col(name).alias(f"_file_{n}") for n, name in enumerate(file)),
        nw.when(is_a).then(run).otherwise(nw.lit(_NOT_RUN)).cast(nw.Int64).alias("_run_a"),
        nw.when(is_a).then(nw.lit(_NOT_RUN)).otherwise(run).cast(nw.Int64).alias("_run_b"),
    )
    keys = [f"_file_{n}" for n in range(len(file))]
    files = runs.group_by(*keys).agg(nw.col("_run_a", "_run_b").min())
    counts = engines.aggregate(files, ["_run_a", "_run_b"], nw.len().alias("n"))
    pairs = pd.DataFrame({"n": counts["n"]})
    for side in ("a", "b"):
        number = counts[f"_run_{side}"].astype("Int64")
        decided = number.where(number < _UNDECIDED)
        pairs[f"ran_{side}"] = (number != _NOT_RUN).astype(bool)
        pairs[f"batch_{side}"], pairs[f"failed_{side}"] = decided // 2, decided % 2
    return pairs


def _join_ranks(rows: Frame) -> Frame:
    """Add the rank of each row's batch by time of creation; a batch without a time comes last."""
    batches = rows.group_by("batch_id").agg(nw.col(_TIME).min())
    undated = engines.flag(nw.col(_TIME).is_null()).alias("_undated")
    ranked: Any = batches.with_columns(undated).with_row_index(
        "_rank", order_by=["_undated", _TIME, "batch_id"]
    )
    ranks = ranked.select("batch_id", nw.col("_rank").cast(nw.Int64))
    joined: Frame = rows.join(ranks, on="batch_id", how="inner")
    return joined
