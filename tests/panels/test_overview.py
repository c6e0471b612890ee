"""What a dashboard counts is what the public functions count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal

import llama_batches_nb as lb
from llama_batches_nb.analysis.patterns import error_patterns, pattern_ids
from llama_batches_nb.panels.browse.query import FetchedFrames
from llama_batches_nb.panels.dashboard.overview import (
    CONFIGURATION,
    DIRECTORY,
    PATTERN,
    TREND_BARS,
    Overview,
)
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES, JOBS
from llama_batches_nb.tables.statuses import FAILURE_OUTCOMES, TERMINAL_STATUSES
from tests.servers import batch, mapping
from tests.strategies import api_records, instants, job_frames, known_or_unknown, results_of, some

MESSAGES = ["no such file", "no such file 7", "too large", None]


@st.composite
def found(draw: st.DrawFn) -> FetchedFrames:
    """Batches with their results and jobs, as a fetch gives them."""
    listed = draw(st.lists(api_records(BATCHES), max_size=5, unique_by=lambda one: one["id"]))
    for one in listed:
        one["created_at"] = draw(instants()).isoformat()
        one["source_directory_id"] = draw(st.sampled_from(["dir-1", "dir-2", None]))
        one["config"] = {
            "job": {"type": "parse_v2", "configuration_id": draw(st.sampled_from(["a", "b", None]))}
        }
        one["status"] = draw(known_or_unknown(["COMPLETED", "FAILED", "RUNNING"]))
        made = st.builds(
            mapping,
            st.just("f"),
            st.sampled_from(["pjb-1", "pjb-2", None]),
            st.sampled_from(MESSAGES),
        )
        one["results"] = draw(st.lists(made, max_size=6))
    jobs = draw(st.none() | job_frames())
    return FetchedFrames(records.to_pandas(BATCHES, listed), results_of(*listed), jobs)


@given(found())
@some
def test_headline_counts_are_those_of_failure_rates(given_frames: FetchedFrames) -> None:
    headline = Overview.from_frames(given_frames).headline()
    assert_series_equal(headline.rate, lb.failure_rates(given_frames.outcomes).iloc[0])
    text = headline.text()
    undecided = f" · {int(headline.rate.undecided):,} undecided"
    assert (undecided in text) != ("(no files)" in text)
    assert ("unreliable" in text) == bool(headline.rate.unreliable)


@given(found())
@some
def test_files_still_failing_are_those_of_final_outcomes(given_frames: FetchedFrames) -> None:
    final = lb.final_outcomes(given_frames.outcomes)
    expected = lb.failure_rates(final).iloc[0].failed
    assert Overview.from_frames(given_frames).headline().still_failing == expected


@given(found(), st.sampled_from([DIRECTORY, CONFIGURATION]))
@some
def test_group_rates_equal_failure_rates_of_the_files(
    given_frames: FetchedFrames, name: str
) -> None:
    found = Overview.from_frames(given_frames).rates_by(name)
    expected = lb.failure_rates(given_frames.outcomes, by=name).dropna(subset=name)
    assert_frame_equal(found.sort_values(name, ignore_index=True), expected.reset_index(drop=True))
    decided = found["ci_low"].dropna()
    assert decided.is_monotonic_decreasing


@given(found(), st.data())
@some
def test_filter_applies_to_all_but_its_own_table(
    given_frames: FetchedFrames, data: st.DataObject
) -> None:
    whole = Overview.from_frames(given_frames)
    choices = [
        (name, value)
        for name in (DIRECTORY, CONFIGURATION, PATTERN)
        for value in whole.files[name].dropna().unique()
    ]
    if not choices:
        return
    chosen = dict(data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3)))
    narrowed = replace(whole, filters=chosen)
    expected = whole.files
    for name, value in chosen.items():
        expected = expected[expected[name].isin([value])]
    assert_frame_equal(narrowed.shown, expected)
    for name in (DIRECTORY, CONFIGURATION):
        others = {one: value for one, value in chosen.items() if one != name}
        alone = replace(whole, filters=others)
        assert_frame_equal(
            narrowed.rates_by(name),
            lb.failure_rates(alone.shown, by=name)
            .dropna(subset=name)
            .sort_values(["ci_low", "failure_rate"], ascending=False, ignore_index=True),
        )
    assert set(narrowed.batches["batch_id"]) >= set(narrowed.shown["batch_id"])


@given(found())
@some
def test_pattern_trend_adds_up_to_its_files(given_frames: FetchedFrames) -> None:
    overview = Overview.from_frames(given_frames)
    patterns = overview.patterns()
    assert_frame_equal(patterns.drop(columns=["trend", "is_new"]), error_patterns(overview.files))
    assert [sum(trend) for trend in patterns["trend"]] == patterns["count"].tolist()
    assert {len(trend) for trend in patterns["trend"]} <= {1, TREND_BARS}


@given(found())
@some
def test_pattern_filter_keeps_the_files_of_the_pattern(given_frames: FetchedFrames) -> None:
    overview = Overview.from_frames(given_frames)
    patterns = overview.patterns()
    for one, count in zip(patterns[PATTERN], patterns["count"], strict=True):
        shown = replace(overview, filters={PATTERN: one}).shown
        assert len(shown) == count
        assert set(shown["outcome"]) <= set(FAILURE_OUTCOMES)
        assert set(pattern_ids(shown)) == {one}


@given(found())
@some
def test_open_batches_are_sorted_oldest_first(given_frames: FetchedFrames) -> None:
    going = Overview.from_frames(given_frames).open_batches()
    assert going["created_at"].is_monotonic_increasing
    assert not set(going["status"]) & set(TERMINAL_STATUSES)
    n_ended = given_frames.batches["status"].isin(list(TERMINAL_STATUSES)).sum()
    assert len(going) == len(given_frames.batches) - n_ended


def _of(*listed: dict[str, Any], jobs: list[Any] | None = None) -> Overview:
    made = None if jobs is None else records.to_pandas(JOBS, jobs)
    return Overview.from_frames(
        FetchedFrames(records.to_pandas(BATCHES, listed), results_of(*listed), made)
    )


def test_overview_of_no_batches_is_empty() -> None:
    overview = _of()
    assert overview.patterns().empty
    assert overview.rates_by(DIRECTORY).empty
    assert overview.open_batches().empty
    assert overview.slowest_batches().empty
    assert overview.costs().empty
    assert overview.changes() == []
    assert overview.headline().text() == "Without a job – (no files)"


def test_only_failed_batches_have_no_rate() -> None:
    overview = _of(batch("bat-1", "FAILED", results=[mapping("f", None, "no")]), jobs=[])
    words = "Failed – (1 in FAILED batches) · 0 files still fail · 0 undecided · 1 unreliable"
    assert overview.headline().text() == words


def test_running_batches_have_no_files() -> None:
    overview = _of(batch("bat-1", "RUNNING", results=None), batch("bat-2", "PENDING"))
    assert overview.headline().rate.total == 0
    assert overview.open_batches()["batch_id"].tolist() == ["bat-1", "bat-2"]


def _run(name: str, day: int, job: str, configuration: str) -> dict[str, Any]:
    return batch(
        name,
        results=[mapping("f", job)],
        created_at=f"2026-08-{day:02}T00:00:00Z",
        config={"job": {"type": "parse_v2", "configuration_id": configuration}},
    )


def test_filters_apply_to_the_last_runs_of_files_still_failing() -> None:
    jobs = [{"id": "pjb-1", "status": "FAILED"}, {"id": "pjb-2", "status": "COMPLETED"}]
    again = _run("bat-1", 1, "pjb-1", "a"), _run("bat-2", 2, "pjb-1", "b")
    overview = _of(*again, jobs=jobs)
    counts = {name: _still(overview, name) for name in ("", "a", "b")}
    assert counts == {"": 1, "a": 0, "b": 1}
    succeeded = _of(*again, _run("bat-3", 3, "pjb-2", "a"), jobs=jobs)
    assert _still(succeeded, "") == _still(succeeded, "b") == 0


def _still(overview: Overview, configuration: str) -> int:
    filters = {CONFIGURATION: configuration} if configuration else {}
    return replace(overview, filters=filters).headline().still_failing


def test_credits_of_a_shared_job_count_once() -> None:
    jobs = [
        {"id": "pjb-1", "status": "FAILED", "usage": {"credits": 30}},
        {"id": "pjb-2", "status": "COMPLETED", "usage": {"credits": 12}},
    ]
    files = [mapping("f1", "pjb-1"), mapping("f2", "pjb-1"), mapping("f3", "pjb-2")]
    config = {"job": {"type": "parse_v2", "configuration_id": "a"}}
    [cost] = _of(batch("bat-1", results=files, config=config), jobs=jobs).costs().to_dict("records")
    assert (cost["credits"], cost["credits_on_failed"], cost["per_succeeded"]) == (42, 30, 42)


def test_unknown_credits_stay_missing() -> None:
    jobs = [{"id": "pjb-1", "status": "COMPLETED"}]
    config = {"job": {"type": "parse_v2", "configuration_id": "a"}}
    one = batch("bat-1", results=[mapping("f", "pjb-1")], config=config)
    [cost] = _of(one, jobs=jobs).costs().to_dict("records")
    assert pd.isna(cost["credits"])
    assert pd.isna(cost["per_succeeded"])
    assert (cost["jobs"], cost["jobs_unknown"]) == (1, 1)


def test_slowest_batches_have_ended() -> None:
    overview = _of(
        batch("bat-1", updated_at="2026-08-01T12:10:00Z", created_at="2026-08-01T12:00:00Z"),
        batch("bat-2", updated_at="2026-08-01T12:30:00Z", created_at="2026-08-01T12:00:00Z"),
        batch("bat-3", "RUNNING", created_at="2026-01-01T12:00:00Z"),
    )
    assert overview.slowest_batches()["batch_id"].tolist() == ["bat-2", "bat-1"]


@pytest.mark.parametrize(
    ("days", "freq"), [(0, "D"), (21, "D"), (22, "W"), (400, "W"), (401, "MS")]
)
def test_period_depends_on_the_time_span(days: int, freq: str) -> None:
    first = pd.Timestamp("2026-01-01", tz="UTC")
    times = (first, first + pd.Timedelta(days=days))
    listed = [
        batch(f"bat-{n}", results=[mapping("f", "pjb-1")], created_at=time.isoformat())
        for n, time in enumerate(times)
    ]
    assert _of(*listed).freq() == freq


def test_batches_without_a_time_are_counted() -> None:
    overview = _of(batch("bat-1", results=[mapping("f", None, "no")], created_at=None))
    assert overview.freq()
    assert overview.patterns().trend.tolist() == [[1]]
