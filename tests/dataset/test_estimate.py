"""estimate_batch: from a frame, a dataset and the API; missing where nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.estimates import (
    batch_history,
    estimate_credits,
    estimate_minutes,
)
from llama_batches_nb.errors import DatasetError
from tests.conftest import Serve
from tests.fake_api import FakeApi

AGENTIC = "cfg-PARSE_AGENTIC"
COLUMNS = {
    "source_directory_id": "str",
    "configuration_id": "str",
    "files": "Int64",
    "credits": "Float64",
    "credits_low": "Float64",
    "credits_high": "Float64",
    "minutes": "Float64",
    "minutes_low": "Float64",
    "minutes_high": "Float64",
    "batches": "Int64",
    "batches_with_credits": "Int64",
    "batches_with_minutes": "Int64",
}


def files_of(*batches: list[float], configuration: str = AGENTIC) -> pd.DataFrame:
    """Return files of batches with these credits per file; the n-th file ends after n minutes."""
    start = pd.Timestamp("2026-08-01", tz="UTC")
    rows = [
        {
            "batch_id": f"bat-{b}",
            "configuration_id": configuration,
            "job_id": f"pjb-{b}-{f}",
            "error_message": None,
            "credits": value,
            "batch_created_at": start,
            "updated_at": start + pd.Timedelta(minutes=f + 1),
        }
        for b, values in enumerate(batches)
        for f, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def estimate(history: Any, directory: str = "dir-1", **options: Any) -> pd.Series[Any]:
    frame = lb.estimate_batch(directory, AGENTIC, history=history, **options)
    assert frame.columns.tolist() == list(COLUMNS)
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.fixture
def api(serve: Serve) -> FakeApi:
    api = FakeApi({"dir-1": 4, "dir-empty": 0})
    serve(api)
    return api


def test_estimate_scales_earlier_batches_by_files(api: FakeApi) -> None:
    row = estimate(files_of([3, 3], [3, 3, 3], [3]))
    assert (row.files, row.batches) == (4, 3)
    assert row.iloc[3:6].tolist() == pytest.approx([12, 12, 12])
    assert row.minutes_low <= row.minutes <= row.minutes_high
    assert (row.batches_with_credits, row.batches_with_minutes) == (3, 3)


def test_other_engines_give_the_same_estimate(api: FakeApi) -> None:
    files = files_of([3, 4], [5, 3, 3], [1, 9])
    arrow = pa.Table.from_pandas(files)
    expected = lb.estimate_batch("dir-1", AGENTIC, history=files)
    for other in (arrow, pl.from_pandas(files), ds.dataset(arrow), files.set_index("batch_id")):
        frame = lb.estimate_batch("dir-1", AGENTIC, history=other)
        pd.testing.assert_frame_equal(frame, expected)


@pytest.mark.parametrize(
    "history",
    [
        files_of([3.0, 4.0], configuration="cfg-other"),
        files_of([3.0, 4.0]).head(0),
        files_of([3.0]).assign(batch_status="FAILED"),
        files_of([3.0]).assign(job_type="extract_v2"),
    ],
    ids=["other configuration", "empty", "failed", "other job type"],
)
def test_estimate_without_earlier_batches_is_missing(api: FakeApi, history: pd.DataFrame) -> None:
    frame = lb.estimate_batch("dir-1", AGENTIC, history=history)
    assert {n: str(d).replace("string", "str") for n, d in frame.dtypes.items()} == COLUMNS
    assert frame.iloc[0, 3:9].isna().all()
    assert frame.iloc[0, -3:].tolist() == [0, 0, 0]


def test_one_earlier_batch_gives_no_interval(api: FakeApi) -> None:
    row = estimate(files_of([2, 4]))
    assert row.credits == 12
    assert pd.isna(row.credits_low)
    assert row.minutes > 0
    assert pd.isna(row.minutes_high)


def test_directory_without_files_has_no_estimate(api: FakeApi) -> None:
    row = estimate(files_of([2, 4], [3]), "dir-empty")
    assert row.files == 0
    assert pd.isna(row.credits)
    assert pd.isna(row.minutes)


def test_unknown_credits_are_left_out_and_files_without_a_job_are_free(api: FakeApi) -> None:
    files = files_of([6, np.nan, 6, 0], [3, 3])
    files.loc[3, ["job_id", "error_message", "credits"]] = [None, "unsupported", None]
    row = estimate(files)
    assert row.credits_low <= row.credits <= row.credits_high
    history = batch_history(files)
    assert history["known"].tolist() == [2, 2]
    assert history["mean"].tolist() == [4.5, 3.0]  # 6 credits for 3 of 4 files


def test_batch_with_a_running_job_has_no_duration(api: FakeApi) -> None:
    files = files_of([3, 3], [3, 3])
    files.loc[0, "updated_at"] = None
    assert estimate(files).batches_with_minutes == 1


def test_summary_is_a_history(api: FakeApi) -> None:
    summary = pd.DataFrame(
        {
            "batch_id": ["a", "b", "c"],
            "configuration_id": AGENTIC,
            "status": ["COMPLETED", "COMPLETED", "FAILED"],
            "n_files": pd.array([10, 20, None], "Int64"),
            "credits": pd.array([30.0, 80.0, None], "Float64"),
            "duration": pd.to_timedelta(["5min", "7min", "3s"]),
        }
    )
    row = estimate(summary)
    assert row.batches == 2
    assert 12 <= row.credits <= 16
    assert row.minutes_low <= row.minutes <= row.minutes_high


def test_dataset_is_a_history(tmp_path: Path, on_sandbox: lb.Client) -> None:
    lb.sync_dataset(tmp_path / "data", jobs=True)
    files = lb.outcomes(lb.read_dataset(tmp_path / "data"))
    configuration = files.configuration_id.value_counts().index[0]
    directory = files.source_directory_id[files.configuration_id == configuration].iloc[0]
    job_type = files.job_type[files.configuration_id == configuration].dropna().iloc[0]
    frame = lb.estimate_batch(
        directory, configuration, history=tmp_path / "data", job_type=job_type
    )
    assert frame.batches_with_minutes.iloc[0] > 1
    assert frame.minutes_low.iloc[0] < frame.minutes.iloc[0] < frame.minutes_high.iloc[0]
    lb.sync_dataset(tmp_path / "without jobs")
    with pytest.raises(DatasetError, match="no jobs"):
        lb.estimate_batch(directory, configuration, history=tmp_path / "without jobs")


def test_fetched_history_requests_credits_of_few_jobs(serve: Serve) -> None:
    api = FakeApi({"dir-0": 3})
    for _ in range(30):
        batch_id = api.add(files=20)
        api.batches[batch_id]["config"]["job"]["configuration_id"] = AGENTIC
    for n, job in enumerate(api.jobs.values()):
        job["usage"] = {"credits": 3.0 + n % 2}
    serve(api)
    row = estimate(None, "dir-0")  # a file of each batch could not be mapped
    assert (row.batches, row.batches_with_credits) == (20, 20)
    assert api.requests["GET job"] == 100
    assert row.credits == pytest.approx(3 * 3.5 * 20 / 21, rel=0.05)


def test_project_without_batches_gives_no_estimate(api: FakeApi) -> None:
    row = estimate(None)
    assert (row.files, row.batches) == (4, 0)
    assert pd.isna(row.credits)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"history": 5}, TypeError, "history must be a frame"),
        ({"history": pd.DataFrame({"job_id": []})}, ValueError, "no column 'batch_id'"),
        ({"history": files_of([1]).drop(columns="credits")}, ValueError, "no column 'credits'"),
        ({"job_type": "parse"}, ValueError, "job_type"),
        ({"history": "no such folder"}, FileNotFoundError, "No dataset"),
    ],
)
def test_invalid_argument_raises_before_any_request(
    serve: Serve, arguments: Any, error: type[Exception], message: str
) -> None:
    server = serve(FakeApi({"dir-1": 1}))
    with pytest.raises(error, match=message):
        lb.estimate_batch("dir-1", AGENTIC, **arguments)
    assert not server.requests


@settings(max_examples=100, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=6), min_size=1, max_size=6
    ),
    n_files=st.integers(1, 1000),
)
def test_interval_contains_the_expected_value(batches: list[Any], n_files: int) -> None:
    history = batch_history(files_of(*batches))
    for one in (estimate_credits(history, n_files), estimate_minutes(history, n_files)):
        if not np.isnan(one.low):
            assert 0 <= one.low <= one.high < np.inf
        assert np.isnan(one.expected) or one.expected >= 0


# --- the 90 % range holds in about 90 % of simulated batches ------------------------------------


def simulated_batch(rng: np.random.Generator, n: int, between: float, within: float) -> list[float]:
    level = 10 * np.exp(between * rng.standard_normal() - between**2 / 2)
    return list(level * np.exp(within * rng.standard_normal(n) - within**2 / 2))


@pytest.mark.parametrize("between", [0.05, 0.3])
@pytest.mark.parametrize("n_batches", [5, 14])
def test_range_of_credits_holds_in_about_90_percent(n_batches: int, between: float) -> None:
    rng, repeats, held = np.random.default_rng(7), 250, 0
    for _ in range(repeats):
        n_new = int(rng.integers(20, 400))
        batches = [simulated_batch(rng, n, between, 0.6) for n in rng.integers(20, 400, n_batches)]
        means = np.array([np.mean(batch) for batch in batches])
        history = pd.DataFrame(
            {
                "known": [len(batch) for batch in batches],
                "mean": means,
                "within": [
                    ((np.array(b) - m) ** 2).sum() for b, m in zip(batches, means, strict=True)
                ],
            }
        )
        expected = estimate_credits(history, n_new)
        held += expected.low <= sum(simulated_batch(rng, n_new, between, 0.6)) <= expected.high
    assert 0.83 <= held / repeats <= 0.96


@pytest.mark.parametrize("slope", [0.0, 0.7])
@pytest.mark.parametrize("sizes", [(100, 101), (20, 900)], ids=["alike", "different"])
def test_range_of_minutes_holds_in_about_90_percent(slope: float, sizes: tuple[int, int]) -> None:
    rng, repeats, held = np.random.default_rng(8), 250, 0

    def minutes(n: Any) -> Any:
        return 5 * (n / 100) ** slope * np.exp(0.3 * rng.standard_normal(np.shape(n)))

    for _ in range(repeats):
        files = rng.integers(*sizes, size=10)
        history = pd.DataFrame({"files": files, "minutes": minutes(files)})
        expected = estimate_minutes(history, 250)
        held += bool(expected.low <= minutes(250) <= expected.high)
    assert held / repeats >= 0.84
    if sizes[0] == 20:  # otherwise nothing is known of the slope, and the range is wider
        assert held / repeats <= 0.96
