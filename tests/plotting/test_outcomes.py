"""Test the chart of outcomes: its bars, their order, styles and texts."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle, StepPatch

import llama_batches_nb as lb
from llama_batches_nb.plotting.outcome_bars import STYLES
from llama_batches_nb.plotting.outcomes import plot_outcomes
from llama_batches_nb.plotting.outcomes_over_time import MAX_STRIPS
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES
from tests.plotting.drawing import (
    heading,
    labels,
    legend,
    line_data,
    narrow_axes,
    overlapping,
    render,
    texts,
)
from tests.strategies import batch_frames, batches, few, outcome_frames, result_frames

OUTCOME_VALUES = ["succeeded"] * 4 + ["job_failed", "mapping_error", "no_job", "job_running"]


def files(*outcomes: str | None, **columns: Any) -> pd.DataFrame:
    """Return files with these outcomes, two per day, and these columns."""
    days = pd.Timestamp("2026-08-01", tz="UTC") + pd.to_timedelta(
        np.arange(len(outcomes)) // 2, unit="D"
    )
    frame = pd.DataFrame(
        {
            "outcome": pd.Categorical(list(outcomes), categories=OUTCOMES),
            "batch_created_at": pd.Series(days, dtype="datetime64[us, UTC]"),
        }
    )
    return frame.assign(**columns)


def bar_ranges(ax: Axes) -> dict[str, list[tuple[float, float]]]:
    """Return the start and the end of each bar, by outcome."""
    found = {}
    for name, bar in zip(legend(ax), ax.containers, strict=True):
        rectangles = [patch for patch in bar.get_children() if isinstance(patch, Rectangle)]
        found[name.split(" (")[0]] = [(r.get_x(), r.get_x() + r.get_width()) for r in rectangles]
    return found


def bar_heights(ax: Axes) -> list[list[float]]:
    """Return the heights of the bars over time, per outcome and strip."""
    found = []
    for patch in ax.patches:
        assert isinstance(patch, StepPatch)
        values, _, baseline = patch.get_data()
        found.append((values - np.asarray(baseline))[::2].tolist())
    return found


# --- by group -----------------------------------------------------------------------------------


def test_bars_are_stacked_failures_first_undecided_last() -> None:
    ax = render(plot_outcomes(files(*OUTCOME_VALUES)))
    assert bar_ranges(ax) == {
        "mapping_error": [(0, 1)],
        "job_failed": [(1, 2)],
        "succeeded": [(2, 6)],
        "job_running": [(6, 7)],
        "no_job": [(7, 8)],
    }
    assert ax.get_xlabel() == "files"


def test_legend_lists_occurring_outcomes_with_counts() -> None:
    ax = plot_outcomes(files(*["succeeded"] * 1200, "no_job"))
    assert legend(ax) == ["succeeded (1,200)", "no_job (1)"]


def test_groups_are_ranked_by_the_lower_end_of_their_interval() -> None:
    frame = files(
        *["succeeded"] * 60, *["job_failed"] * 20, "job_failed", *["no_job"] * 2,
        configuration_id=["large"] * 60 + ["worst"] * 20 + ["one file"] + [None] * 2,
    )  # fmt: skip
    ax = render(plot_outcomes(frame, by="configuration_id"))
    assert labels(ax.get_yticklabels()) == ["(none)", "large", "one file", "worst"]
    assert texts(ax) == ["2 (2 undecided)", "60", "1", "20"]


def test_groups_that_do_not_fit_are_named_and_the_worst_is_drawn() -> None:
    names = [f"c{n % 40}" for n in range(80)]
    frame = files(*["succeeded"] * 80, "job_failed", configuration_id=[*names, "worst"])
    ax = plot_outcomes(frame, by="configuration_id")
    assert labels(ax.get_yticklabels())[-1] == "worst"
    note = texts(ax)[-1].replace("\n", " ")
    assert note.startswith("11 groups with lower failure rates (22 files) not shown: c")
    over_time = plot_outcomes(frame, by="configuration_id", freq="D")
    assert texts(over_time)[0].startswith("worst")
    assert "35 groups with lower failure rates (70 files) not shown" in heading(over_time)


def test_group_columns_can_have_any_name() -> None:
    for name in ("group", "word", "left", "_x", "a$b"):
        ax = render(plot_outcomes(files(*OUTCOME_VALUES).assign(**{name: "one"}), by=name))
        assert labels(ax.get_yticklabels()) == ["one"]


# --- over time ----------------------------------------------------------------------------------


def test_height_of_a_bar_is_its_number_of_rows() -> None:
    ax = render(plot_outcomes(files("succeeded", "job_failed", "succeeded", "no_job"), freq="D"))
    assert legend(ax) == ["job_failed (1)", "succeeded (2)", "no_job (1)"]
    assert bar_heights(ax) == [[1, 0], [1, 1], [0, 1]]
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylabel() == "files"


def test_bars_are_within_their_periods() -> None:
    ax = render(plot_outcomes(files(*["succeeded"] * 4), freq="D"))
    (patch,) = ax.patches
    assert isinstance(patch, StepPatch)
    _, edges, _ = patch.get_data()
    assert edges[2] - edges[0] == 1
    assert edges[0] < edges[1] < edges[2] < edges[3] < edges[0] + 2


def test_empty_period_has_no_bar() -> None:
    ax = plot_outcomes(files(*["succeeded"] * 6).iloc[[0, 4]], freq="D")
    (patch,) = ax.patches
    assert isinstance(patch, StepPatch)
    values, edges, _ = patch.get_data()
    assert values.tolist() == [1, 0, 1]
    assert edges[1] < edges[0] + 1
    assert edges[2] == edges[0] + 2


def test_strips_of_groups_share_a_scale() -> None:
    frame = files(*OUTCOME_VALUES, configuration_id=["a"] * 6 + ["b"] * 2)
    ax = render(plot_outcomes(frame, by="configuration_id", freq="D"))
    assert texts(ax) == ["a: 6", "b: 2 (2 undecided)"]
    feet = [line_data(ax, n)[1][0] for n in range(len(ax.lines))]
    assert feet[0] == 0
    assert feet[1] < -max(map(max, bar_heights(ax)))
    assert sum(bar_heights(ax)[-1]) == 1
    assert sum(map(sum, bar_heights(ax))) == len(frame)
    assert labels(ax.get_yticklabels())[0] == "0"


def test_strips_that_do_not_fit_are_counted() -> None:
    frame = files(*["succeeded"] * 20, configuration_id=[f"c{n % 10}" for n in range(20)])
    ax = plot_outcomes(frame, by="configuration_id", freq="D")
    assert len(texts(ax)) == MAX_STRIPS
    assert "4 groups with lower failure rates (8 files) not shown: c" in " ".join(
        heading(ax).split()
    )


def test_files_without_a_time_are_counted_in_the_title() -> None:
    frame = files("succeeded", "succeeded", "no_job")
    frame.loc[2, "batch_created_at"] = pd.NaT
    ax = render(plot_outcomes(frame, freq="D"))
    assert "1 file without a time not shown" in heading(ax)
    assert sum(map(sum, bar_heights(ax))) == 2
    none = render(plot_outcomes(frame[2:], freq="D"))
    assert list(none.patches) == []
    assert texts(none) == ["no files with a time"]


# --- styles -------------------------------------------------------------------------------------


def test_every_outcome_has_its_own_style() -> None:
    for values in (OUTCOMES, BATCH_STATUSES):
        assert len({STYLES[value] for value in values}) >= len(values) - ("mapped" in values)


def test_decided_outcomes_are_solid_and_undecided_ones_pale() -> None:
    ax = plot_outcomes(files(*OUTCOME_VALUES))
    for name, bar in zip(legend(ax), ax.containers, strict=True):
        patch = bar.get_children()[0]
        assert isinstance(patch, Rectangle)
        word = name.split(" (")[0]
        colour, hatch = STYLES[word]
        assert (patch.get_hatch() or "") == hatch
        full = to_hex(patch.get_facecolor(), keep_alpha=True) == f"{colour.lower()}ff"
        assert full == (word not in ("no_job", "job_running"))
        assert full or hatch
    partial = plot_outcomes(files("succeeded", "partial"))
    assert "Outcomes of files (mapping, job or page)" in heading(partial)
    assert "6 of 8 files decided · 2 undecided (pale)" in heading(ax)


def test_failures_have_a_hatch() -> None:
    assert all(STYLES[word][1] for word in ("mapping_error", "job_failed", "FAILED"))


# --- arguments and frames -----------------------------------------------------------------------


@given(st.one_of(outcome_frames(), result_frames(), batch_frames()), st.sampled_from([None, "W"]))
@few
def test_arbitrary_frames_are_drawn_without_losing_rows(
    frame: pd.DataFrame, freq: str | None
) -> None:
    ax = render(plot_outcomes(frame, by="job_type", freq=freq))
    plt.close("all")
    named = sum(int(name.rsplit("(", 1)[1].rstrip(")").replace(",", "")) for name in legend(ax))
    of_failed = int((frame["batch_status"] == "FAILED").sum()) if "batch_status" in frame else 0
    assert named == len(frame) - of_failed
    assert ("of FAILED batches excluded" in heading(ax)) == bool(of_failed)


def test_batches_and_jobs_are_stacked_by_their_status() -> None:
    ax = plot_outcomes(batches("FAILED", "RUNNING", "COMPLETED", "COMPLETED"))
    assert legend(ax) == ["FAILED (1)", "COMPLETED (2)", "RUNNING (1)"]
    assert ax.get_xlabel() == "batches"


def test_results_without_jobs_show_mapping_outcomes() -> None:
    frame = pd.DataFrame({"job_id": ["p", None, None], "error_message": [None, "no", None]})
    ax = plot_outcomes(frame)
    assert legend(ax) == ["mapping_error (1)", "mapped (1)", "no_job (1)"]
    assert "(mapping)" in heading(ax)


def test_unknown_and_missing_outcomes_are_shown() -> None:
    frame = files(*OUTCOME_VALUES[:2]).assign(outcome=pd.Series(["postponed$", None], dtype=object))
    assert legend(render(plot_outcomes(frame))) == ["(none) (1)", r"postponed\$ (1)"]


def test_counts_equal_those_of_failure_rates() -> None:
    frame = files(*OUTCOME_VALUES, batch_status=["COMPLETED"] * 7 + ["FAILED"])
    rates = lb.failure_rates(frame)
    ax = plot_outcomes(frame)
    assert f"{rates.decided[0]} of {rates.total[0]} files decided" in heading(ax)
    assert "1 file of FAILED batches excluded" in heading(ax)


@pytest.mark.parametrize("freq", [None, "D"])
@pytest.mark.parametrize(
    "engine",
    [
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).lazy(),
        pa.Table.from_pandas,
        lambda frame: duckdb.from_arrow(pa.Table.from_pandas(frame)),
    ],
    ids=["polars", "lazy", "arrow", "duckdb"],
)
def test_every_engine_gives_the_same_chart(engine: Any, freq: str | None) -> None:
    frame = files(*OUTCOME_VALUES, batch_status="COMPLETED", configuration_id=["a", "b"] * 4)
    ax, expected = (
        plot_outcomes(one, by="configuration_id", freq=freq) for one in (engine(frame), frame)
    )
    assert legend(ax) == legend(expected)
    assert heading(ax) == heading(expected)
    assert sorted(texts(ax)) == sorted(texts(expected))


@pytest.mark.parametrize(
    ("by", "freq"), [(None, None), ("job_type", None), (None, "W"), ("job_type", "W")]
)
def test_frame_without_rows_shows_no_rows(by: str | None, freq: str | None) -> None:
    ax = render(plot_outcomes(batches(), by=by, freq=freq))
    assert texts(ax) == ["no rows"]
    assert legend(ax) == []


def test_given_axes_are_used_without_pyplot() -> None:
    ax = narrow_axes()
    assert plot_outcomes(files(*OUTCOME_VALUES), ax=ax) is ax
    assert plt.get_fignums() == []


def test_narrow_chart_has_no_overlapping_texts() -> None:
    frame = files(*OUTCOME_VALUES * 5, configuration_id=[f"configuration-{n}" for n in range(40)])
    ax = render(plot_outcomes(frame, by="configuration_id", ax=narrow_axes()))
    assert not overlapping([*ax.texts])
    assert not overlapping([*ax.get_yticklabels()])
    found = render(
        plot_outcomes(frame, by="configuration_id", freq="D", ax=narrow_axes())
    ).get_legend()
    assert found is not None
    assert found.get_window_extent().x1 <= 420


def test_errors_are_raised_before_a_figure_is_created() -> None:
    with pytest.raises(ValueError, match="by='outcome': the bars already show 'outcome'"):
        plot_outcomes(files(*OUTCOME_VALUES), by="outcome")
    with pytest.raises(ValueError, match="no column 'config'"):
        plot_outcomes(files(*OUTCOME_VALUES), by="config")
    with pytest.raises(ValueError, match="freq='X'"):
        plot_outcomes(files(*OUTCOME_VALUES), freq="X")
    assert plt.get_fignums() == []
