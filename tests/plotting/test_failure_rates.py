"""Test the chart of failure rates: points, intervals, sample sizes and texts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import llama_batches_nb as lb
from llama_batches_nb.plotting.fonts import MISSING_GLYPH
from llama_batches_nb.plotting.rates_over_time import MAX_LINES
from tests.analysis.test_intervals import clustered_files
from tests.plotting.drawing import (
    daily_batches,
    heading,
    labels,
    legend,
    line_data,
    narrow_axes,
    overlapping,
    points,
    render,
    texts,
)
from tests.strategies import batches

# --- over time ----------------------------------------------------------------------------------


def test_line_has_a_point_per_period() -> None:
    frame = daily_batches(4, 2, 10)
    rates = lb.failure_rates(frame, freq="D")
    ax = render(lb.plot_failure_rates(frame, freq="D"))
    assert line_data(ax)[1] == rates.failure_rate.tolist() == [0.25, 0.5, 0.1]
    times = pd.to_datetime(pd.Series(ax.lines[0].get_xdata(orig=True)), utc=True)
    assert times.tolist() == rates.created_at.tolist()


def test_interval_is_drawn_around_the_line() -> None:
    frame = daily_batches(40, 20, 100)
    rates = lb.failure_rates(frame, freq="D")
    band, lines = lb.plot_failure_rates(frame, freq="D").collections
    assert isinstance(band, PolyCollection)
    assert isinstance(lines, LineCollection)
    ends = [line[:, 1].tolist() for line in map(np.asarray, lines.get_segments())]
    assert ends == rates[["ci_low", "ci_high"]].to_numpy().tolist()
    heights = set(np.asarray(band.get_paths()[0].vertices)[:, 1].round(9))
    assert heights >= {*rates.ci_low.round(9), *rates.ci_high.round(9)}


def test_rate_axis_is_in_percent_and_starts_at_zero() -> None:
    ax = render(lb.plot_failure_rates(daily_batches(40, 50), freq="D"))
    bottom, top = ax.get_ylim()
    assert bottom == 0
    assert lb.failure_rates(daily_batches(40, 50), freq="D").ci_high.max() <= top < 0.25
    shown = labels(ax.get_yticklabels())
    assert shown[0] == "0%"
    assert all(label.endswith("%") for label in shown)
    assert ax.get_ylabel() == "failed batches (% of decided)"


def test_rate_axis_ends_at_100_percent() -> None:
    assert lb.plot_failure_rates(daily_batches(1, 1), freq="D").get_ylim() == (0, 1)
    assert lb.plot_failure_rates(batches("FAILED")).get_xlim() == (0, 1)


def test_sample_sizes_are_above_the_points() -> None:
    assert texts(render(lb.plot_failure_rates(daily_batches(4, 2, 1200), freq="D"))) == [
        "n = 4",
        "2",
        "1,200",
    ]


def test_sample_sizes_of_many_points_are_thinned_out() -> None:
    assert 4 < len(texts(lb.plot_failure_rates(daily_batches(*[2] * 30), freq="D"))) <= 16


def test_period_without_rows_breaks_the_line() -> None:
    ax = render(lb.plot_failure_rates(daily_batches(4, 2, 0, 0, 5, 4), freq="D"))
    rates = line_data(ax)[1]
    assert [None if np.isnan(rate) else rate for rate in rates] == [0.25, 0.5, None, 0.2, 0.25]


def test_period_with_nothing_decided_breaks_the_line() -> None:
    frame = daily_batches(4, 2, 5)
    frame["status"] = frame.status.where(frame.created_at.dt.day != 2, "RUNNING")
    assert np.isnan(line_data(lb.plot_failure_rates(frame, freq="D"))[1]).tolist() == [
        False,
        True,
        False,
    ]


def test_months_of_different_lengths_do_not_break_the_line() -> None:
    months = pd.Series(pd.date_range("2026-01-15", periods=6, freq="30D", tz="UTC"))
    frame = batches(*["FAILED"] * 6, created_at=months.dt.as_unit("us"))
    assert not np.isnan(line_data(lb.plot_failure_rates(frame, freq="MS"))[1]).any()


def test_one_period_is_one_point() -> None:
    assert len(line_data(render(lb.plot_failure_rates(daily_batches(4), freq="W")))[1]) == 1


def test_rows_without_a_time_are_not_drawn() -> None:
    frame = daily_batches(2, 2).assign(
        created_at=pd.Series(["2026-08-01", None, None, None], dtype="datetime64[us, UTC]")
    )
    assert len(line_data(render(lb.plot_failure_rates(frame, freq="D")))[1]) == 1


def test_legend_lists_groups_largest_first() -> None:
    frame = daily_batches(4, 6, configuration_id=["cfg-a", "cfg-b", "cfg-b", "cfg-b", None] * 2)
    ax = render(lb.plot_failure_rates(frame, by="configuration_id", freq="D"))
    legend = ax.get_legend()
    assert legend is not None
    assert labels(legend.get_texts()) == ["cfg-b (n = 6)", "cfg-a (n = 2)", "(none) (n = 2)"]
    assert len({str(one.get_color()) for one in ax.lines}) == 3


def test_smaller_groups_over_time_are_counted_not_drawn() -> None:
    frame = daily_batches(24, 24, configuration_id=[f"cfg-{n % 12}" for n in range(48)])
    ax = render(lb.plot_failure_rates(frame, by="configuration_id", freq="D"))
    assert len(ax.lines) == 2 * MAX_LINES  # each with hollow points
    legend = ax.get_legend()
    assert legend is not None
    note = legend.get_title().get_text()
    assert note.startswith(f"{12 - MAX_LINES} smaller groups not shown: cfg-")


# --- by group -----------------------------------------------------------------------------------

GROUPS = batches(
    *["FAILED", "FAILED", "COMPLETED", "FAILED", "COMPLETED", "RUNNING"],
    configuration_id=["cfg-b", "cfg-a", "cfg-a", None, None, "cfg-c"],
)


def test_groups_are_sorted_by_rate() -> None:
    ax = render(lb.plot_failure_rates(GROUPS, by="configuration_id"))
    assert labels(ax.get_yticklabels()) == ["cfg-c", "cfg-a", "(none)", "cfg-b"]
    rates, places = points(ax)
    assert np.isnan(rates[0])
    assert (rates[1:], places[1:]) == ([0.5, 0.5, 1], [1, 2, 3])


def test_group_shows_its_interval_and_counts() -> None:
    ax = render(lb.plot_failure_rates(GROUPS, by="configuration_id"))
    intervals = ax.collections[0]
    assert isinstance(intervals, LineCollection)
    of_last = np.asarray(intervals.get_segments()[-1])
    expected = lb.failure_rates(batches("FAILED"))
    assert of_last[:, 0].tolist() == [expected.ci_low[0], expected.ci_high[0]]
    assert of_last[:, 1].tolist() == [3, 3]
    first, *_, last = texts(ax)
    assert first == "none of 1 decided"
    assert last.startswith("100.0 % (1 of 1; ")


def test_group_axis_is_in_percent_and_starts_at_zero() -> None:
    ax = render(lb.plot_failure_rates(GROUPS, by="configuration_id"))
    assert ax.get_xlim() == (0, 1)
    assert labels(ax.get_xticklabels())[0] == "0%"
    assert labels(ax.get_xticklabels())[-1] == "100%"
    assert ax.get_xlabel() == "failed batches (% of decided)"


def test_each_group_is_a_row() -> None:
    frame = daily_batches(24, configuration_id=[f"cfg-{n % 12}" for n in range(24)])
    ax = render(lb.plot_failure_rates(frame, by="configuration_id"))
    assert len(ax.get_yticks()) == len(points(ax)[0]) == 12


def test_group_label_joins_the_values_of_several_columns() -> None:
    frame = GROUPS.assign(x=1)
    ax = render(lb.plot_failure_rates(frame, by=["configuration_id", "x"]))
    assert "cfg-a · 1" in labels(ax.get_yticklabels())
    assert "by configuration_id and x" in ax.get_title(loc="left")


def test_single_row_without_groups() -> None:
    ax = render(lb.plot_failure_rates(GROUPS))
    assert labels(ax.get_yticklabels()) == ["all"]
    assert points(ax) == ([0.6], [0])
    assert texts(ax)[0].startswith("60.0 % (3 of 5; ")


# --- arguments and frames -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "freq"),
    [(None, None), ("configuration_id", None), (None, "D"), ("configuration_id", "D")],
)
def test_rates_and_their_frame_give_the_same_chart(by: str | None, freq: str | None) -> None:
    frame = daily_batches(4, 6, configuration_id=["cfg-a", "cfg-b", "cfg-b", None, None] * 2)
    of_frame = render(lb.plot_failure_rates(frame, by=by, freq=freq))
    of_rates = render(lb.plot_failure_rates(lb.failure_rates(frame, by=by, freq=freq)))
    assert len(of_frame.lines) == len(of_rates.lines)
    assert bool(of_frame.lines) == bool(freq)
    if not freq:
        np.testing.assert_equal(points(of_rates), points(of_frame))
    for n in range(len(of_frame.lines)):
        np.testing.assert_equal(line_data(of_rates, n), line_data(of_frame, n))
    assert texts(of_rates) == texts(of_frame)


@pytest.mark.parametrize(
    ("by", "freq"), [(None, None), ("job_type", None), (None, "D"), ("job_type", "MS")]
)
def test_frame_without_rows_is_drawn(by: str | None, freq: str | None) -> None:
    message = "no rows" if by or freq else "none of 0 decided"
    assert texts(render(lb.plot_failure_rates(batches(), by=by, freq=freq))) == [message]
    rates = lb.failure_rates(batches(), by=by, freq=freq)
    assert texts(render(lb.plot_failure_rates(rates))) == [message]


def test_given_axes_are_used() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert lb.plot_failure_rates(GROUPS, by="configuration_id", ax=left) is left
    assert lb.plot_failure_rates(daily_batches(2, 3), freq="D", ax=right) is right
    render(right)
    assert plt.get_fignums() == [figure.number]
    assert len(points(left)[0]) == 4
    assert right.lines


def test_new_figure_is_created_without_axes() -> None:
    assert lb.plot_failure_rates(GROUPS).figure is not lb.plot_failure_rates(GROUPS).figure


def test_title_has_counts_and_confidence() -> None:
    title = heading(lb.plot_failure_rates(GROUPS, confidence=0.9))
    assert "5 of 6 batches decided" in title
    assert "90 % interval" in title


def test_confidence_widens_the_interval() -> None:
    narrow, wide = (
        np.ptp(np.asarray(ax.collections[0].get_segments()[0])[:, 0])
        for ax in (lb.plot_failure_rates(GROUPS, confidence=c) for c in (0.5, 0.99))
        if isinstance(ax.collections[0], LineCollection)
    )
    assert narrow < wide


def test_polars_frame_is_drawn() -> None:
    frame = pl.from_pandas(GROUPS)
    assert points(lb.plot_failure_rates(frame)) == ([0.6], [0])
    assert points(lb.plot_failure_rates(frame.lazy())) == ([0.6], [0])


def test_errors_of_failure_rates_are_raised_before_a_figure_is_created() -> None:
    with pytest.raises(ValueError, match="no column 'config'"):
        lb.plot_failure_rates(GROUPS, by="config")
    with pytest.raises(ValueError, match="freq='X'"):
        lb.plot_failure_rates(GROUPS, freq="X")
    with pytest.raises(ValueError, match="Failure rates need"):
        lb.plot_failure_rates(pd.DataFrame({"x": [1]}))
    assert plt.get_fignums() == []


def test_group_names_special_to_matplotlib_are_escaped() -> None:
    names = ["a$b_{$", "_hidden", "two\nlines"]
    frame = pd.concat([daily_batches(4, 2).assign(configuration_id=name) for name in names])
    ax = render(lb.plot_failure_rates(frame, by="configuration_id", freq="D"))
    legend = ax.get_legend()
    assert legend is not None
    shown = {text.get_text().split(" (")[0].strip() for text in legend.get_texts()}
    assert shown == {r"a\$b_{\$", "_hidden", "two lines"}


def test_groups_that_do_not_fit_are_counted() -> None:
    frame = pd.concat([batches("FAILED").assign(configuration_id=f"c{n}") for n in range(35)])
    ax = render(lb.plot_failure_rates(frame, by="configuration_id"))
    assert texts(ax)[-1].startswith("5 groups with lower intervals not shown: c")


@pytest.mark.parametrize("size", [(4.2, 3.6), (6, 2.5), (8, 5), (12, 9)])
def test_note_of_groups_that_do_not_fit_is_below_the_last_row(size: tuple[float, float]) -> None:
    frame = pd.concat(
        [batches("FAILED", "COMPLETED").assign(configuration_id=f"group {n}") for n in range(60)]
    )
    ax = Figure(size, layout="constrained").subplots()
    lb.plot_failure_rates(frame, by="configuration_id", ax=ax)
    render(ax)
    (note,) = [text for text in ax.texts if "not shown" in text.get_text()]
    _, last_row = ax.transData.transform((0, -0.4))  # its lower edge
    assert note.get_window_extent().y1 < last_row


def test_gap_between_two_periods_breaks_the_line() -> None:
    frame = daily_batches(4, 2).iloc[[0, 0]].copy()
    frame["created_at"] = pd.to_datetime(["2026-01-05", "2026-03-02"], utc=True)
    line = lb.plot_failure_rates(frame, freq="W").lines[0]
    assert np.isnan(np.asarray(line.get_ydata(), dtype=float)).sum() == 1


# --- increases, density, size--------------------------------------------------------------------


def batches_with_increase() -> pd.DataFrame:
    """Return batches of four days: 1 of 40 failed, all failed, none decided, all failed."""
    words = [*["FAILED", *["COMPLETED"] * 39], *["FAILED"] * 40, "RUNNING", *["FAILED"] * 40]
    on = pd.Series(["2026-08-01"] * 40 + ["2026-08-02"] * 40 + ["2026-08-03"] + ["2026-08-04"] * 40)
    return batches(*words, created_at=pd.to_datetime(on, utc=True).dt.as_unit("us"))


def triangle_positions(ax: Axes) -> list[list[float]]:
    """Return the positions of the triangles."""
    return [
        point
        for found in ax.collections
        if isinstance(found, PathCollection)
        for point in np.asarray(found.get_offsets()).tolist()
    ]


def test_increase_is_marked_and_explained_in_the_title() -> None:
    ax = render(lb.plot_failure_rates(batches_with_increase(), freq="D"))
    (second,) = triangle_positions(ax)
    assert second[1] == 1
    assert second[0] == np.asarray(ax.lines[0].get_xdata(orig=False))[1]
    assert "▲ higher since then (by chance in about 5 % of charts)" in heading(ax)


def test_increase_is_marked_for_rates_and_for_their_frame() -> None:
    rates = lb.failure_rates(batches_with_increase(), freq="D")
    assert triangle_positions(lb.plot_failure_rates(rates)) == triangle_positions(
        lb.plot_failure_rates(batches_with_increase(), freq="D")
    )


def test_title_does_not_explain_triangles_without_increase() -> None:
    ax = lb.plot_failure_rates(daily_batches(4, 4, 4), freq="D", now=LATER)
    assert triangle_positions(ax) == []
    assert "▲" not in heading(ax)


def test_long_line_has_markers_at_isolated_points_only() -> None:
    created = pd.Series(pd.date_range("2026-01-01", periods=200, tz="UTC")).dt.as_unit("us")
    frame = batches(*["COMPLETED"] * 200, created_at=created).drop(index=[50, 52])
    ax = render(lb.plot_failure_rates(frame, freq="D"))
    (one,) = ax.lines
    assert one.get_markevery() == [51]  # an isolated point, which no line segment shows
    assert sum(isinstance(c, LineCollection) for c in ax.collections) == 0
    short = lb.plot_failure_rates(frame[:40], freq="D").lines[0]
    assert short.get_markevery() == list(range(40))


def test_points_at_the_edge_are_not_clipped() -> None:
    for ax in (
        lb.plot_failure_rates(daily_batches(1, 1), freq="D"),
        lb.plot_failure_rates(daily_batches(1)),
    ):
        render(ax)
        clip = (ax.lines[0] if ax.lines else ax.collections[-1]).get_clip_box()
        assert clip is not None
        assert clip.y1 > ax.bbox.y1 + 4
        assert clip.x1 > ax.bbox.x1 + 4


def test_lines_have_distinct_markers() -> None:
    frame = daily_batches(24, 24, configuration_id=[f"cfg-{n % 12}" for n in range(48)])
    ax = lb.plot_failure_rates(frame, by="configuration_id", freq="D")
    assert len({one.get_marker() for one in ax.lines}) == MAX_LINES


def test_narrow_chart_has_no_overlapping_texts() -> None:
    frame = pd.concat(
        [daily_batches(30).assign(configuration_id=f"configuration-{n}") for n in range(40)]
    )
    ax = render(lb.plot_failure_rates(frame, by="configuration_id", ax=narrow_axes()))
    assert not overlapping([*ax.texts])
    assert not overlapping([*ax.get_yticklabels()])
    assert ax.get_window_extent().width > 150
    note = f"{40 - len(ax.get_yticks())} groups with lower intervals not shown"
    assert texts(ax)[-1].startswith(note)
    over_time = render(
        lb.plot_failure_rates(daily_batches(*[1200] * 20), freq="D", ax=narrow_axes())
    )
    assert not overlapping([*over_time.texts])


def test_chart_is_drawn_on_a_thread_without_pyplot() -> None:
    with ThreadPoolExecutor(1) as pool:
        ax = pool.submit(
            lambda: render(lb.plot_failure_rates(daily_batches(3, 4), freq="D", ax=narrow_axes()))
        )
        assert len(line_data(ax.result())[1]) == 2
    assert plt.get_fignums() == []


def test_characters_without_a_font_become_boxes() -> None:
    frame = daily_batches(2, configuration_id="a\U00013000\ufdd0")
    ax = render(lb.plot_failure_rates(frame, by="configuration_id"))
    assert labels(ax.get_yticklabels())[0].endswith(MISSING_GLYPH)


@pytest.mark.parametrize("kind", ["pdf", "ps", "svg", "png"])
@pytest.mark.parametrize("freq", [None, "D"])
@pytest.mark.parametrize("name", ["\ufeffa\x00\x1b\u200d\u202e\ufeff", "\x00z", "\x1b[31m"])
def test_chart_with_invisible_characters_can_be_saved(
    kind: str, freq: str | None, name: str
) -> None:
    frame = daily_batches(2).assign(**{name: ["\ufeff", name]})
    ax = lb.plot_failure_rates(frame, by=name, freq=freq, ax=narrow_axes())
    with BytesIO() as file:
        ax.figure.savefig(file, format=kind)  # type: ignore[union-attr]
        assert file.getvalue()


def test_column_names_in_the_title_are_escaped() -> None:
    frame = daily_batches(2).assign(**{"a$b_{$": 1})
    assert r"by a\$b_{\$" in heading(render(lb.plot_failure_rates(frame, by="a$b_{$")))


def test_legend_is_no_wider_than_the_figure() -> None:
    frame = daily_batches(24, configuration_id=["x" * 80 + str(n % 3) for n in range(24)])
    ax = render(lb.plot_failure_rates(frame, by="configuration_id", freq="D", ax=narrow_axes()))
    found = ax.get_legend()
    assert found is not None
    assert found.get_window_extent().x1 <= 420
    assert len(legend(ax)) == 3


# --- what is not well known ---------------------------------------------------------------------


def files_of_batches(*batches: tuple[int, int], open_files: int = 0) -> pd.DataFrame:
    """Return the files of a batch a week, of (decided, failed), and undecided ones of the last."""
    files = clustered_files(*batches)
    running = files.iloc[[-1] * open_files].assign(outcome="job_running")
    return pd.concat([files, running], ignore_index=True)


THREE_BATCHES_A_WEEK = [(50, 5)] * 36
LATER = "2030-01-01"


def hollow_points(ax: Axes) -> list[float]:
    """Return the rates of the hollow points."""
    if not ax.lines:
        (found,) = [c for c in ax.collections if isinstance(c, PathCollection)]
        faces: Any = found.get_facecolor()
        white = [to_hex(face) == "#ffffff" for face in faces]
        return [x for x, is_hollow in zip(points(ax)[0], white, strict=True) if is_hollow]
    lines = [line for line in ax.lines if to_hex(line.get_markerfacecolor()) == "#ffffff"]
    return [float(y) for line in lines for y in np.asarray(line.get_ydata(), dtype=float)]


def test_subtitle_says_that_batches_are_taken_together() -> None:
    files = clustered_files(*THREE_BATCHES_A_WEEK, per_week=3)
    ax = lb.plot_failure_rates(files, freq="W", now=LATER)
    assert "95 % interval, files of a batch taken together" in heading(ax)
    assert "hollow" not in heading(ax)
    assert hollow_points(ax) == []
    one = lb.plot_failure_rates(files_of_batches((40, 4)))
    assert "95 % interval of these files only: one batch each" in heading(one)


def test_period_of_few_batches_is_hollow() -> None:
    ax = render(lb.plot_failure_rates(files_of_batches((40, 4), (40, 2)), freq="W", now=LATER))
    assert hollow_points(ax) == [0.1, 0.05]
    assert "hollow: fewer than 3 batches" in heading(ax)


def test_group_of_few_batches_is_hollow() -> None:
    files = files_of_batches((40, 4), (40, 2), (40, 2), (40, 2)).assign(
        configuration_id=["a"] * 40 + ["b"] * 120
    )
    ax = render(lb.plot_failure_rates(files, by="configuration_id"))
    assert hollow_points(ax) == [0.1]
    assert "hollow: fewer than 3 batches" in heading(ax)


@pytest.mark.parametrize(("now", "expected"), [("2026-10-20", [0.1]), ("2026-10-26", [])])
def test_last_period_is_hollow_until_it_is_over(now: str, expected: list[float]) -> None:
    files = clustered_files(*THREE_BATCHES_A_WEEK, per_week=3)  # the last week starts on 19 October
    ax = render(lb.plot_failure_rates(files, freq="W", now=now))
    assert hollow_points(ax) == expected
    assert ("hollow: period not over" in heading(ax)) == bool(expected)
    rates = lb.failure_rates(files, freq="W")
    assert hollow_points(lb.plot_failure_rates(rates, now=now)) == expected


def test_open_range_shows_where_much_is_undecided() -> None:
    few, many = (
        render(lb.plot_failure_rates(files_of_batches((40, 4), open_files=n), now=LATER))
        for n in (2, 60)
    )
    assert "dotted" not in heading(few)
    assert "dotted: range if the undecided rows all succeed or all fail" in heading(many)
    dotted = many.collections[1]
    assert isinstance(dotted, LineCollection)
    (ends,) = dotted.get_segments()
    assert np.asarray(ends)[:, 0].tolist() == [4 / 100, 64 / 100]


def test_period_without_decided_files_has_an_open_range() -> None:
    files = clustered_files((40, 4), (40, 0))
    files.loc[40:, "outcome"] = "job_running"
    ax = render(lb.plot_failure_rates(files, freq="W", now=LATER))
    dotted = ax.collections[2]
    assert isinstance(dotted, LineCollection)
    assert np.asarray(dotted.get_segments()[-1])[:, 1].tolist() == [0, 1]


def test_scale_follows_what_is_well_known() -> None:
    frame = daily_batches(400, 400, 1)
    ax = render(lb.plot_failure_rates(frame, freq="D", now=LATER))
    assert ax.get_ylim()[1] < 0.05
    assert "⌃ interval ends beyond the axis" in heading(ax)


def test_files_of_failed_batches_are_counted_in_the_title() -> None:
    files = clustered_files((40, 4), (30, 0))
    files.loc[40:, "batch_status"] = "FAILED"
    assert "30 in FAILED batches left out" in heading(lb.plot_failure_rates(files))


def test_worst_group_is_drawn_however_small() -> None:
    large = [daily_batches(60, 60).assign(configuration_id=f"large {n}") for n in range(8)]
    worst = daily_batches(1).iloc[[0] * 20].assign(configuration_id="worst")
    frame = pd.concat([*large, worst])
    ax = lb.plot_failure_rates(frame, by="configuration_id", freq="D")
    assert any(label.startswith("worst") for label in legend(ax))
    assert len(legend(ax)) == MAX_LINES


def test_fall_is_marked() -> None:
    days = pd.to_datetime(["2026-08-04"] * 40 + ["2026-08-05"] * 40, utc=True).as_unit("us")
    frame = batches(*["FAILED"] * 40, *["COMPLETED"] * 40, created_at=days)
    ax = render(lb.plot_failure_rates(frame, freq="D"))
    assert "▼ lower since then" in heading(ax)
    assert [y for _, y in triangle_positions(ax)] == [0]


def test_time_axis_names_the_zone_of_the_periods() -> None:
    frame = daily_batches(4, 4)
    ax = render(lb.plot_failure_rates(frame, freq="D", tz="Asia/Tokyo"))
    assert ax.get_xlabel() == "created at (Asia/Tokyo)"
    rates = lb.failure_rates(frame, freq="D", tz="Asia/Tokyo")
    assert render(lb.plot_failure_rates(rates)).get_xlabel() == "created at (Asia/Tokyo)"
    assert render(lb.plot_failure_rates(frame, freq="D")).get_xlabel() == "created at (UTC)"


@pytest.mark.parametrize("now", ["soon", "now", "05.10.2026", "10/05/2026", pd.NaT])
def test_now_must_be_a_time(now: Any) -> None:
    with pytest.raises(ValueError, match=r"now=.* is not a time: write ISO 8601"):
        lb.plot_failure_rates(GROUPS, now=now)


@pytest.mark.parametrize("time", ["0001-01-01", "1500-06-01", "2262-04-12", "9999-12-31T23:59:59"])
@pytest.mark.parametrize("freq", ["D", "W", "YS"])
@pytest.mark.parametrize("plot", [lb.plot_failure_rates, lb.plot_outcomes])
def test_time_of_a_far_year_is_not_drawn(time: str, freq: str, plot: Callable[..., Any]) -> None:
    frame = daily_batches(3, 3)
    frame.loc[0, "created_at"] = pd.Timestamp(time, tz="UTC")
    with pytest.warns(UserWarning, match=rf"not drawn and count as missing; .*'{time[:4]}'"):
        ax = render(plot(frame, freq=freq))
    assert 18_000 < ax.get_xlim()[0] < ax.get_xlim()[1] < 23_000  # days since 1970
