"""How long batches took: the numbers of each row, and a scale that a person reads."""

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

from llama_batches_nb.plotting.durations import (
    DAY,
    HOUR,
    MAX_POINTS,
    MINUTE,
    plot_durations,
    time_text,
)
from tests.plotting.drawing import drawn, labels, line, narrow, overlapping, texts, title
from tests.strategies import batch_frames, batches, few

START = pd.Timestamp("2026-08-01 12:00", tz="UTC")


def taking(*seconds: float, **columns: Any) -> pd.DataFrame:
    """Return completed batches that took so long."""
    ends = pd.Series(START + pd.to_timedelta(np.asarray(seconds, dtype=float), unit="s"))
    frame = batches(*["COMPLETED"] * len(seconds), **columns)
    return frame.assign(created_at=START.as_unit("us"), updated_at=ends.dt.as_unit("us"))


def medians(ax: Axes) -> list[float]:
    """Return where the median of each row is; the dots of a row are drawn before it."""
    return [line(ax, n)[0][0] for n in range(1, len(ax.lines), 2)]


def ends_of_lines(ax: Axes) -> list[list[float]]:
    """Return from where to where the lines of the rows go."""
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    return [np.asarray(c.get_segments()[0])[:, 0].tolist() for c in found]


# --- rows ---------------------------------------------------------------------------------------


def test_every_batch_is_a_dot_under_the_median() -> None:
    ax = drawn(plot_durations(taking(60, 300, 120)))
    assert sorted(line(ax)[0]) == [60, 120, 300]
    assert np.abs(line(ax)[1]).max() < 0.5
    assert medians(ax) == [120]
    assert texts(ax) == ["2 min, n = 3"]
    assert labels(ax.get_yticklabels()) == ["all"]


def test_lines_go_over_the_middle_of_the_batches() -> None:
    ax = plot_durations(taking(*range(100, 201)))
    assert ends_of_lines(ax) == [[105, 195], [125, 175]]
    assert texts(ax) == ["2.5 min (1.8 min – 3.2 min), n = 101"]


def test_groups_are_sorted_by_their_median() -> None:
    frame = taking(60, 600, 90, 30, configuration_id=["a", "b", "a", None])
    ax = drawn(plot_durations(frame, by="configuration_id"))
    assert labels(ax.get_yticklabels()) == ["(none)", "a", "b"]
    assert medians(ax) == [30, 75, 600]


def test_many_batches_are_as_many_quantiles() -> None:
    ax = plot_durations(taking(*np.linspace(100, 200, 5000)))
    dots = line(ax)[0]
    assert len(dots) == MAX_POINTS
    assert (min(dots), max(dots)) == (100, 200)
    assert f"at most {MAX_POINTS} dots a row" in title(ax)
    assert texts(ax)[0].endswith("n = 5,000")


def test_rows_that_find_no_room_are_counted() -> None:
    frame = taking(*range(60, 100), configuration_id=[f"c{n}" for n in range(40)])
    ax = plot_durations(frame, by="configuration_id")
    assert "10 groups with shorter medians not shown" in texts(ax)
    assert min(medians(ax)) == 70


# --- which batches ------------------------------------------------------------------------------


def test_those_still_running_are_counted_and_not_drawn() -> None:
    frame = taking(60, 60, 60, 60).assign(status=["COMPLETED", "FAILED", "RUNNING", "PAUSED"])
    ax = plot_durations(frame)
    assert "2 ended of 4 batches · 2 still running, not drawn" in title(ax)
    assert texts(ax) == ["1 min, n = 2"]


def test_durations_of_a_summary_are_used() -> None:
    took = pd.Series(pd.to_timedelta([60, None, 120], unit="s"))
    frame = taking(5, 5, 5).assign(duration=took, status=["COMPLETED", "RUNNING", "FAILED"])
    ax = plot_durations(frame)
    assert sorted(line(ax)[0]) == [60, 120]
    assert "1 still running" in title(ax)
    alone = plot_durations(frame[["duration"]])
    assert texts(alone) == texts(ax)


def test_batches_without_times_are_counted() -> None:
    frame = taking(60, -60, 60)
    frame.loc[2, "updated_at"] = pd.NaT
    ax = plot_durations(frame)
    assert "2 without times, not drawn" in title(ax)
    assert line(ax)[0] == [60]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (taking(60, 60).assign(status="RUNNING"), "no batch has ended yet"),
        (taking(), "nothing to show: no batches"),
    ],
    ids=["running", "none"],
)
@pytest.mark.parametrize("by", [None, "configuration_id"])
def test_nothing_to_draw_says_why(frame: pd.DataFrame, says: str, by: str | None) -> None:
    ax = drawn(plot_durations(frame, by=by))
    assert texts(ax) == [says]
    assert labels(ax.get_xticklabels()) == []


# --- scale --------------------------------------------------------------------------------------


def test_scale_is_linear_from_zero_where_times_are_alike() -> None:
    ax = drawn(plot_durations(taking(60, 120, 600)))
    assert ax.get_xscale() == "linear"
    assert ax.get_xlim()[0] == 0
    assert labels(ax.get_xticklabels())[:2] == ["0 s", "2 min"]


def test_scale_is_logarithmic_where_times_are_far_apart() -> None:
    ax = drawn(plot_durations(taking(0, 30, 3600, 4 * DAY)))
    assert ax.get_xscale() == "log"
    assert sorted(line(ax)[0]) == [1, 30, 3600, 4 * DAY]
    assert 3 <= len(labels(ax.get_xticklabels())) <= 8


@given(st.lists(st.floats(0, 400 * DAY), min_size=1, max_size=30))
@few
def test_all_times_lie_in_the_picture_with_two_ticks_or_more(seconds: list[float]) -> None:
    ax = drawn(plot_durations(taking(*seconds)))
    plt.close("all")
    low, high = ax.get_xlim()
    assert all(low <= place <= high for place in line(ax)[0])
    inside = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert 2 <= len(inside) <= 12
    assert len({time_text(tick) for tick in inside}) == len(inside)


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
def test_times_are_in_a_unit_that_suits_them(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


# --- what is taken and given --------------------------------------------------------------------


@given(batch_frames(), st.sampled_from([None, "job_type", ["status", "configuration_id"]]))
@few
def test_any_batches_are_drawn(frame: pd.DataFrame, by: Any) -> None:
    drawn(plot_durations(frame, by=by))
    plt.close("all")


def test_polars_gives_the_same_chart() -> None:
    frame = taking(60, 300, 120)
    for one in (pl.from_pandas(frame), pl.from_pandas(frame).lazy()):
        assert texts(plot_durations(one, by="status")) == ["2 min, n = 3"]


def test_index_and_frame_are_left_alone() -> None:
    frame = taking(60, 300, 120).set_axis([1, 1, 1])
    before = frame.copy(deep=True)
    assert texts(plot_durations(frame)) == ["2 min, n = 3"]
    pd.testing.assert_frame_equal(frame, before)


def test_axes_that_are_given_are_drawn_on_without_pyplot() -> None:
    ax = narrow()
    assert plot_durations(taking(60), ax=ax) is ax
    assert plt.get_fignums() == []


def test_narrow_chart_has_room_for_its_words() -> None:
    frame = taking(
        *range(60, 460), configuration_id=[f"configuration-{n % 40}" for n in range(400)]
    )
    ax = drawn(plot_durations(frame, by="configuration_id", ax=narrow()))
    assert not overlapping([*ax.texts])
    assert not overlapping([*ax.get_yticklabels()])
    assert not overlapping([*ax.get_xticklabels()])


def test_errors_come_before_a_figure() -> None:
    with pytest.raises(ValueError, match="no column 'updated_at'"):
        plot_durations(taking(60).drop(columns="updated_at"))
    with pytest.raises(ValueError, match="no column 'config'"):
        plot_durations(taking(60), by="config")
    assert plt.get_fignums() == []
