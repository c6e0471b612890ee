"""Effective sample sizes of rates whose rows fail together in clusters, such as batches."""

from __future__ import annotations

import numpy as np
import pandas as pd

MIN_DF = 10  # degrees of freedom from which the normal quantile and cells by period hold

CLUSTERS, SQUARES, FAILED_SQUARES = "_clusters", "_squares", "_failed_squares"
MOMENTS = [CLUSTERS, SQUARES, FAILED_SQUARES]
"""Per cell: clusters with decided rows, Σ decided², and Σ failed² ÷ decided over its clusters."""


def effective_sizes(
    cells: pd.DataFrame, groups: list[str], time: str | None
) -> tuple[pd.Series[float], int | None]:
    """Return the number of independent rows that equal the decided rows of each cell in precision.

    Parameters
    ----------
    cells
        One row per group and period, with ``decided``, ``failed`` and the columns of `MOMENTS`.
    groups, time
        Keys of the cells: those of the groups, and the period if there is one.

    Returns
    -------
    tuple
        The effective sizes, and the degrees of freedom of Student's t for the interval; None where
        the normal quantile holds.

    Notes
    -----
    The intraclass correlation (ICC) of the clusters is estimated once over all cells, by analysis
    of variance. It is the probability, in excess of chance, that two files of a cluster share
    their outcome. The design effect of a cell is 1 + ICC · (Σ decided² ÷ decided − 1), and its
    effective size is decided ÷ design effect (M. S. Ridout, C. G. B. Demétrio and D. Firth 1999,
    "Estimating intraclass correlation for binary data", Biometrics 55, 137-148; L. Kish 1965,
    "Survey Sampling"; J. N. K. Rao and A. J. Scott 1992, "A simple method for the analysis of
    clustered binary data", Biometrics 48, 577-585).

    Clusters minus cells are the degrees of freedom. Below `MIN_DF`, groups over all periods are the
    cells; if that is still too few, the interval uses Student's t. Without any, rows count as
    independent.
    """
    icc, df = _intraclass_correlation(cells)
    if df < MIN_DF and time is not None:
        icc, df = _intraclass_correlation(_without_periods(cells, groups))
    decided = cells["decided"].astype("float64")
    with np.errstate(invalid="ignore"):
        design_effect = 1 + icc * (cells[SQUARES] / decided - 1)
    sizes = (decided / design_effect).fillna(0.0)
    return sizes, df if 0 < df < MIN_DF else None


def _without_periods(cells: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    columns = ["decided", "failed", *MOMENTS]
    if not groups:
        return cells[columns].sum().to_frame().T
    return cells.groupby(groups, dropna=False, observed=True)[columns].sum()


def _intraclass_correlation(cells: pd.DataFrame) -> tuple[float, int]:
    """Return the ICC, at least 0, and its degrees of freedom; 0 if there are none."""
    cells = cells[cells["decided"] > 0]
    n, k = cells["decided"].astype("float64"), cells["failed"].astype("float64")
    clusters = int(cells[CLUSTERS].sum())
    df = clusters - len(cells)
    rows_left = float(n.sum()) - clusters
    if rows_left <= 0:  # each row is a cluster of its own, so rows are independent
        return 0.0, MIN_DF
    if df <= 0:
        return 0.0, 0
    between = float((cells[FAILED_SQUARES] - k**2 / n).sum()) / df
    within = max(0.0, float((k - cells[FAILED_SQUARES]).sum()) / rows_left)
    size = (float(n.sum()) - float((cells[SQUARES] / n).sum())) / df
    total = between + (size - 1) * within
    return (max(0.0, (between - within) / total), df) if total > 0 else (0.0, df)
