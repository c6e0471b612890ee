"""Test what charts do to the axes that they are given, and that they touch nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any
from unittest.mock import Mock

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from cycler import cycler
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

import llama_batches_nb as lb
from llama_batches_nb.plotting import headings, layout
from llama_batches_nb.plotting.colours import group_colours
from llama_batches_nb.plotting.names import MIN_LENGTH, shorten_names
from llama_batches_nb.tables import engines
from tests.plotting.drawing import daily_batches, heading, labels, legend, line_data, points, render
from tests.plotting.test_svg import FILES, some_batches
from tests.strategies import few

BATCHES = some_batches().assign(configuration_id=["a", "b", "c"] * 100)
PLOTS: dict[str, Callable[..., Axes]] = {
    "rates": partial(lb.plot_failure_rates, FILES, by="configuration_id"),
    "rates over time": partial(lb.plot_failure_rates, FILES, by="configuration_id", freq="W"),
    "outcomes": partial(lb.plot_outcomes, FILES, by="configuration_id"),
    "outcomes over time": partial(lb.plot_outcomes, FILES, by="configuration_id", freq="W"),
    "durations": partial(lb.plot_durations, BATCHES, by="configuration_id"),
    "empty": partial(lb.plot_failure_rates, FILES[:0], by="configuration_id", freq="W"),
}
every_plot = pytest.mark.parametrize("name", PLOTS)


def share_failing(share: float) -> pd.DataFrame:
    """Return 2,000 batches of two days, a share of which failed."""
    frame = daily_batches(1000, 1000)
    status = np.where(np.arange(1000) < 1000 * share, "FAILED", "COMPLETED")
    return frame.assign(status=np.tile(status, 2))


def state(ax: Axes) -> dict[str, Any]:
    """Return everything of axes that a chart could have changed."""
    texts = (*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels())
    return {
        "limits": (ax.get_xlim(), ax.get_ylim(), ax.margins(), ax.get_autoscale_on()),
        "scales": (ax.get_xscale(), ax.get_yscale(), ax.get_position().bounds),
        "children": [(type(one), one.get_visible(), one.get_zorder()) for one in ax.get_children()],
        "texts": [(t.get_text(), t.get_color(), t.get_fontsize(), t.get_fontname()) for t in texts],
        "titles": [ax.get_title(loc=loc) for loc in ("left", "center", "right")],
        "colours": (ax.get_facecolor(), *(spine.get_edgecolor() for spine in ax.spines.values())),
        "ticks": (ax.get_xticks().tolist(), ax.get_yticks().tolist(), ax.get_axisbelow()),
    }


@every_plot
def test_only_the_given_axes_change(name: str) -> None:
    figure = Figure(figsize=(9, 4))
    ax, other = figure.subplots(1, 2)
    other.plot([1, 2], [3, 4])
    other.set_title("of the user", loc="left")
    settings, open_figures = dict(mpl.rcParams), plt.get_fignums()
    before = state(other), figure.get_facecolor(), figure.get_size_inches().tolist()
    assert PLOTS[name](ax=ax) is ax
    assert (state(other), figure.get_facecolor(), figure.get_size_inches().tolist()) == before
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == open_figures


SHARES = st.lists(st.sampled_from([0.01, 0.02, 0.2, 0.5, 0.9]), min_size=2, max_size=3)


@given(SHARES, st.booleans())
@few
def test_shared_axis_holds_all_that_was_drawn(shares: list[float], over_time: bool) -> None:
    figure = Figure(figsize=(12, 4))
    axes = figure.subplots(1, len(shares), sharex=not over_time, sharey=over_time)
    for ax, share in zip(axes, shares, strict=True):
        lb.plot_failure_rates(share_failing(share), freq="D" if over_time else None, ax=ax)
    figure.draw_without_rendering()
    for ax, share in zip(axes, shares, strict=True):
        low, high = ax.get_ylim() if over_time else ax.get_xlim()
        found = line_data(ax)[1] if over_time else points(ax)[0]
        assert np.allclose(found, share)
        assert low == 0
        assert share < high <= 1


@every_plot
def test_second_chart_on_the_same_axes_keeps_what_is_shown(name: str) -> None:
    ax = Figure().subplots()
    PLOTS[name](ax=ax)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    PLOTS[name](ax=ax)
    render(ax)
    assert ax.get_xlim()[0] <= left < right <= ax.get_xlim()[1]
    assert ax.get_ylim()[0] <= bottom < top <= ax.get_ylim()[1]


@pytest.mark.parametrize("axis", ["x", "y"])
@every_plot
def test_scale_of_the_user_is_kept(name: str, axis: str) -> None:
    for scale in ("log", "symlog"):
        ax = Figure(figsize=(8, 4)).subplots(subplot_kw={f"{axis}scale": scale})
        PLOTS[name](ax=ax)
        assert (ax.get_xscale() if axis == "x" else ax.get_yscale()) == scale
        render(ax)


def test_limits_and_direction_of_the_user_are_kept() -> None:
    ax = Figure().subplots()
    ax.set_ylim(0.1, 0)
    limits = (20667.0, 20669.0)  # days since 1970
    ax.set_xlim(limits)
    lb.plot_failure_rates(share_failing(0.2), freq="D", ax=ax)
    assert (ax.get_xlim(), ax.get_ylim()) == (limits, (0.1, 0))


@pytest.mark.parametrize("is_set_before", [True, False])
@every_plot
def test_title_of_the_user_replaces_that_of_the_chart(name: str, is_set_before: bool) -> None:
    ax = Figure(layout="constrained").subplots()
    if is_set_before:
        ax.set_title("Invoices")
    PLOTS[name](ax=ax)
    if not is_set_before:
        ax.set_title("Invoices")
    render(ax)
    assert ax.get_title(loc="left") == ""
    below = [text for text in ax.texts if text.get_gid() == headings.SUBTITLE]
    legend = ax.get_legend()
    assert ax.get_title() == "Invoices"
    bottom = ax.title.get_window_extent().y0
    assert all(bottom >= other.get_window_extent().y1 for other in below)
    assert legend is None or bottom >= legend.get_window_extent().y1


@every_plot
def test_without_a_layout_only_the_title_needs_room_above(name: str) -> None:
    ax = Figure(figsize=(8, 4)).subplots()
    PLOTS[name](ax=ax)
    render(ax)
    assert not [text for text in ax.texts if text.get_gid() == headings.SUBTITLE]
    assert "decided" in heading(ax) or "median" in heading(ax)


@every_plot
def test_colours_are_those_of_the_axes(name: str) -> None:
    with plt.style.context("dark_background"):
        figure = Figure()
        ax = figure.subplots()
    for _ in range(2):  # the style applies to axes, not only while it is active
        PLOTS[name](ax=ax)
        render(ax)
        assert to_hex(ax.get_facecolor()) == to_hex(figure.get_facecolor()) == "#000000"
        written = (ax.title, ax.xaxis.label, *ax.texts, *ax.get_xticklabels())
        assert {to_hex(text.get_color()) for text in written} == {"#ffffff"}


def test_fonts_and_colours_follow_the_settings() -> None:
    with mpl.rc_context({"font.size": 20, "axes.prop_cycle": cycler(color=["#123456"])}):
        ax = render(lb.plot_failure_rates(share_failing(0.2), freq="D"))
        assert to_hex(ax.lines[0].get_color()) == "#123456"
        assert ax.xaxis.label.get_fontsize() == 20
    with mpl.rc_context({"axes.titlesize": 33, "axes.titlecolor": "red", "font.family": "serif"}):
        ax = lb.plot_outcomes(FILES)
        (left,) = [text for text in ax.findobj(Text) if text.get_text() == ax.get_title(loc="left")]
        assert isinstance(left, Text)
        assert (left.get_fontsize(), left.get_color()) == (33, "red")
        assert left.get_fontfamily() == ["serif"]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_times_are_labelled_in_the_zone_of_the_periods(zone: str) -> None:
    frame = daily_batches(*[40] * 6)
    with mpl.rc_context({"timezone": "Pacific/Kiritimati"}):
        ax = render(lb.plot_failure_rates(frame, freq="D", tz=zone))
        ticks, written = ax.get_xticks(), labels(ax.get_xticklabels())
        local = pd.to_datetime(ticks, unit="D", utc=True).round("s").tz_convert(zone)
        assert set(local.hour) == {0}
        for day, text in zip(local.day, written, strict=True):
            assert text in (f"{day:02}", "Aug")
        assert ax.get_xlabel() == f"created at ({zone})"
        offset = ax.xaxis.get_offset_text().get_text()
        assert offset.startswith("2026")


@pytest.mark.parametrize("layout", ["constrained", "tight", None])
def test_small_axes_of_subfigures_are_drawn_without_warnings(layout: Any) -> None:
    figure = Figure(figsize=(8, 9), layout=layout)
    if layout == "tight":
        axes = [figure.add_subplot(3, 2, n + 1) for n in range(6)]
    else:
        parts: Any = figure.subfigures(1, 2)
        axes = [part.add_subplot(3, 1, n + 1) for part in parts for n in range(3)]
    for ax, plot in zip(axes, PLOTS.values(), strict=True):
        plot(ax=ax)
    with BytesIO() as file:
        figure.savefig(file, format="png", dpi=50)
        assert file.getvalue()


def test_groups_of_one_chart_differ_after_charts_of_many_groups() -> None:
    ax = Figure().subplots()
    names = [(f"supplier {n}",) for n in range(60)]
    for first in range(0, 60, 7):
        group_colours(ax, ["supplier"], names[first : first + 7])
    some = names[:60:10]
    assert len(set(group_colours(ax, ["supplier"], some))) == 6
    assert (
        group_colours(ax, ["supplier"], some[::-1]) == group_colours(ax, ["supplier"], some)[::-1]
    )


def test_group_has_one_colour_in_all_charts() -> None:
    some = FILES[FILES["configuration_id"].isin(["configuration 1", "configuration 3"])]
    found: dict[str, set[str]] = {}
    for frame in (FILES, some):
        over_time = lb.plot_failure_rates(frame, by="configuration_id", freq="W")
        found_legend = over_time.get_legend()
        assert found_legend
        for name, handle in zip(legend(over_time), found_legend.legend_handles, strict=True):
            assert isinstance(handle, Line2D)
            found.setdefault(name.split(" (")[0], set()).add(to_hex(handle.get_color()))
        rows = render(lb.plot_failure_rates(frame, by="configuration_id"))
        colours: Any = rows.collections[-1].get_edgecolor()
        for name, colour in zip(labels(rows.get_yticklabels()), colours, strict=True):
            found[name].add(to_hex(colour))
    assert [len(colours) for colours in found.values()] == [1, 1, 1, 1]
    assert len(set.union(*found.values())) == 4


def test_interval_that_leaves_the_axis_is_marked_while_it_does() -> None:
    frame = daily_batches(400, 400, 1)
    ax = render(lb.plot_failure_rates(frame, freq="D", now="2030-01-01"))
    (arrows,) = [one for one in ax.collections if type(one).__name__ == "Arrows"]
    assert np.shape(arrows.get_offsets()) == (1, 2)
    ax.set_ylim(0, 1)
    render(ax)
    assert np.shape(arrows.get_offsets()) == (0, 2)


def test_band_covers_well_known_periods_only() -> None:
    ax = lb.plot_failure_rates(daily_batches(400, 400, 4, 4), freq="D")
    (path,) = ax.collections[0].get_paths()
    assert np.asarray(path.vertices)[:, 1].max() < 0.05


@given(st.lists(st.text(min_size=1, max_size=60), unique=True, max_size=12), st.integers(1, 40))
@few
def test_shortened_names_stay_different(names: list[str], max_length: int) -> None:
    short = shorten_names(names, max_length)
    assert len(set(short)) == len(names)
    assert all(len(name) <= max(max_length, MIN_LENGTH) for name in short)


@given(
    st.lists(st.text("ab ", min_size=1, max_size=50).filter(str.strip), min_size=1, max_size=6),
    st.integers(24, 60),
)
@few
def test_lines_of_a_title_begin_and_end_with_words(parts: list[str], max_length: int) -> None:
    parts = [" ".join(part.split()) for part in parts]
    line = " · ".join(parts)
    wrapped = headings._wrap_parts(parts, max_length * layout.CHARACTER_WIDTH, 1)
    assert all(len(one) <= max_length and "·" not in one[0] + one[-1] for one in wrapped)
    words = ["".join(text.replace("·", "").split()) for text in (line, "".join(wrapped))]
    assert words[0] == words[1]


def test_shortened_names_show_the_words_in_which_they_differ() -> None:
    names = ["Invoices 2026, northern region", "Invoices 2026, southern region"]
    short = shorten_names(names, 18)
    assert "northern" in short[0]
    assert "southern" in short[1]
    assert shorten_names(names, 40) == names


@pytest.mark.parametrize("name", PLOTS)
def test_frame_is_wrapped_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrap = Mock(side_effect=engines.wrap_frame)
    monkeypatch.setattr(engines, "wrap_frame", wrap)
    PLOTS[name]()
    assert wrap.call_count == 1


@pytest.mark.parametrize("ax", ["x", np.array([1, 2], dtype=object), 5], ids=str)
def test_ax_that_is_no_axes_raises(ax: Any) -> None:
    batches = pd.DataFrame({"batch_id": ["bat-1"], "status": ["COMPLETED"]})
    with pytest.raises(TypeError, match="ax must be one matplotlib Axes"):
        lb.plot_failure_rates(batches, ax=ax)
