"""Test the chart of batch durations: its rows, its texts and its scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from llama_batches_nb.plotting.durations import (
    DAY,
    HOUR,
    MAX_POINTS,
    MINUTE,
    format_duration,
    plot_durations,
)
from tests.plotting.drawing import (
    heading,
    labels,
    line_data,
    narrow_axes,
    overlapping,
    render,
    texts,
)
from tests.strategies import batch_frames, batches, few

START = pd.Timestamp("2026-08-01 12:00", tz="UTC")


def completed_batches(*seconds: float, **columns: Any) -> pd.DataFrame:
    """Return completed batches with these durations."""
    ends = pd.Series(START + pd.to_timedelta(np.asarray(seconds, dtype=float), unit="s"))
    frame = batches(*["COMPLETED"] * len(seconds), **columns)
    return frame.assign(created_at=START.as_unit("us"), updated_at=ends.dt.as_unit("us"))


def medians(ax: Axes) -> list[float]:
    """Return the median of each row. The dots of a row are drawn before its median."""
    return [line_data(ax, n)[0][0] for n in range(1, len(ax.lines), 2)]


def segment_ranges(ax: Axes) -> list[list[float]]:
    """Return the start and the end of each horizontal line."""
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    return [np.asarray(c.get_segments()[0])[:, 0].tolist() for c in found]


# --- rows ---------------------------------------------------------------------------------------


def test_each_batch_is_a_dot_with_a_median_marker() -> None:
    ax = render(plot_durations(completed_batches(60, 300, 120)))
    assert sorted(line_data(ax)[0]) == [60, 120, 300]
    assert np.abs(line_data(ax)[1]).max() < 0.5
    assert medians(ax) == [120]
    assert texts(ax) == ["2 min, n = 3"]
    assert labels(ax.get_yticklabels()) == ["COMPLETED"]
    assert "\nCOMPLETED: median 2 min (3)\n○ median · lines" in heading(ax)


def test_lines_span_the_middle_50_and_90_percent() -> None:
    ax = plot_durations(completed_batches(*range(100, 201)))
    assert segment_ranges(ax) == [[105, 195], [125, 175]]
    assert texts(ax) == ["2.5 min (1.8 min – 3.2 min), n = 101"]


def test_groups_are_sorted_by_median() -> None:
    frame = completed_batches(60, 600, 90, 30, configuration_id=["a", "b", "a", None])
    ax = render(plot_durations(frame, by="configuration_id"))
    assert labels(ax.get_yticklabels()) == ["(none)", "a", "b"]
    assert medians(ax) == [30, 75, 600]


def test_many_batches_are_drawn_as_quantiles() -> None:
    ax = plot_durations(completed_batches(*np.linspace(100, 200, 5000)))
    dots = line_data(ax)[0]
    assert len(dots) == MAX_POINTS
    assert (min(dots), max(dots)) == (100, 200)
    assert f"at most {MAX_POINTS} dots per row" in heading(ax)
    assert texts(ax)[0].endswith("n = 5,000")


def test_rows_that_do_not_fit_are_counted() -> None:
    frame = completed_batches(*range(60, 100), configuration_id=[f"c{n}" for n in range(40)])
    ax = plot_durations(frame, by="configuration_id")
    note = texts(ax)[-1].replace("\n", " ")
    assert note.startswith("10 rows with shorter medians not shown: c9, c8, c7,")
    assert min(medians(ax)) == 70


# --- included batches ---------------------------------------------------------------------------


def test_running_batches_are_counted_and_not_drawn() -> None:
    frame = completed_batches(60, 60, 60, 60).assign(
        status=["COMPLETED", "CANCELLED", "RUNNING", "PAUSED"]
    )
    ax = plot_durations(frame)
    assert "CANCELLED: 1 min (1) · 2 still running" in heading(ax)
    assert sorted(texts(ax)) == ["1 min, n = 1", "over 1 min, n = 1"]


def statuses_of_which_some_run(**columns: Any) -> pd.DataFrame:
    """Return 10 completed batches of 5 min, 10 that have run for 6 h, and 11 failed after 3 s."""
    frame = completed_batches(*[300] * 10, *[6 * HOUR] * 10, *[3] * 11, **columns)
    return frame.assign(status=["COMPLETED"] * 10 + ["RUNNING"] * 10 + ["FAILED"] * 11)


def test_each_status_has_a_row_and_its_median_in_the_title() -> None:
    ax = render(plot_durations(statuses_of_which_some_run()))
    assert labels(ax.get_yticklabels()) == ["FAILED", "COMPLETED"]
    assert medians(ax) == [3, 300]
    assert "COMPLETED: median 5 min (10) · FAILED: 3 s (11) · 10 still running" in heading(ax)
    assert "○ median, of COMPLETED by Kaplan–Meier" in heading(ax)
    assert texts(ax) == ["3 s (3 s – 3 s), n = 11", "5 min, n = 10"]


def test_median_that_running_batches_exceed_is_a_lower_limit() -> None:
    frame = statuses_of_which_some_run().iloc[1:20]  # 9 of 19 have completed
    ax = render(plot_durations(frame))
    assert "COMPLETED: median over 6 h (9) · 10 still running" in heading(ax)
    assert texts(ax) == ["over 6 h, n = 9"]
    assert line_data(ax, 1) == ([], [])


def test_running_batches_count_in_their_own_group_only() -> None:
    frame = statuses_of_which_some_run(configuration_id=["a", "b"] * 5 + ["b"] * 10 + ["a"] * 11)
    ax = render(plot_durations(frame, by="configuration_id"))
    assert labels(ax.get_yticklabels()) == ["FAILED · a", "COMPLETED · a", "COMPLETED · b"]
    assert [text.split(",")[0] for text in texts(ax)][1:] == ["5 min (5 min – 5 min)", "over 6 h"]


def test_duration_column_of_a_summary_is_used() -> None:
    took = pd.Series(pd.to_timedelta([60, None, 120], unit="s"))
    frame = completed_batches(5, 5, 5).assign(
        duration=took, status=["CANCELLED", "RUNNING", "CANCELLED"]
    )
    ax = plot_durations(frame)
    assert sorted(line_data(ax)[0]) == [60, 120]
    assert "1 still running" in heading(ax)
    alone = plot_durations(frame[["duration"]])
    assert texts(alone) == texts(ax)
    assert labels(alone.get_yticklabels()) == ["all"]
    without_times = plot_durations(frame[["duration", "status"]].replace("CANCELLED", "COMPLETED"))
    assert texts(without_times) == texts(ax)


def test_batches_without_times_are_counted() -> None:
    frame = completed_batches(60, -60, 60)
    frame.loc[2, "updated_at"] = pd.NaT
    ax = plot_durations(frame)
    assert "2 without times (not shown)" in heading(ax)
    assert line_data(ax)[0] == [60]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (completed_batches(60, 60).assign(status="RUNNING"), "no batch has ended yet"),
        (completed_batches(), "no batches"),
    ],
    ids=["running", "none"],
)
@pytest.mark.parametrize("by", [None, "configuration_id"])
def test_empty_chart_shows_the_reason(frame: pd.DataFrame, message: str, by: str | None) -> None:
    ax = render(plot_durations(frame, by=by))
    assert texts(ax) == [message]
    assert labels(ax.get_xticklabels()) == []


# --- scale --------------------------------------------------------------------------------------


def test_scale_is_linear_from_zero_for_similar_durations() -> None:
    ax = render(plot_durations(completed_batches(60, 120, 600)))
    assert ax.get_xscale() == "linear"
    assert ax.get_xlim()[0] == 0
    assert labels(ax.get_xticklabels())[:2] == ["0 s", "2 min"]


def test_scale_is_logarithmic_for_widely_different_durations() -> None:
    ax = render(plot_durations(completed_batches(0, 30, 3600, 4 * DAY)))
    assert ax.get_xscale() == "log"
    assert sorted(line_data(ax)[0]) == [1, 30, 3600, 4 * DAY]
    assert 3 <= len(labels(ax.get_xticklabels())) <= 8


@given(st.lists(st.floats(0, 400 * DAY), min_size=1, max_size=30))
@few
def test_all_durations_are_within_the_axis_with_two_ticks_or_more(seconds: list[float]) -> None:
    ax = render(plot_durations(completed_batches(*seconds)))
    plt.close("all")
    low, high = ax.get_xlim()
    assert all(low <= place <= high for place in line_data(ax)[0])
    inside = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert 2 <= len(inside) <= 12
    assert len({format_duration(tick) for tick in inside}) == len(inside)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (7.4, "7.4 s"),
        (59.96, "1 min"),
        (59.4, "59 s"),
        (90, "1.5 min"),
        (12 * MINUTE, "12 min"),
        (3 * HOUR, "3 h"),
        (36 * HOUR, "36 h"),
        (3 * DAY, "3 d"),
        (4000 * DAY, "4,000 d"),
    ],
)
def test_format_duration_chooses_the_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


# --- arguments and frames -----------------------------------------------------------------------


@given(batch_frames(), st.sampled_from([None, "job_type", ["status", "configuration_id"]]))
@few
def test_arbitrary_batches_are_drawn(frame: pd.DataFrame, by: Any) -> None:
    render(plot_durations(frame, by=by))
    plt.close("all")


def test_polars_frame_gives_the_same_chart() -> None:
    frame = completed_batches(60, 300, 120)
    for polars_frame in (pl.from_pandas(frame), pl.from_pandas(frame).lazy()):
        assert texts(plot_durations(polars_frame, by="status")) == ["2 min, n = 3"]


def test_index_is_ignored_and_frame_unchanged() -> None:
    frame = completed_batches(60, 300, 120).set_axis([1, 1, 1])
    before = frame.copy(deep=True)
    assert texts(plot_durations(frame)) == ["2 min, n = 3"]
    pd.testing.assert_frame_equal(frame, before)


def test_given_axes_are_used_without_pyplot() -> None:
    ax = narrow_axes()
    assert plot_durations(completed_batches(60), ax=ax) is ax
    assert plt.get_fignums() == []


def test_texts_above_rows_with_long_names_do_not_cover_other_rows() -> None:
    names = [f"a configuration of many words {n % 40}" for n in range(400)]
    frame = completed_batches(*range(60, 460), configuration_id=names)
    ax = Figure((6.5, 4.5), layout="constrained").subplots()
    render(plot_durations(frame, by="configuration_id", ax=ax))
    for row, text in enumerate(ax.texts[: len(ax.get_yticks())]):
        box = text.get_window_extent().transformed(ax.transData.inverted())
        assert row < box.y0 < box.y1 < row + 0.9


def test_narrow_chart_has_no_overlapping_texts() -> None:
    frame = completed_batches(
        *range(60, 460), configuration_id=[f"configuration-{n % 40}" for n in range(400)]
    )
    ax = render(plot_durations(frame, by="configuration_id", ax=narrow_axes()))
    assert not overlapping([*ax.texts])
    assert not overlapping([*ax.get_yticklabels()])
    assert not overlapping([*ax.get_xticklabels()])


def test_errors_are_raised_before_a_figure_is_created() -> None:
    with pytest.raises(ValueError, match="no column 'updated_at'"):
        plot_durations(completed_batches(60).drop(columns="updated_at"))
    with pytest.raises(ValueError, match="no column 'config'"):
        plot_durations(completed_batches(60), by="config")
    assert plt.get_fignums() == []
