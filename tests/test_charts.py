"""A chart shows the rates, how sure they are, and how many rows stand behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

import llama_batches_nb as lb
from llama_batches_nb.charts import MOST_LINES
from tests.strategies import batches


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    yield
    plt.close("all")


def days(*decided: int, **columns: Any) -> pd.DataFrame:
    """Return batches of the first days of August, so many each day, the first of them failed."""
    created = [f"2026-08-{day + 1:02}" for day, count in enumerate(decided) for _ in range(count)]
    words = ["FAILED" if n == 0 else "COMPLETED" for count in decided for n in range(count)]
    return batches(*words, created_at=pd.Series(created, dtype="datetime64[us, UTC]"), **columns)


def drawn(ax: Axes) -> Axes:
    """Render, so that what only shows then is raised here."""
    ax.figure.canvas.draw()
    return ax


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def line(ax: Axes, n: int = 0) -> tuple[list[float], list[float]]:
    """Return where the points of a line are."""
    x, y = ax.lines[n].get_data()
    return np.asarray(x).tolist(), np.asarray(y, dtype=float).tolist()


def labels(ticks: list[Any]) -> list[str]:
    return [tick.get_text() for tick in ticks]


# --- over time ----------------------------------------------------------------------------------


def test_line_has_a_point_per_period() -> None:
    frame = days(4, 2, 10)
    rates = lb.failure_rates(frame, freq="D")
    ax = drawn(lb.plot_failure_rates(frame, freq="D"))
    assert line(ax)[1] == rates.failure_rate.tolist() == [0.25, 0.5, 0.1]
    times = pd.to_datetime(pd.Series(ax.lines[0].get_xdata(orig=True)), utc=True)
    assert times.tolist() == rates.created_at.tolist()


def test_interval_is_drawn_around_the_line() -> None:
    frame = days(4, 2, 10)
    rates = lb.failure_rates(frame, freq="D")
    band, lines = lb.plot_failure_rates(frame, freq="D").collections
    assert isinstance(band, PolyCollection)
    assert isinstance(lines, LineCollection)
    ends = [line[:, 1].tolist() for line in map(np.asarray, lines.get_segments())]
    assert ends == rates[["ci_low", "ci_high"]].to_numpy().tolist()
    heights = set(np.asarray(band.get_paths()[0].vertices)[:, 1].round(9))
    assert heights >= {*rates.ci_low.round(9), *rates.ci_high.round(9)}


def test_rate_axis_is_in_percent_from_zero() -> None:
    ax = drawn(lb.plot_failure_rates(days(40, 50), freq="D"))
    bottom, top = ax.get_ylim()
    assert bottom == 0
    assert lb.failure_rates(days(40, 50), freq="D").ci_high.max() <= top < 0.25
    shown = labels(ax.get_yticklabels())
    assert shown[0] == "0%"
    assert all(label.endswith("%") for label in shown)
    assert ax.get_ylabel() == "failed batches of those decided"


def test_axis_never_passes_all() -> None:
    assert lb.plot_failure_rates(days(1, 1), freq="D").get_ylim() == (0, 1)
    assert lb.plot_failure_rates(batches("FAILED")).get_xlim() == (0, 1)


def test_sizes_stand_over_the_points() -> None:
    assert texts(drawn(lb.plot_failure_rates(days(4, 2, 1200), freq="D"))) == [
        "n = 4",
        "2",
        "1,200",
    ]


def test_sizes_of_many_points_are_thinned_out() -> None:
    assert 4 < len(texts(lb.plot_failure_rates(days(*[2] * 30), freq="D"))) <= 16


def test_period_without_rows_breaks_the_line() -> None:
    ax = drawn(lb.plot_failure_rates(days(4, 2, 0, 0, 5, 4), freq="D"))
    rates = line(ax)[1]
    assert [None if np.isnan(rate) else rate for rate in rates] == [0.25, 0.5, None, 0.2, 0.25]


def test_period_with_nothing_decided_breaks_the_line() -> None:
    frame = days(4, 2, 5)
    frame["status"] = frame.status.where(frame.created_at.dt.day != 2, "RUNNING")
    assert np.isnan(line(lb.plot_failure_rates(frame, freq="D"))[1]).tolist() == [
        False,
        True,
        False,
    ]


def test_months_of_different_lengths_are_no_gap() -> None:
    months = pd.Series(pd.date_range("2026-01-15", periods=6, freq="30D", tz="UTC"))
    frame = batches(*["FAILED"] * 6, created_at=months.dt.as_unit("us"))
    assert not np.isnan(line(lb.plot_failure_rates(frame, freq="MS"))[1]).any()


def test_one_period_is_one_point() -> None:
    assert len(line(drawn(lb.plot_failure_rates(days(4), freq="W")))[1]) == 1


def test_rows_without_a_time_are_not_drawn() -> None:
    frame = days(2, 2).assign(
        created_at=pd.Series(["2026-08-01", None, None, None], dtype="datetime64[us, UTC]")
    )
    assert len(line(drawn(lb.plot_failure_rates(frame, freq="D")))[1]) == 1


def test_lines_of_groups_are_told_by_a_legend_largest_first() -> None:
    frame = days(4, 6, configuration_id=["cfg-a", "cfg-b", "cfg-b", "cfg-b", None] * 2)
    ax = drawn(lb.plot_failure_rates(frame, by="configuration_id", freq="D"))
    legend = ax.get_legend()
    assert legend is not None
    assert labels(legend.get_texts()) == ["cfg-b (n = 6)", "cfg-a (n = 2)", "(none) (n = 2)"]
    assert len({str(one.get_color()) for one in ax.lines}) == 3


def test_twelve_groups_are_not_twelve_lines() -> None:
    frame = days(24, 24, configuration_id=[f"cfg-{n % 12}" for n in range(48)])
    ax = drawn(lb.plot_failure_rates(frame, by="configuration_id", freq="D"))
    assert len(ax.lines) == MOST_LINES
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == f"{12 - MOST_LINES} smaller groups not shown"


# --- by group -----------------------------------------------------------------------------------

GROUPS = batches(
    *["FAILED", "FAILED", "COMPLETED", "FAILED", "COMPLETED", "RUNNING"],
    configuration_id=["cfg-b", "cfg-a", "cfg-a", None, None, "cfg-c"],
)


def test_groups_are_sorted_by_their_rate() -> None:
    ax = drawn(lb.plot_failure_rates(GROUPS, by="configuration_id"))
    assert labels(ax.get_yticklabels()) == ["cfg-c", "cfg-a", "(none)", "cfg-b"]
    rates, places = line(ax)
    assert np.isnan(rates[0])
    assert (rates[1:], places) == ([0.5, 0.5, 1], [0, 1, 2, 3])


def test_group_has_its_interval_and_its_rows_beside_it() -> None:
    ax = drawn(lb.plot_failure_rates(GROUPS, by="configuration_id"))
    (intervals,) = ax.collections
    assert isinstance(intervals, LineCollection)
    of_last = np.asarray(intervals.get_segments()[-1])
    expected = lb.failure_rates(batches("FAILED"))
    assert of_last[:, 0].tolist() == [expected.ci_low[0], expected.ci_high[0]]
    assert of_last[:, 1].tolist() == [3, 3]
    first, *_, last = texts(ax)
    assert first == "none of 1 decided"
    assert last.startswith("100.0 % (1 of 1; ")


def test_group_axis_is_in_percent_from_zero() -> None:
    ax = drawn(lb.plot_failure_rates(GROUPS, by="configuration_id"))
    assert ax.get_xlim() == (0, 1)
    assert labels(ax.get_xticklabels())[0] == "0%"
    assert labels(ax.get_xticklabels())[-1] == "100%"
    assert ax.get_xlabel() == "failed batches of those decided"


def test_twelve_groups_are_twelve_rows() -> None:
    frame = days(24, configuration_id=[f"cfg-{n % 12}" for n in range(24)])
    ax = drawn(lb.plot_failure_rates(frame, by="configuration_id"))
    assert len(ax.get_yticks()) == len(line(ax)[0]) == 12


def test_several_columns_name_a_group_together() -> None:
    frame = GROUPS.assign(x=1)
    ax = drawn(lb.plot_failure_rates(frame, by=["configuration_id", "x"]))
    assert "cfg-a · 1" in labels(ax.get_yticklabels())
    assert "by configuration_id and x" in ax.get_title(loc="left")


def test_without_groups_there_is_one_row_for_all() -> None:
    ax = drawn(lb.plot_failure_rates(GROUPS))
    assert labels(ax.get_yticklabels()) == ["all"]
    assert line(ax) == ([0.6], [0])
    assert texts(ax)[0].startswith("60.0 % (3 of 5; ")


# --- what is taken and given --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "freq"),
    [(None, None), ("configuration_id", None), (None, "D"), ("configuration_id", "D")],
)
def test_rates_are_drawn_as_the_frame_is(by: str | None, freq: str | None) -> None:
    frame = days(4, 6, configuration_id=["cfg-a", "cfg-b", "cfg-b", None, None] * 2)
    of_frame = drawn(lb.plot_failure_rates(frame, by=by, freq=freq))
    of_rates = drawn(lb.plot_failure_rates(lb.failure_rates(frame, by=by, freq=freq)))
    assert len(of_frame.lines) == len(of_rates.lines) > 0
    for n in range(len(of_frame.lines)):
        np.testing.assert_equal(line(of_rates, n), line(of_frame, n))
    assert texts(of_rates) == texts(of_frame)


@pytest.mark.parametrize(
    ("by", "freq"), [(None, None), ("job_type", None), (None, "D"), ("job_type", "MS")]
)
def test_frame_without_rows_is_drawn(by: str | None, freq: str | None) -> None:
    says = "nothing to show: no rows" if by or freq else "none of 0 decided"
    assert texts(drawn(lb.plot_failure_rates(batches(), by=by, freq=freq))) == [says]
    rates = lb.failure_rates(batches(), by=by, freq=freq)
    assert texts(drawn(lb.plot_failure_rates(rates))) == [says]


def test_axes_that_are_given_are_drawn_on() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert lb.plot_failure_rates(GROUPS, by="configuration_id", ax=left) is left
    assert lb.plot_failure_rates(days(2, 3), freq="D", ax=right) is right
    drawn(right)
    assert plt.get_fignums() == [figure.number]
    assert left.lines
    assert right.lines


def test_new_figure_without_axes() -> None:
    assert lb.plot_failure_rates(GROUPS).figure is not lb.plot_failure_rates(GROUPS).figure


def test_title_tells_what_was_counted_and_how_sure() -> None:
    title = lb.plot_failure_rates(GROUPS, confidence=0.9).get_title(loc="left")
    assert "5 decided of 6 batches" in title
    assert "90 % interval" in title


def test_confidence_widens_the_interval() -> None:
    narrow, wide = (
        np.ptp(np.asarray(ax.collections[0].get_segments()[0])[:, 0])
        for ax in (lb.plot_failure_rates(GROUPS, confidence=c) for c in (0.5, 0.99))
        if isinstance(ax.collections[0], LineCollection)
    )
    assert narrow < wide


def test_polars_is_drawn_too() -> None:
    frame = pl.from_pandas(GROUPS)
    assert line(lb.plot_failure_rates(frame)) == ([0.6], [0])
    assert line(lb.plot_failure_rates(frame.lazy())) == ([0.6], [0])


def test_errors_are_those_of_the_rates() -> None:
    with pytest.raises(ValueError, match="no column 'config'"):
        lb.plot_failure_rates(GROUPS, by="config")
    with pytest.raises(ValueError, match="freq='X'"):
        lb.plot_failure_rates(GROUPS, freq="X")
    with pytest.raises(ValueError, match="Failure rates need"):
        lb.plot_failure_rates(pd.DataFrame({"x": [1]}))
    assert plt.get_fignums() == []


def test_names_that_mean_something_to_matplotlib_are_shown_as_they_are() -> None:
    names = ["a$b_{$", "_hidden", "two\nlines"]
    frame = pd.concat([days(4, 2).assign(configuration_id=name) for name in names])
    ax = drawn(lb.plot_failure_rates(frame, by="configuration_id", freq="D"))
    legend = ax.get_legend()
    assert legend is not None
    shown = {text.get_text().split(" (")[0].strip() for text in legend.get_texts()}
    assert shown == {r"a\$b_{\$", "_hidden", "two lines"}


def test_groups_that_find_no_room_are_counted() -> None:
    frame = pd.concat([batches("FAILED").assign(configuration_id=f"c{n}") for n in range(35)])
    ax = drawn(lb.plot_failure_rates(frame, by="configuration_id"))
    assert "5 groups with lower rates are not shown" in [text.get_text() for text in ax.texts]


def test_a_period_without_rows_breaks_the_line_however_few_there_are() -> None:
    frame = days(4, 2).iloc[[0, 0]].copy()
    frame["created_at"] = pd.to_datetime(["2026-01-05", "2026-03-02"], utc=True)
    line = lb.plot_failure_rates(frame, freq="W").lines[0]
    assert np.isnan(np.asarray(line.get_ydata(), dtype=float)).sum() == 1
