"""A user's script, which type checkers must accept in their strictest modes without a cast."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]

import llama_batches_nb as lb


def load(since: pd.Timestamp) -> pd.DataFrame:
    """Fetch the outcomes of all files since a time."""
    batches = lb.fetch_batches(status=["COMPLETED", "FAILED"], created_at_on_or_after=since)
    results = lb.fetch_results(batches, errors="warn")
    files: pd.DataFrame = lb.outcomes(results, lb.fetch_jobs(results))
    return files


def analyse(files: pd.DataFrame) -> pd.DataFrame:
    """Use every engine's frames where pandas frames are accepted."""
    ids: list[str] = files["batch_id"].tolist()
    lb.fetch_results(ids)
    lb.fetch_results(ids[0])
    lb.fetch_results(pl.from_pandas(files))
    lb.failure_rates(pl.from_pandas(files).lazy(), by="configuration_id", freq="W")
    lb.failure_rates(pa.Table.from_pandas(files), by=["configuration_id", "job_type"])
    lb.error_patterns(files)
    lb.plot_failure_rates(files, freq="W").set_title("Failures")
    pages: pd.DataFrame = lb.fetch_pages(files, content="markdown", errors="warn")
    return lb.summarize(lb.fetch_batches(), files, pages=pages)


def process(folder: str) -> pd.DataFrame:
    """Chain the functions that act."""
    batch = lb.upload_files(folder).pipe(lb.create_batch, "cfg-PARSE_AGENTIC", job_type="parse_v2")
    ended = lb.wait_for_batches(batch, timeout=600)
    jobs = lb.wait_for_jobs(ended)
    lb.save_outputs(jobs, "outputs")
    lb.fetch_extractions(jobs["job_id"].tolist())
    lb.add_names(lb.estimate_batch("dir-1", "cfg-PARSE_AGENTIC", history=ended))
    retried = lb.retry_failed(lb.fetch_results(ended))
    lb.cancel_batch(retried)
    report: lb.SyncReport = lb.sync_dataset("kept", jobs=True, status="COMPLETED")
    print(report.added)
    lb.open_dataset("kept", "results")
    return lb.read_parquet("files.parquet")


def main() -> None:
    """Handle errors by their fields."""
    with lb.sandbox(batches=20, speed=20) as box:
        print(box.url)
        try:
            load(pd.Timestamp("2026-08-01"))
        except lb.RateLimitError as error:
            print(error.retry_after, error.status_code)
        except lb.UnconfirmedCreateError as error:
            print(len(error.candidates))
    lb.dashboard()
    lb.filter_panel(status="FAILED")
