"""Where failure rates rise from one period to the next by more than chance explains. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd


def significant_increases(
    rates: pd.DataFrame, time: str, groups: Sequence[str] = ()
) -> pd.Series[Any]:
    """Tell for each row whether its interval lies wholly above that of the period before.

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
        bool, in the rows' order and with their index. False for the first period, and where
        nothing is decided or there is no time.

    Notes
    -----
    The period before is the last one in which something was decided: a week without batches is no
    news of the rate, and a rise that came in it would otherwise never be told. Where the rate is
    the same, 95 % intervals of two large periods lie apart in this direction one time in 40 (if one
    is by far the larger) to one in 360 (if they are of one size); see N. Schenker and
    J. F. Gentleman 2001, "On judging the significance of differences by examining the overlap
    between confidence intervals", Am. Stat. 55, 182-186. Intervals take rows to fail on their own;
    files of one batch often fail together, so that a rise is a reason to look, and no proof.
    """
    numbered = rates.reset_index(drop=True)
    known = numbered[(numbered["decided"] > 0) & numbered[time].notna()].sort_values(time)
    if groups:
        before = known.groupby(list(groups), dropna=False, observed=True)["ci_high"].shift()
    else:
        before = known["ci_high"].shift()
    above = known["ci_low"] > before
    return above.reindex(numbered.index, fill_value=False).set_axis(rates.index)
