"""Counts, rates, intervals and periods of `failure_rates`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.intervals import wilson
from llama_batches_nb.analysis.rates import (
    COUNT_COLUMNS,
    RATE_COLUMNS,
    RESULT_COLUMNS,
    format_rate,
)
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import JOBS, RESULTS
from tests.strategies import (
    batch_frames,
    batches,
    few,
    instants,
    job_frames,
    outcome_frames,
    result_frames,
    results_of,
    some,
)

NAN = float("nan")
Z95 = 1.959963984540054


def counts(rates: pd.DataFrame) -> list[list[int]]:
    """Return total, decided and failed of each row."""
    result: list[list[int]] = rates[COUNT_COLUMNS].to_numpy().tolist()
    return result


def at(*times: str | None) -> pd.Series[Any]:
    """Return times as a column of the API's."""
    return pd.Series(times, dtype="datetime64[us, UTC]")


# --- what is counted ----------------------------------------------------------------------------


def test_batches_are_counted_by_status() -> None:
    result = lb.failure_rates(
        batches("COMPLETED", "COMPLETED", "FAILED", "CANCELLED", "RUNNING", "PENDING", "THROTTLED")
    )
    assert result.columns.tolist() == RESULT_COLUMNS
    assert counts(result) == [[7, 3, 1]]
    assert result.failure_rate[0] == 1 / 3


def test_jobs_are_counted_by_status() -> None:
    ended = [{"id": str(n), "status": s} for n, s in enumerate(["FAILED", "COMPLETED", "PAUSED"])]
    assert counts(lb.failure_rates(records.to_pandas(JOBS, ended))) == [[3, 2, 1]]


def files(**batch: Any) -> pd.DataFrame:
    """Return results: two files mapped, one not, one with neither job nor message."""
    mappings = [
        {"source_directory_file_id": "1", "job_reference": {"id": "pjb-1", "type": "parse_v2"}},
        {
            "source_directory_file_id": "2",
            "job_reference": {"id": "pjb-2", "type": "parse_v2"},
            "error_message": "",
        },
        {"source_directory_file_id": "3", "error_message": "no such file"},
        {"source_directory_file_id": "4"},
    ]
    whole = {"id": "bat-1", "status": "COMPLETED", "results": mappings, **batch}
    return results_of(whole)


def test_results_are_counted_by_message() -> None:
    assert counts(lb.failure_rates(files())) == [[4, 3, 1]]


def test_results_with_status_column_raise() -> None:
    joined = files().assign(status="COMPLETED")
    with pytest.raises(ValueError, match="'status', which may be"):
        lb.failure_rates(joined)
    assert counts(lb.failure_rates(joined.rename(columns={"status": "x"}))) == [[4, 3, 1]]
    assert counts(lb.failure_rates(joined.pipe(lb.outcomes))) == [[4, 3, 1]]


def test_outcomes_fail_by_mapping_or_job() -> None:
    words = ["succeeded", "mapping_error", "job_failed", "mapped", "no_job", "job_running"]
    words += ["job_cancelled", "job_unknown"]
    assert counts(lb.failure_rates(pd.DataFrame({"outcome": words}))) == [[8, 4, 2]]


def test_outcomes_without_jobs_have_rate_of_results() -> None:
    pd.testing.assert_frame_equal(lb.failure_rates(lb.outcomes(files())), lb.failure_rates(files()))


def test_files_of_failed_batches_are_excluded() -> None:
    both = pd.concat([files(), files(id="bat-2", status="FAILED")])
    assert counts(lb.failure_rates(both)) == [[4, 3, 1]]
    assert counts(lb.failure_rates(lb.outcomes(both))) == [[4, 3, 1]]
    assert counts(lb.failure_rates(files(status="FAILED"))) == [[0, 0, 0]]


@pytest.mark.parametrize("status", ["COMPLETED", "RUNNING", "CANCELLED", "PAUSED", None])
def test_files_of_batches_that_did_not_fail_are_counted(status: str | None) -> None:
    assert counts(lb.failure_rates(files(status=status))) == [[4, 3, 1]]


def test_status_may_be_text() -> None:
    for dtype in (object, "string"):
        result = batches("FAILED", "COMPLETED").astype({"status": dtype})
        assert counts(lb.failure_rates(result)) == [[2, 2, 1]]


# --- missing, not zero --------------------------------------------------------------------------


@pytest.mark.parametrize("result", [batches("RUNNING", "CANCELLED"), batches()], ids=["open", "no"])
def test_rate_is_missing_without_decided_rows(result: pd.DataFrame) -> None:
    rates = lb.failure_rates(result)
    assert counts(rates) == [[len(result), 0, 0]]
    assert rates[RATE_COLUMNS].isna().to_numpy().all()


def test_rate_without_failures_is_zero() -> None:
    rates = lb.failure_rates(batches("COMPLETED"))
    assert rates[["failure_rate", "ci_low"]].to_numpy().tolist() == [[0, 0]]
    assert rates.ci_high[0] < 1


@pytest.mark.parametrize(("by", "freq"), [("job_type", None), (None, "W"), ("job_type", "MS")])
@pytest.mark.parametrize("result", [batches(), files().iloc[:0]], ids=["batches", "results"])
def test_empty_frame_gives_no_groups(
    result: pd.DataFrame, by: str | None, freq: str | None
) -> None:
    rates = lb.failure_rates(result, by=by, freq=freq)
    time = "created_at" if "created_at" in result else "batch_created_at"
    assert len(rates) == 0
    keys = [name for name, given in ((by, by), (time, freq)) if given]
    assert rates.columns.tolist() == [*keys, *RESULT_COLUMNS]
    assert_exact_dtypes(rates)


def assert_exact_dtypes(rates: pd.DataFrame) -> None:
    dtypes = rates[RESULT_COLUMNS].dtypes.astype(str).to_dict()
    assert dtypes == {
        **dict.fromkeys([*COUNT_COLUMNS, "undecided"], "int64"),
        **dict.fromkeys([*RATE_COLUMNS, "n_effective"], "float64"),
        **dict.fromkeys(["unreliable", "batches"], "Int64"),
    }
    for time in {"created_at", "batch_created_at"}.intersection(rates.columns):
        assert rates[time].dtype == pd.DatetimeTZDtype("us", "UTC")


# --- the interval -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failed", "decided", "low", "high"),
    [  # as statsmodels' proportion_confint(failed, decided, method="wilson") has them
        (0, 10, 0, 0.27753279),
        (1, 10, 0.01787621, 0.40415002),
        (5, 10, 0.23659309, 0.76340691),
        (10, 10, 0.72246721, 1),
    ],
)
def test_interval_matches_wilsons_formula(
    failed: int, decided: int, low: float, high: float
) -> None:
    rates = lb.failure_rates(batches(*["FAILED"] * failed, *["COMPLETED"] * (decided - failed)))
    assert (rates.ci_low[0], rates.ci_high[0]) == pytest.approx((low, high), abs=1e-8)


@given(st.integers(1, 2000), st.data())
@some
def test_interval_solves_wilsons_equation(decided: int, data: st.DataObject) -> None:
    """Its ends are the rates from which the one seen is z standard deviations away."""
    failed = data.draw(st.integers(0, decided))
    seen = failed / decided
    low, high = (float(end[0]) for end in wilson([failed], [decided], 0.95))
    assert 0 <= low <= seen <= high <= 1
    for end, at_edge in ((low, failed == 0), (high, failed == decided)):
        if not at_edge:
            away = Z95 * math.sqrt(end * (1 - end) / decided)
            assert abs(seen - end) == pytest.approx(away, abs=1e-9)


@given(st.integers(0, 50), st.integers(0, 50))
@few
def test_swapping_failures_and_successes_mirrors_interval(failed: int, succeeded: int) -> None:
    decided = failed + succeeded
    low, high = wilson([failed, succeeded], [decided, decided], 0.9)
    assert low[0] == pytest.approx(1 - high[1], nan_ok=True)
    assert high[0] == pytest.approx(1 - low[1], nan_ok=True)


def test_interval_widens_with_confidence_and_narrows_with_rows() -> None:
    one = batches("FAILED", "COMPLETED", "COMPLETED")
    widths = [
        float((rates.ci_high - rates.ci_low).iloc[0])
        for rates in (
            lb.failure_rates(one, confidence=0.99),
            lb.failure_rates(one),
            lb.failure_rates(one, confidence=0.5),
            lb.failure_rates(pd.concat([one] * 100), confidence=0.5),
        )
    ]
    assert widths == sorted(widths, reverse=True)


# --- groups -------------------------------------------------------------------------------------


TIMES = {"created_at", "updated_at", "batch_created_at"}


def half_of_failed_batches(files: pd.DataFrame) -> pd.DataFrame:
    return files.assign(batch_status=pd.Categorical((["FAILED", None] * len(files))[: len(files)]))


FILES = st.one_of(result_frames(), outcome_frames())
ANY_KIND = st.one_of(batch_frames(), job_frames(), FILES, FILES.map(half_of_failed_batches))
FREQUENCIES = st.sampled_from([None, "D", "W", "MS", "QS", "YE", "h", "2D"])
CONFIDENCES = st.floats(1e-9, 1 - 1e-9)


@st.composite
def groupings(draw: st.DrawFn) -> tuple[pd.DataFrame, list[str], str | None]:
    """A frame of any kind, some of its columns, and a period or none."""
    result = draw(ANY_KIND)
    freq = draw(FREQUENCIES)
    columns = [str(name) for name in result if freq is None or name not in TIMES]
    return result, draw(st.lists(st.sampled_from(columns), max_size=3, unique=True)), freq


def verdicts(result: pd.DataFrame) -> list[tuple[bool, bool] | None]:
    """Say of each row whether it is decided and failed; None if it does not count."""
    flags: list[tuple[bool, bool] | None] = []
    for row in result.astype(object).where(result.notna(), None).to_dict("records"):
        if "outcome" in row:
            failed = row["outcome"] in ("mapping_error", "job_failed")
            decided = failed or row["outcome"] in ("succeeded", "mapped")
        elif "status" in row:
            failed = row["status"] == "FAILED"
            decided = failed or row["status"] == "COMPLETED"
        else:
            failed = bool(row["error_message"])
            decided = failed or row["job_id"] is not None
        flags.append(None if row.get("batch_status") == "FAILED" else (decided, failed))
    return flags


@given(groupings(), CONFIDENCES)
@some
def test_counts_add_up_in_any_grouping(
    grouping: tuple[pd.DataFrame, list[str], str | None], confidence: float
) -> None:
    result, by, freq = grouping
    counted = [verdict for verdict in verdicts(result) if verdict]
    rates = lb.failure_rates(result, by=by, freq=freq, confidence=confidence)
    whole = [len(counted), sum(d for d, _ in counted), sum(f for _, f in counted)]
    assert rates[COUNT_COLUMNS].sum().tolist() == whole
    assert_exact_dtypes(rates)
    keys = rates[rates.columns[: -len(RESULT_COLUMNS)]]
    assert keys.shape[1] == len(by) + (freq is not None)
    if keys.shape[1]:
        assert (rates.total + rates.unreliable.fillna(0) > 0).all()
        assert not keys.duplicated().any()


@given(groupings(), CONFIDENCES, CONFIDENCES)
@some
def test_rate_is_within_its_interval(
    grouping: tuple[pd.DataFrame, list[str], str | None], one: float, other: float
) -> None:
    result, by, freq = grouping
    sure, surer = (
        lb.failure_rates(result, by=by, freq=freq, confidence=confidence)
        for confidence in sorted((one, other))
    )
    assert ((sure.failed >= 0) & (sure.failed <= sure.decided)).all()
    assert (sure.decided <= sure.total).all()
    decided = sure.decided > 0
    assert (sure.failure_rate == sure.failed / sure.decided)[decided].all()
    ends = [surer.ci_low, sure.ci_low, sure.failure_rate, sure.ci_high, surer.ci_high]
    inside = np.column_stack([np.zeros(len(sure)), *ends, np.ones(len(sure))])[decided]
    assert (np.diff(inside) >= -1e-12).all()
    assert sure[~decided][RATE_COLUMNS].isna().to_numpy().all()


@given(groupings())
@some
def test_group_counts_equal_counts_of_its_rows(
    grouping: tuple[pd.DataFrame, list[str], str | None],
) -> None:
    result, by, _ = grouping
    groups = lb.failure_rates(result, by=by)
    rows = list(zip(keys_of(result, by), verdicts(result), strict=True))
    for keys, expected in zip(keys_of(groups, by), counts(groups), strict=True):
        mine = [verdict for row, verdict in rows if verdict and row == keys]
        assert [len(mine), sum(d for d, _ in mine), sum(f for _, f in mine)] == expected


def named(keys: Iterable[Any]) -> list[Any]:
    """Return keys with one value for missing ones."""
    return ["missing" if pd.isna(key) else key for key in keys]


def keys_of(frame: pd.DataFrame, by: list[str]) -> list[list[Any]]:
    """Return the values of some columns, or of none, of each row."""
    return [named(row) for row in frame[by].astype(object).to_numpy()]


def test_groups_are_sorted_by_their_keys_with_missing_ones_last() -> None:
    words = ["b", None, "a", "b"]
    result = batches("FAILED", "FAILED", "COMPLETED", "COMPLETED", configuration_id=words)
    rates = lb.failure_rates(result, by="configuration_id")
    assert named(rates.configuration_id) == ["a", "b", "missing"]
    assert counts(rates) == [[1, 1, 0], [2, 2, 1], [1, 1, 1]]
    assert rates.index.tolist() == [0, 1, 2]


@pytest.mark.parametrize("by", [None, "job_type"])
@pytest.mark.parametrize("freq", [None, "D", "W"])
def test_rates_have_range_index_without_axis_names(by: str | None, freq: str | None) -> None:
    result = batches("FAILED", "COMPLETED").rename_axis(index="row", columns="column")
    rates = lb.failure_rates(result, by=by, freq=freq)
    assert isinstance(rates.index, pd.RangeIndex)
    assert rates.index.name is rates.columns.name is None


def test_unused_categories_are_not_groups() -> None:
    assert lb.failure_rates(batches("RUNNING"), by="status").status.tolist() == ["RUNNING"]


def test_several_columns_group_by_their_combinations() -> None:
    result = batches("FAILED", "COMPLETED", "FAILED", x=[2, 1, 2], y=["p", "p", None])
    rates = lb.failure_rates(result, by=("x", "y"))
    assert rates.x.tolist() == [1, 2, 2]
    assert named(rates.y) == ["p", "p", "missing"]
    assert rates.columns.tolist() == ["x", "y", *RESULT_COLUMNS]


def test_duplicate_key_groups_once() -> None:
    result = batches("FAILED", "COMPLETED")
    pd.testing.assert_frame_equal(
        lb.failure_rates(result, by=["status", "status"]), lb.failure_rates(result, by="status")
    )


# --- periods ------------------------------------------------------------------------------------

PERIODS = {
    "D": "D", "W": "W-SUN", "W-WED": "W-WED", "MS": "M", "ME": "M", "QS": "Q", "QE": "Q",
    "YS": "Y", "YE": "Y", "h": "h", "min": "min",
}  # fmt: skip


YEARS = pd.Series(pd.date_range("2023-12-25", "2026-01-08", freq="443min", tz="UTC")).dt.as_unit(
    "us"
)
"""Times of two years and their edges, a leap day among them."""


def assert_periods(created: pd.Series[Any], freq: str) -> None:
    """Check the periods of times against what pandas makes of each alone."""
    naive = created.dt.tz_localize(None)
    if freq in PERIODS:
        starts = naive.dt.to_period(PERIODS[freq]).dt.start_time
    else:
        starts = naive.dt.floor(freq)
    rates = lb.failure_rates(batches(*["FAILED"] * len(created), created_at=created), freq=freq)
    expected = starts.dt.tz_localize("UTC").value_counts().sort_index()
    assert rates.created_at.tolist() == expected.index.tolist()
    assert rates.total.tolist() == expected.tolist()


@pytest.mark.parametrize("freq", [*PERIODS, "2D", "7D", "6h", "90min", "15min"])
def test_periods_start_like_pandas_periods(freq: str) -> None:
    assert_periods(YEARS, freq)


@given(
    st.lists(instants() | instants(1999), min_size=1, max_size=5),
    st.sampled_from([*PERIODS, "3D", "4h", "5min"]),
)
@some
def test_periods_of_any_times_start_like_pandas_periods(times: list[datetime], freq: str) -> None:
    assert_periods(pd.Series(times).astype("datetime64[us, UTC]"), freq)


def test_week_starts_on_monday() -> None:
    created = at("2026-08-02T23:59:59Z", "2026-08-03T00:00:00Z")
    rates = lb.failure_rates(batches("FAILED", "COMPLETED", created_at=created), freq="W")
    assert rates.created_at.dt.day_name().unique().tolist() == ["Monday"]
    assert rates.created_at.dt.day.tolist() == [27, 3]


def test_results_are_grouped_by_creation_of_batch() -> None:
    rates = lb.failure_rates(files(created_at="2026-08-05T00:00:00Z"), freq="MS")
    assert rates.batch_created_at.tolist() == [pd.Timestamp("2026-08-01", tz="UTC")]


@pytest.mark.parametrize("freq", ["D", "W", "MS", "2D"])
def test_rows_without_time_are_the_last_group(freq: str) -> None:
    created = at(None, "2026-08-05", None)
    rates = lb.failure_rates(
        batches("FAILED", "COMPLETED", "RUNNING", created_at=created), freq=freq
    )
    assert counts(rates) == [[1, 1, 0], [2, 1, 1]]
    assert rates.created_at.isna().tolist() == [False, True]


NIGHT = at("2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-12-01T03:00:00Z", None)
"""Half past one in New York, twice in the night that clocks go back; and a month's last evening."""


ZONES = ["UTC", "Asia/Kathmandu", "Etc/GMT+5", "+05:30", None]
EACH_FREQ = [(freq, "America/New_York") for freq in ("h", "D", "W", "MS", "2D")]


@pytest.mark.parametrize(("freq", "zone"), EACH_FREQ + [("D", zone) for zone in ZONES])
def test_periods_are_in_utc_for_any_zone(freq: str, zone: str | None) -> None:
    result = batches("FAILED", "FAILED", "COMPLETED", "RUNNING", created_at=NIGHT)
    there = NIGHT.dt.tz_convert(zone) if zone else NIGHT.dt.tz_localize(None)
    expected = lb.failure_rates(result, freq=freq)
    pd.testing.assert_frame_equal(
        lb.failure_rates(result.assign(created_at=there), freq=freq), expected
    )
    if zone and zone[0] != "+":
        lazy = pl.from_pandas(result.assign(created_at=there)).lazy()
        pd.testing.assert_frame_equal(lb.failure_rates(lazy, freq=freq), expected)


@pytest.mark.parametrize(("freq", "zone"), EACH_FREQ + [("D", zone) for zone in ZONES[:2]])
def test_periods_are_in_utc_in_any_session_zone(freq: str, zone: str) -> None:
    result = batches("FAILED", "FAILED", "COMPLETED", "RUNNING", created_at=NIGHT)
    with duckdb.connect() as connection:
        connection.execute(f"set timezone = '{zone}'")
        relation = connection.from_arrow(pa.Table.from_pandas(result))
        rates = lb.failure_rates(relation, freq=freq)
    pd.testing.assert_frame_equal(rates, lb.failure_rates(result, freq=freq))


def test_times_may_have_any_unit() -> None:
    for unit in ("s", "ms", "us", "ns"):
        result = batches(
            "FAILED", "FAILED", "COMPLETED", "RUNNING", created_at=NIGHT.dt.as_unit(unit)
        )
        assert_exact_dtypes(lb.failure_rates(result, freq="W"))


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, NAN])
def test_confidence_must_be_between_0_and_1(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence="):
        lb.failure_rates(batches("FAILED"), confidence=confidence)


@pytest.mark.parametrize("freq", ["", "X", "daily", 5, "2W", "B", "-1D", "0D", "QS-FEB", "YS-APR"])
def test_unsupported_freq_raises(freq: Any) -> None:
    with pytest.raises(ValueError, match=f"freq={freq!r}"):
        lb.failure_rates(batches("FAILED"), freq=freq)


def test_pandas_times_may_be_text_in_several_formats() -> None:
    times = ["2026-08-01T12:00:00Z", "2026-08-01T23:30:00.5-02:00", "2026-08-02", None]
    frame = batches(*["FAILED"] * 4).assign(created_at=pd.Series(times))
    rates = lb.failure_rates(frame, freq="D")
    assert rates.created_at.dt.day.tolist()[:2] == [1, 2]
    assert rates.total.tolist() == [1, 2, 1]
    with pytest.raises(ValueError, match=r"'created_at' must hold times: .*soon"):
        lb.failure_rates(frame.assign(created_at="soon"), freq="D")


@pytest.mark.parametrize("names", [list, tuple, pd.Index, pd.Series])
def test_by_may_be_any_iterable(names: Any) -> None:
    rates = lb.failure_rates(batches("FAILED"), by=names(["status", "job_type"]))
    assert rates.columns.tolist()[:2] == ["status", "job_type"]


def test_by_without_names_raises_type_error() -> None:
    with pytest.raises(TypeError, match=r"by must be a column name or several, not \[\['kind'\]\]"):
        lb.failure_rates(batches(), by=[["kind"]])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="by must be a column name or several, not 3"):
        lb.failure_rates(batches("FAILED"), by=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RESULT_COLUMNS)
def test_by_result_column_raises(name: str) -> None:
    with pytest.raises(ValueError, match=f"by='{name}'"):
        lb.failure_rates(batches("FAILED").assign(**{name: 1}), by=name)


def test_grouping_by_time_and_freq_raises() -> None:
    with pytest.raises(ValueError, match="both group by 'created_at'"):
        lb.failure_rates(batches("FAILED"), by="created_at", freq="D")


def test_freq_needs_times() -> None:
    with pytest.raises(ValueError, match="no column 'created_at'"):
        lb.failure_rates(batches("FAILED").drop(columns="created_at"), freq="D")
    text = pl.DataFrame({"batch_id": ["b"], "status": ["FAILED"], "created_at": ["2026-08-01"]})
    with pytest.raises(ValueError, match=r"freq needs times in .* 'created_at'.*String"):
        lb.failure_rates(text, freq="D")


@pytest.mark.parametrize("columns", [["batch_id"], RESULTS.names[:3], []])
def test_unknown_frame_kind_error_lists_columns(columns: list[str]) -> None:
    with pytest.raises(ValueError, match=f"columns {', '.join(sorted(columns)) or '.none.'}"):
        lb.failure_rates(pd.DataFrame(columns=columns))


def test_multiindex_columns_are_an_unknown_kind() -> None:
    columns = pd.MultiIndex.from_tuples([("status", "max"), ("job_id", "count")])
    with pytest.raises(ValueError, match=r"columns \('job_id', 'count'\)"):
        lb.failure_rates(pd.DataFrame(columns=columns))


def test_format_rate_shows_counts_and_interval() -> None:
    rates = lb.failure_rates(batches("FAILED", "COMPLETED", "RUNNING"), by="batch_id")
    assert format_rate(rates.iloc[0]).startswith("100.0 % (1 of 1; ")
    assert format_rate(rates.iloc[2]) == "none of 1 decided"
    (whole,) = (row for _, row in lb.failure_rates(batches("FAILED", "COMPLETED")).iterrows())
    assert format_rate(whole) == "50.0 % (1 of 2; 9.5–90.5)"
