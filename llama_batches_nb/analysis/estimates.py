"""Predict the credits and the duration of a batch from those of earlier batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llama_batches_nb.analysis.intervals import Floats, quantile

CONFIDENCE = 0.9  # of a prediction interval
MIN_SPREAD = 1e-12  # of the logarithms of sizes, squared; that of equal ones is rounding
SLOPES = np.linspace(0, 1, 5)  # of log(duration) over log(files): from constant to proportional
MIN_RELATIVE_VARIANCE = 1e-9  # of the batch with the largest variance


@dataclass(frozen=True)
class Estimate:
    """An expected value with its prediction interval; NaN where it is not known."""

    expected: float = np.nan
    low: float = np.nan
    high: float = np.nan


def batch_history(files: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of each batch; one row is one batch.

    `files` has one row per file and the columns ``batch_id`` and ``job_id``; where it has them,
    ``error_message``, ``credits``, ``batch_created_at`` and ``updated_at`` (the end of the job).

    Returns
    -------
    pandas.DataFrame
        Indexed by ``batch_id``, with the columns

        ======== ======= ========================================================================
        files    int64   files of the batch
        known    int64   jobs whose credits are known
        mean     float64 credits per file: those per known job, times the share of files with a
                         job, since a file that was not mapped to a job costs nothing
        within   float64 sum of the squared differences between these credits and `mean`
        minutes  float64 from the creation of the batch to the end of its last job; NaN unless
                         all of its jobs have an end
        ======== ======= ========================================================================
    """
    has_job = files["job_id"].notna() & (files["job_id"] != "")
    is_free = ~has_job & _has_text(files, "error_message")
    per_file = pd.DataFrame(
        {
            "batch": files["batch_id"].astype(object),
            "credits": _numbers(files, "credits").where(has_job),
            "with_job": has_job.astype(float).where(has_job | is_free),
            "minutes": _minutes(files, has_job),
        }
    )
    batches = per_file.groupby("batch", sort=False)
    per_job, share = batches["credits"].mean(), batches["with_job"].mean()
    difference = per_file["credits"] - per_file["batch"].map(per_job)
    return pd.DataFrame(
        {
            "files": batches.size(),
            "known": batches["credits"].count(),
            "mean": per_job * share,
            "within": (difference**2).groupby(per_file["batch"], sort=False).sum() * share**2,
            "minutes": batches["minutes"].max(),
        }
    )


def estimate_credits(history: pd.DataFrame, n_files: int) -> Estimate:
    """Return the credits of a batch of `n_files`, as a mean and a 90 % prediction interval.

    Credits per file differ between batches (variance τ²) and between files of a batch (σ²); both
    are estimated by the analysis of variance of the unbalanced one-way random model (S. R. Searle,
    G. Casella and C. E. McCulloch 1992, "Variance Components", chapter 3). The mean of a batch of
    n files then has the variance v(n) = τ² + σ²/n, and earlier batches are weighted by
    w = 1/v(n). The interval, for the square root y of the credits per file (M. S. Bartlett 1947,
    Biometrics 3:39), is

        ȳ ± t(J − 1) · sqrt(k · (v(n_files) + 1/Σw)),   k = Σ w·(y − ȳ)²/(J − 1)

    for J batches. Only the ratio of σ² to τ² is taken as known; the scale k is that of J. Hartung
    and G. Knapp (2001, Statistics in Medicine 20:3875). A batch larger than all earlier ones gets
    the variance of the largest. If `within` is NaN, v is the same for all batches.
    """
    known = history[history["known"] > 0]
    n, mean = known["known"].to_numpy(float), known["mean"].to_numpy(float)
    if not len(known) or not n_files:
        return Estimate()
    if len(known) == 1:
        return Estimate(expected=n_files * float(mean[0]))
    between, within = _variance_components(n, mean, known["within"].to_numpy(float))
    variances = between + within / np.append(n, min(n_files, n.max()))
    if not variances.any():
        variances = np.ones_like(variances)
    variances = np.maximum(variances, MIN_RELATIVE_VARIANCE * variances.max())
    weights, y = 1 / variances[:-1], np.sqrt(mean)
    middle = np.average(y, weights=weights)
    scale = (weights * (y - middle) ** 2).sum() / (len(y) - 1)
    half = _t(len(y) - 1) * np.sqrt(scale * (variances[-1] + 1 / weights.sum()))
    low, high = np.maximum([middle - half, middle + half], 0) ** 2
    return Estimate(
        *(n_files * float(each) for each in (np.average(mean, weights=weights), low, high))
    )


def estimate_minutes(history: pd.DataFrame, n_files: int) -> Estimate:
    """Return the minutes that a batch of `n_files` takes, and a 90 % prediction interval.

    The logarithm of the minutes is regressed on that of the files (D. C. Montgomery, E. A. Peck and
    G. G. Vining 2012, "Introduction to Linear Regression Analysis", section 2.5). Where sizes are
    too similar or too few for a slope, the interval is the union of those for slopes from 0 (files
    run at the same time) to 1 (one after the other). The expected value is in its middle, and is
    the fitted one if the slope is known.
    """
    known = history[(history["minutes"] > 0) & (history["files"] > 0)]
    if not len(known) or not n_files:
        return Estimate()
    y = np.log(known["minutes"].to_numpy(float))
    x = np.log(known["files"].to_numpy(float)) - np.log(n_files)
    if len(known) == 1:
        return Estimate(expected=float(np.exp(y[0] - x[0] / 2)))
    low, high = _interval_for_slopes(x, y)
    if len(known) > 2 and (spread := ((x - x.mean()) ** 2).sum()) > MIN_SPREAD:
        fitted, half = _regression(x, y, spread)
        if fitted - half <= high and fitted + half >= low:
            low, high = max(low, fitted - half), min(high, fitted + half)
        else:  # the slope is not between 0 and 1
            low, high = fitted - half, fitted + half
    return Estimate(*(float(np.exp(each)) for each in ((low + high) / 2, low, high)))


def _variance_components(n: Floats, mean: Floats, within: Floats) -> tuple[float, float]:
    """Return τ² and σ², or 1 and 0 if the variance within batches is not known."""
    total, batches = n.sum(), len(n)
    if total == batches or np.isnan(within).any():
        return 1.0, 0.0
    mean_square_within = float(within.sum() / (total - batches))
    grand_mean = (n * mean).sum() / total
    mean_square_between = (n * (mean - grand_mean) ** 2).sum() / (batches - 1)
    n0 = (total - (n**2).sum() / total) / (batches - 1)
    return max(0.0, float((mean_square_between - mean_square_within) / n0)), mean_square_within


def _interval_for_slopes(x: Floats, y: Floats) -> tuple[float, float]:
    """Return the union of the intervals at x = 0 for each of `SLOPES`."""
    residuals = y - SLOPES[:, None] * x
    middles, deviations = residuals.mean(axis=1), residuals.std(axis=1, ddof=1)
    halves = _t(len(y) - 1) * deviations * np.sqrt(1 + 1 / len(y))
    return float((middles - halves).min()), float((middles + halves).max())


def _regression(x: Floats, y: Floats, spread: float) -> tuple[float, float]:
    """Return the fitted value at x = 0 and half of its prediction interval."""
    slope = ((x - x.mean()) * y).sum() / spread
    residuals = y - y.mean() - slope * (x - x.mean())
    variance = (residuals**2).sum() / (len(y) - 2)
    half = _t(len(y) - 2) * np.sqrt(variance * (1 + 1 / len(y) + x.mean() ** 2 / spread))
    return float(y.mean() - slope * x.mean()), float(half)


def _t(df: int) -> float:
    return quantile(0.5 + CONFIDENCE / 2, df)


def _minutes(files: pd.DataFrame, has_job: pd.Series[bool]) -> pd.Series[float]:
    """Return the minutes from the creation of a file's batch to the end of its job.

    They are infinite or NaN for all files of a batch one of whose jobs has no end.
    """
    if not {"batch_created_at", "updated_at"} <= set(files):
        return pd.Series(np.nan, index=files.index)
    minutes = (files["updated_at"] - files["batch_created_at"]).dt.total_seconds() / 60
    is_open = (has_job & minutes.isna()).groupby(files["batch_id"].astype(object)).transform("any")
    return minutes.mask(is_open)


def _has_text(files: pd.DataFrame, name: str) -> pd.Series[bool]:
    if name not in files:
        return pd.Series(False, index=files.index)
    return files[name].notna() & (files[name] != "")


def _numbers(files: pd.DataFrame, name: str) -> pd.Series[float]:
    if name not in files:
        return pd.Series(np.nan, index=files.index)
    return pd.to_numeric(files[name]).astype("Float64").astype("float64")
