"""Find periods in which the failure rate is significantly higher than before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd


def significant_increases(
    rates: pd.DataFrame, time: str, groups: Sequence[str] = ()
) -> pd.Series[Any]:
    """Flag the periods whose interval lies wholly above that of the previous period.

    Parameters
    ----------
    rates
        The frame of `failure_rates` over time.
    time
        Its column of periods.
    groups
        Its other keys; each group is compared with itself.

    Returns
    -------
    pandas.Series
        bool, with the order and index of `rates`. False for the first period, and where nothing is
        decided or the time is missing.

    Notes
    -----
    The previous period is the latest one with a decided row, so that an increase is found after
    periods without batches too. If the true rate does not change, two large periods have separate
    95 % intervals in this direction with a probability from 1/40 (if one is far larger) to 1/360
    (if they have the same size); see N. Schenker and J. F. Gentleman 2001, "On judging the
    significance of differences by examining the overlap between confidence intervals", Am. Stat.
    55, 182-186. The intervals assume that rows fail independently. Files of one batch often fail
    together, so an increase is a reason to investigate, not a proof.
    """
    indexed = rates.reset_index(drop=True)
    known = indexed[(indexed["decided"] > 0) & indexed[time].notna()].sort_values(time)
    if groups:
        previous = known.groupby(list(groups), dropna=False, observed=True)["ci_high"].shift()
    else:
        previous = known["ci_high"].shift()
    increased = known["ci_low"] > previous
    return increased.reindex(indexed.index, fill_value=False).set_axis(rates.index)
