"""Estimate how long batches take while some of them still run."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_ROUNDING = 1e-9  # of the products of shares


def kaplan_meier_median(durations: npt.ArrayLike, ended: npt.ArrayLike) -> float:
    """Return the time by which half of the durations have ended, by Kaplan and Meier's estimate.

    The share that lasts longer than *t* is the product, over the times *u* ≤ *t* at which *d* of
    the *n* that lasted until then ended, of 1 − *d* ÷ *n*. The median is the first time at which it
    is at most ½ (E. L. Kaplan and P. Meier 1958, "Nonparametric estimation from incomplete
    observations", J. Am. Stat. Assoc. 53, 457-481).

    Parameters
    ----------
    durations
        Durations; of those that have not ended, the time so far.
    ended
        Whether each has ended. One that has not ended at a time at which another ends counts among
        those that lasted until then.

    Returns
    -------
    float
        Infinite if fewer than half have ended as far as the durations show; NaN without durations.
    """
    times, has_ended = np.asarray(durations, dtype=float), np.asarray(ended, dtype=bool)
    if not len(times):
        return math.nan
    ends, n_ended = np.unique(times[has_ended], return_counts=True)
    n_lasting = len(times) - np.searchsorted(np.sort(times), ends, side="left")
    lasting_longer = np.cumprod(1 - n_ended / n_lasting)
    reached = ends[lasting_longer <= 0.5 + _ROUNDING]
    return float(reached[0]) if len(reached) else math.inf
