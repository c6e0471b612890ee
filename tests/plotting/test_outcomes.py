"""Stacked counts: each bar as long as its rows, decided apart from undecided, nothing hidden."""

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
from llama_batches_nb.plotting.outcomes import MAX_STRIPS, STYLES, plot_outcomes
from llama_batches_nb.tables.statuses import BATCH_STATUSES, OUTCOMES
from tests.plotting.drawing import drawn, labels, legend, line, narrow, overlapping, texts, title
from tests.strategies import batch_frames, batches, few, outcome_frames, result_frames

WORDS = ["succeeded"] * 4 + ["job_failed", "mapping_error", "no_job", "job_running"]


def files(*outcomes: str | None, **columns: Any) -> pd.DataFrame:
    """Return files with these outcomes, two to a day, with these columns."""
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


def bars(ax: Axes) -> dict[str, list[tuple[float, float]]]:
    """Return from where to where the bars of each outcome go, by the words of the legend."""
    found = {}
    for name, bar in zip(legend(ax), ax.containers, strict=True):
        rectangles = [patch for patch in bar.get_children() if isinstance(patch, Rectangle)]
        found[name.split(" (")[0]] = [(r.get_x(), r.get_x() + r.get_width()) for r in rectangles]
    return found


def steps(ax: Axes) -> list[list[float]]:
    """Return how high each bar over time is, for each outcome of each strip."""
    found = []
    for patch in ax.patches:
        assert isinstance(patch, StepPatch)
        values, _, baseline = patch.get_data()
        found.append((values - np.asarray(baseline))[::2].tolist())
    return found


# --- by group -----------------------------------------------------------------------------------


def test_bars_lie_end_to_end_failures_first_undecided_last() -> None:
    ax = drawn(plot_outcomes(files(*WORDS)))
    assert bars(ax) == {
        "mapping_error": [(0, 1)],
        "job_failed": [(1, 2)],
        "succeeded": [(2, 6)],
        "job_running": [(6, 7)],
        "no_job": [(7, 8)],
    }
    assert ax.get_xlabel() == "files"


def test_legend_has_the_outcomes_that_occur_with_their_numbers() -> None:
    ax = plot_outcomes(files(*["succeeded"] * 1200, "no_job"))
    assert legend(ax) == ["succeeded (1,200)", "no_job (1)"]


def test_largest_group_is_at_the_top_with_its_size_beside() -> None:
    frame = files(*WORDS, configuration_id=["cfg-a", "cfg-b", "cfg-b", *["cfg-c"] * 4, None])
    ax = drawn(plot_outcomes(frame, by="configuration_id"))
    assert labels(ax.get_yticklabels())[-2:] == ["cfg-b", "cfg-c"]
    assert set(labels(ax.get_yticklabels())[:2]) == {"cfg-a", "(none)"}
    assert texts(ax)[-2:] == ["2", "4 (1 undecided)"]
    assert "1 (1 undecided)" in texts(ax)


def test_groups_that_find_no_room_are_counted_with_their_files() -> None:
    frame = files(*["succeeded"] * 80, configuration_id=[f"c{n % 40}" for n in range(80)])
    assert "10 smaller groups (20 files) not shown" in texts(
        plot_outcomes(frame, by="configuration_id")
    )


def test_columns_may_be_called_anything() -> None:
    for name in ("group", "word", "left", "_x", "a$b"):
        ax = drawn(plot_outcomes(files(*WORDS).assign(**{name: "one"}), by=name))
        assert labels(ax.get_yticklabels()) == ["one"]


# --- over time ----------------------------------------------------------------------------------


def test_periods_are_bars_as_high_as_their_rows() -> None:
    ax = drawn(plot_outcomes(files("succeeded", "job_failed", "succeeded", "no_job"), freq="D"))
    assert legend(ax) == ["job_failed (1)", "succeeded (2)", "no_job (1)"]
    assert steps(ax) == [[1, 0], [1, 1], [0, 1]]
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylabel() == "files"


def test_bars_stand_in_their_periods() -> None:
    ax = drawn(plot_outcomes(files(*["succeeded"] * 4), freq="D"))
    (patch,) = ax.patches
    assert isinstance(patch, StepPatch)
    _, edges, _ = patch.get_data()
    assert edges[2] - edges[0] == 1
    assert edges[0] < edges[1] < edges[2] < edges[3] < edges[0] + 2


def test_empty_periods_stay_empty() -> None:
    ax = plot_outcomes(files(*["succeeded"] * 6).iloc[[0, 4]], freq="D")
    (patch,) = ax.patches
    assert isinstance(patch, StepPatch)
    values, edges, _ = patch.get_data()
    assert values.tolist() == [1, 0, 1]
    assert edges[1] < edges[0] + 1
    assert edges[2] == edges[0] + 2


def test_groups_over_time_have_strips_in_one_scale() -> None:
    frame = files(*WORDS, configuration_id=["a"] * 6 + ["b"] * 2)
    ax = drawn(plot_outcomes(frame, by="configuration_id", freq="D"))
    assert texts(ax) == ["a: 6", "b: 2 (2 undecided)"]
    feet = [line(ax, n)[1][0] for n in range(len(ax.lines))]
    assert feet[0] == 0
    assert feet[1] < -max(map(max, steps(ax)))
    assert sum(steps(ax)[-1]) == 1
    assert sum(map(sum, steps(ax))) == len(frame)
    assert labels(ax.get_yticklabels())[0] == "0"


def test_strips_that_find_no_room_are_counted() -> None:
    frame = files(*["succeeded"] * 20, configuration_id=[f"c{n % 10}" for n in range(20)])
    ax = plot_outcomes(frame, by="configuration_id", freq="D")
    assert len(texts(ax)) == MAX_STRIPS
    assert "4 smaller groups (8 files) not shown" in title(ax)


def test_files_without_a_time_are_counted_in_the_title() -> None:
    frame = files("succeeded", "succeeded", "no_job")
    frame.loc[2, "batch_created_at"] = pd.NaT
    ax = drawn(plot_outcomes(frame, freq="D"))
    assert "1 file without a time not drawn" in title(ax)
    assert sum(map(sum, steps(ax))) == 2
    none = drawn(plot_outcomes(frame[2:], freq="D"))
    assert list(none.patches) == []
    assert texts(none) == ["no files with a time"]


# --- looks --------------------------------------------------------------------------------------


def test_every_word_has_a_look_of_its_own() -> None:
    for words in (OUTCOMES, BATCH_STATUSES):
        assert len({STYLES[word] for word in words}) >= len(words) - ("mapped" in words)


def test_decided_are_full_and_undecided_pale_and_hatched() -> None:
    ax = plot_outcomes(files(*WORDS))
    for name, bar in zip(legend(ax), ax.containers, strict=True):
        patch = bar.get_children()[0]
        assert isinstance(patch, Rectangle)
        word = name.split(" (")[0]
        colour, hatch = STYLES[word]
        assert (patch.get_hatch() or "") == hatch
        full = to_hex(patch.get_facecolor()) == colour.lower()
        assert full == (word not in ("no_job", "job_running"))
        assert full or hatch
    assert "6 decided of 8 files · 2 undecided (pale)" in title(ax)


def test_failures_are_never_told_by_colour_alone() -> None:
    assert all(STYLES[word][1] for word in ("mapping_error", "job_failed", "FAILED"))


# --- what is taken and given --------------------------------------------------------------------


@given(st.one_of(outcome_frames(), result_frames(), batch_frames()), st.sampled_from([None, "W"]))
@few
def test_any_frame_is_drawn_and_no_row_is_lost(frame: pd.DataFrame, freq: str | None) -> None:
    ax = drawn(plot_outcomes(frame, by="job_type", freq=freq))
    plt.close("all")
    named = sum(int(name.rsplit("(", 1)[1].rstrip(")").replace(",", "")) for name in legend(ax))
    of_failed = int((frame["batch_status"] == "FAILED").sum()) if "batch_status" in frame else 0
    assert named == len(frame) - of_failed
    assert ("of FAILED batches left out" in title(ax)) == bool(of_failed)


def test_batches_and_jobs_are_stacked_by_their_status() -> None:
    ax = plot_outcomes(batches("FAILED", "RUNNING", "COMPLETED", "COMPLETED"))
    assert legend(ax) == ["FAILED (1)", "COMPLETED (2)", "RUNNING (1)"]
    assert ax.get_xlabel() == "batches"


def test_results_are_told_without_jobs() -> None:
    frame = pd.DataFrame({"job_id": ["p", None, None], "error_message": [None, "no", None]})
    ax = plot_outcomes(frame)
    assert legend(ax) == ["mapping_error (1)", "mapped (1)", "no_job (1)"]
    assert "(mapping)" in title(ax)


def test_words_of_tomorrow_and_missing_ones_are_shown() -> None:
    frame = files(*WORDS[:2]).assign(outcome=pd.Series(["postponed$", None], dtype=object))
    assert legend(drawn(plot_outcomes(frame))) == ["(none) (1)", r"postponed\$ (1)"]


def test_numbers_are_those_of_the_rates() -> None:
    frame = files(*WORDS, batch_status=["COMPLETED"] * 7 + ["FAILED"])
    rates = lb.failure_rates(frame)
    ax = plot_outcomes(frame)
    assert f"{rates.decided[0]} decided of {rates.total[0]} files" in title(ax)
    assert "1 file of FAILED batches left out" in title(ax)


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
    frame = files(*WORDS, batch_status="COMPLETED", configuration_id=["a", "b"] * 4)
    ax, expected = (
        plot_outcomes(one, by="configuration_id", freq=freq) for one in (engine(frame), frame)
    )
    assert legend(ax) == legend(expected)
    assert title(ax) == title(expected)
    assert sorted(texts(ax)) == sorted(texts(expected))


@pytest.mark.parametrize(
    ("by", "freq"), [(None, None), ("job_type", None), (None, "W"), ("job_type", "W")]
)
def test_frame_without_rows_says_so(by: str | None, freq: str | None) -> None:
    ax = drawn(plot_outcomes(batches(), by=by, freq=freq))
    assert texts(ax) == ["nothing to show: no rows"]
    assert legend(ax) == []


def test_axes_that_are_given_are_drawn_on_without_pyplot() -> None:
    ax = narrow()
    assert plot_outcomes(files(*WORDS), ax=ax) is ax
    assert plt.get_fignums() == []


def test_narrow_chart_has_room_for_its_words() -> None:
    frame = files(*WORDS * 5, configuration_id=[f"configuration-{n}" for n in range(40)])
    ax = drawn(plot_outcomes(frame, by="configuration_id", ax=narrow()))
    assert not overlapping([*ax.texts])
    assert not overlapping([*ax.get_yticklabels()])
    found = drawn(plot_outcomes(frame, by="configuration_id", freq="D", ax=narrow())).get_legend()
    assert found is not None
    assert found.get_window_extent().x1 <= 420


def test_errors_come_before_a_figure() -> None:
    with pytest.raises(ValueError, match="by='outcome': each bar is made of 'outcome' already"):
        plot_outcomes(files(*WORDS), by="outcome")
    with pytest.raises(ValueError, match="no column 'config'"):
        plot_outcomes(files(*WORDS), by="config")
    with pytest.raises(ValueError, match="freq='X'"):
        plot_outcomes(files(*WORDS), freq="X")
    assert plt.get_fignums() == []
