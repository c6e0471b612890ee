"""Failure rates and error patterns of pages."""

from __future__ import annotations

from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

import llama_batches_nb as lb
from llama_batches_nb.analysis.frame_kinds import PAGES_KIND, detect_kind
from llama_batches_nb.tables import engines
from llama_batches_nb.tables.schema import PAGES, to_pandas

N_JOBS, N_PAGES = 12, 10


def pages_frame() -> pd.DataFrame:
    """Return pages of which all of two jobs failed, and one page has an unknown state."""
    rows = [
        {
            "job_id": f"pjb-{job}",
            "page_number": page,
            "success": None if (job, page) == (11, 1) else job >= 2,
            "error_message": f"Page {page}: OCR timed out" if job < 2 else None,
        }
        for job in range(N_JOBS)
        for page in range(1, N_PAGES + 1)
    ]
    frame = to_pandas(PAGES.arrow_schema.empty_table(), PAGES.columns)
    return pd.DataFrame(rows, columns=PAGES.names).astype(frame.dtypes.to_dict())


def test_pages_are_counted_by_their_success() -> None:
    (rates,) = lb.failure_rates(pages_frame()).to_dict("records")
    assert (rates["total"], rates["decided"], rates["failed"]) == (120, 119, 20)
    assert rates["undecided"] == 1
    assert rates["failure_rate"] == pytest.approx(20 / 119)


def test_pages_of_a_job_are_one_cluster() -> None:
    together = lb.failure_rates(pages_frame()).iloc[0]
    apart = lb.failure_rates(pages_frame(), cluster=None).iloc[0]
    assert together.batches == N_JOBS
    assert together.n_effective < apart.n_effective / 5
    assert together.ci_high - together.ci_low > apart.ci_high - apart.ci_low


def test_pages_with_a_batch_are_clustered_by_it() -> None:
    frame = pages_frame()
    frame["batch_id"] = frame.job_id.str[-1]
    assert lb.failure_rates(frame).batches.tolist() == [frame.batch_id.nunique()]


@pytest.mark.parametrize("engine", ["polars", "arrow", "duckdb"])
def test_rates_of_pages_are_equal_in_each_engine(engine: str) -> None:
    frame = pages_frame()
    in_polars = pl.from_pandas(frame)
    expected = lb.failure_rates(frame, by="job_id")
    with duckdb.connect() as connection:
        frames: dict[str, Any] = {
            "polars": in_polars,
            "arrow": in_polars.to_arrow(),
            "duckdb": connection.from_arrow(in_polars.to_arrow()),
        }
        rates = lb.failure_rates(frames[engine], by="job_id")
    pd.testing.assert_frame_equal(rates, expected)


def test_layer_is_page_and_reasons_are_grouped() -> None:
    assert detect_kind(engines.wrap_frame("frame", pages_frame())) is PAGES_KIND
    patterns = lb.error_patterns(pages_frame())
    assert patterns["count"].tolist() == [20]
    assert patterns["layer"].tolist() == ["page"]
