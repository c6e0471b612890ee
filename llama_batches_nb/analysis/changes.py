"""Find when a failure rate has changed: a change point, and a CUSUM for schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from llama_batches_nb.analysis.effective_size import MIN_DF
from llama_batches_nb.analysis.intervals import quantile
from llama_batches_nb.analysis.rates import RESULT_COLUMNS, failure_rates
from llama_batches_nb.messages import format_list
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.types import IntoFrame

Floats = npt.NDArray[np.float64]

CHANGE_COLUMNS = ["since", "rate_before", "rate_after", "z"]
DEFAULT_FREQ = "W"
ALPHA = 0.05  # probability that a change is found where no rate has changed
BY_CHANCE = f"about {100 * ALPHA:g} %"
CUSUM_ALLOWANCE = 0.5  # standard deviations: half of the shift to be found
CUSUM_LIMIT = 5.0  # standard deviations


def rate_changes(
    frame_or_rates: IntoFrame,
    *,
    by: str | Sequence[str] | None = None,
    freq: str | None = None,
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """Find the groups whose failure rate has risen or fallen, and since when.

    Parameters
    ----------
    frame_or_rates
        Frame that `failure_rates` accepts, or its result over time, whose columns are the groups
        and the periods.
    by
        Column or columns to group by; each group is compared with its own past. Rates have their
        groups already: omit it, or name the same columns.
    freq
        Pandas offset such as ``"W"``: the length of the periods. By default a week. Not for rates,
        which have their periods already.
    alpha
        Approximate probability that any group is returned if no rate has changed.

    Returns
    -------
    pandas.DataFrame
        One row per group whose rate has changed, in the order of the keys; the keys, then

        =========== ================= ==========================================================
        since       datetime64[us, …] start of the first period with the new rate
        rate_before float64           failed ÷ decided before
        rate_after  float64           failed ÷ decided from then on
        z           float64           standard deviations of the change; positive for a rise
        =========== ================= ==========================================================

    Raises
    ------
    ValueError
        If `failure_rates` raises it, if rates have no column of periods or other groups than `by`,
        or if `alpha` is not between 0 and 1.
    TypeError
        If the argument is not a frame.

    Notes
    -----
    For each group and each split of its periods in two, the signed root of the likelihood ratio
    compares one common rate with two rates, on the effective sample sizes of `failure_rates`, so
    that files of a batch are not taken for independent ones (D. V. Hinkley and E. A. Hinkley 1970,
    "Inference about the change-point in a sequence of binomial variables", Biometrika 57, 477-488;
    K. J. Worsley 1983, "The power of likelihood ratio and cumulative sum tests for a change in a
    binomial probability", Biometrika 70, 455-464). The largest ratio of a group counts if its
    two-sided p-value is below `alpha` ÷ the number of splits of all groups (Bonferroni). With few
    batches, Student's t replaces the normal distribution. Without ``batch_id`` the test takes files
    as independent, and finds too many changes where they are not.

    `alpha` is for one look. Looking every week at the growing history finds more false changes;
    use ``python -m llama_batches_nb check --rising`` on a schedule.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> batches = pd.DataFrame({"job_type": "parse_v2", "status": "COMPLETED",
    ...     "created_at": pd.date_range("2026-06-01", periods=400, freq="6h", tz="UTC")})
    >>> batches.loc[200::2, "status"] = "FAILED"
    >>> change = lb.rate_changes(batches, by="job_type", freq="W").iloc[0]
    >>> f"{change.since:%d %B}: {change.rate_before:.0%} before, {change.rate_after:.0%} after"
    '20 July: 0% before, 49% after'
    """
    alpha = arguments.parse_share("alpha", alpha, 0.05)
    frame = engines.wrap_frame("frame_or_rates", frame_or_rates)
    columns = engines.column_names(frame)
    is_rates = set(columns) >= set(RESULT_COLUMNS)
    if is_rates:
        rates = engines.select_to_pandas(frame, *columns)
    else:
        rates = failure_rates(frame_or_rates, by=by, freq=DEFAULT_FREQ if freq is None else freq)
    groups, time = split_keys(rates)
    if time is None:
        raise ValueError(
            "The rates have no column of periods: pass failure_rates(…, freq='W'), or the frame "
            "that it is computed from."
        )
    if is_rates:
        _check_rates_arguments(groups, by, freq)
    return find_changes(rates, groups, time, alpha)


def _check_rates_arguments(
    groups: list[str], by: str | Sequence[str] | None, freq: str | None
) -> None:
    """Raise `ValueError` if rates are to be grouped or cut otherwise than they are."""
    if by is not None and set(arguments.parse_column_names("by", by)) != set(groups):
        raise ValueError(
            f"by={by!r}, but these rates are grouped by {format_list(groups) or 'nothing'}: pass "
            "the frame that they were computed from, or omit by."
        )
    if freq is not None:
        raise ValueError(
            f"freq={freq!r}, but these rates have periods already: pass the frame that they were "
            "computed from, or omit freq."
        )


def split_keys(rates: pd.DataFrame) -> tuple[list[str], str | None]:
    """Return the keys of the groups of `failure_rates`, and the column of the periods if any."""
    keys = [str(name) for name in rates.columns if name not in RESULT_COLUMNS]
    times = [key for key in keys if pd.api.types.is_datetime64_any_dtype(rates[key])]
    time = times[-1] if times else None
    return [key for key in keys if key != time], time


def find_changes(
    rates: pd.DataFrame, groups: list[str], time: str, alpha: float = ALPHA
) -> pd.DataFrame:
    """Return the changes that `rate_changes` returns, of the rates of groups over time."""
    rates = rates.reset_index(drop=True)
    lines = list(_lines(rates, groups, time))
    n_splits = sum(len(line) - 1 for line in lines)
    rows = []
    if n_splits and (df := _degrees_of_freedom(lines)) != 0:
        limit = quantile(1 - alpha / (2 * n_splits), df)
        for line in lines:
            z = _split_statistics(line)
            if len(z) and abs(z[at := int(np.argmax(np.abs(z)))]) > limit:
                before, after = line.iloc[: at + 1], line.iloc[at + 1 :]
                rows.append((after.index[0], _rate(before), _rate(after), z[at]))
    where = [row[0] for row in rows]
    found = rates.loc[where, [*groups, time]].rename(columns={time: "since"})
    for n, name in enumerate(CHANGE_COLUMNS[1:], start=1):
        found[name] = np.array([row[n] for row in rows], dtype="float64")
    return found.sort_index().reset_index(drop=True)


def cusum(rates: pd.DataFrame, groups: list[str], time: str) -> pd.Series[float]:
    """Return the cumulative sum of rises of each group up to each period, for a schedule.

    The rate of each period is compared with that of all periods before by the signed root of the
    likelihood ratio on the effective sample sizes, as in `rate_changes`. Deviations above
    `CUSUM_ALLOWANCE` add up, and the sum stays at least 0 (D. M. Hawkins 1987, "Self-starting CUSUM
    charts for location and scale", The Statistician 36, 299-316). A sum above `CUSUM_LIMIT` means
    that the rate has risen. Periods without decided rows leave the sum as it is; rows without a
    time have none.
    """
    numbered = rates.reset_index(drop=True)
    sums = np.full(len(numbered), np.nan)
    for line in _lines(numbered, groups, time):
        n, k = line["n_effective"].to_numpy(), _effective_failures(line)
        current, values = 0.0, [0.0]
        for z in _signed_root(k.cumsum()[:-1], n.cumsum()[:-1], k[1:], n[1:]):
            current = max(0.0, current + float(z) - CUSUM_ALLOWANCE)
            values.append(current)
        sums[line.index] = values
    return pd.Series(sums, index=rates.index)


def rising_groups(rates: pd.DataFrame, groups: list[str], time: str) -> pd.DataFrame:
    """Return the groups whose CUSUM is above its limit in their last period.

    One row per group: its keys, ``since`` (the first period of the rise), ``cusum``.
    """
    rates = rates.reset_index(drop=True)
    sums = cusum(rates, groups, time)
    rows, values = [], []
    for line in _lines(rates, groups, time):
        path = sums[line.index]
        if path.iloc[-1] > CUSUM_LIMIT:
            at_zero = np.flatnonzero(path.to_numpy() == 0)  # the first period at least
            rows.append(line.index[at_zero[-1] + 1])
            values.append(float(path.iloc[-1]))
    found = rates.loc[rows, [*groups, time]].rename(columns={time: "since"})
    found["cusum"] = np.array(values, dtype="float64")
    return found.sort_index().reset_index(drop=True)


def _lines(rates: pd.DataFrame, groups: list[str], time: str) -> Iterator[pd.DataFrame]:
    """Yield the periods of each group that have decided rows, in order; the index is kept."""
    known = rates[(rates["decided"] > 0) & rates[time].notna()].sort_values(time)
    if not groups:
        parts: Any = [(None, known)] if len(known) else []
    else:
        parts = known.groupby(groups, dropna=False, observed=True, sort=False)
    for _, line in parts:
        yield line


def _effective_failures(line: pd.DataFrame) -> Floats:
    failures: Floats = (line["failed"] / line["decided"] * line["n_effective"]).to_numpy()
    return failures


def _rate(line: pd.DataFrame) -> float:
    return float(line["failed"].sum() / line["decided"].sum())


def _split_statistics(line: pd.DataFrame) -> Floats:
    """Return the signed root of the likelihood ratio of each split, after each period but one."""
    n, k = line["n_effective"].to_numpy().cumsum(), _effective_failures(line).cumsum()
    return _signed_root(k[:-1], n[:-1], k[-1] - k[:-1], n[-1] - n[:-1])


def _signed_root(k_1: Floats, n_1: Floats, k_2: Floats, n_2: Floats) -> Floats:
    """Compare one common rate with two; positive if the second is higher."""
    separate = _log_likelihood(k_1, n_1) + _log_likelihood(k_2, n_2)
    ratio = separate - _log_likelihood(k_1 + k_2, n_1 + n_2)
    statistics: Floats = np.sign(k_2 / n_2 - k_1 / n_1) * np.sqrt(2 * np.clip(ratio, 0, None))
    return statistics


def _log_likelihood(k: Floats, n: Floats) -> Floats:
    """Return the largest binomial log-likelihood of k failures of n, which may be fractions."""
    likelihood: Floats = _x_log_ratio(k, n) + _x_log_ratio(n - k, n)
    return likelihood


def _x_log_ratio(x: Floats, n: Floats) -> Floats:
    """Return x · ln(x ÷ n), which is 0 at x = 0."""
    positive = np.clip(x, 0, None)
    return positive * np.log(np.where(positive > 0, positive / n, 1.0))


def _degrees_of_freedom(lines: list[pd.DataFrame]) -> int | None:
    """Return the degrees of freedom if they are few, as in `effective_sizes`, else None."""
    rows = pd.concat(lines)
    independent = rows["batches"].eq(rows["decided"]).all()
    if independent or rows["batches"].isna().any():
        return None
    df = int(rows["batches"].sum()) - len(lines)
    return df if df < MIN_DF else None
