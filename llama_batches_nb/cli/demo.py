"""The command `demo`: run a batch, load a project's history, and write Parquet and a chart."""

from __future__ import annotations

import argparse
import tempfile
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from llama_batches_nb.analysis.final_outcomes import final_outcomes
from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.rates import failure_rates, format_rate
from llama_batches_nb.dataset.export import export_parquet
from llama_batches_nb.fetch.batches import fetch_batches
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.names import add_names
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http.client import connect
from llama_batches_nb.lifecycle.create import create_batch
from llama_batches_nb.lifecycle.upload import upload_files
from llama_batches_nb.lifecycle.wait import wait_for_batches
from llama_batches_nb.lifecycle.wait_jobs import wait_for_jobs
from llama_batches_nb.messages import agree, escape_control_chars, escape_line, format_count
from llama_batches_nb.plotting.failure_rates import plot_failure_rates
from llama_batches_nb.sandbox_server import sandbox

SPEED = 20.0  # times real time, so that the batch ends within seconds
INVOICE = "Invoice {n}\nDelivery of {n} boxes of paper\nTotal: {n}0.50 EUR\n"
MAX_DIRECTORIES = 5  # directories with the highest failure rates to print


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's description and arguments to a parser."""
    parser.description = (
        "Run a batch end to end, load a project's history, and write Parquet files and a chart, "
        "using a local sandbox unless --live is given."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder for the output files (default: demo)"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="read from LlamaCloud with LLAMA_CLOUD_API_KEY; no batch is created",
    )
    parser.add_argument(
        "--limit", type=int, help="maximum number of batches to load (default: all)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and return the exit code."""
    out: Path = arguments.out
    with ExitStack() as stack:
        if arguments.live:
            client = connect()
            _print(f"Reading from {client.base_url}. No batch is created.")
        else:
            _print("Starting a sandbox: a local emulator of the LlamaCloud API …")
            box = stack.enter_context(sandbox(speed=SPEED))
            _print(f"The sandbox runs at {box.url}, with four months of sample data.\n")
        out.mkdir(parents=True, exist_ok=True)
        if not arguments.live:
            _run_batch()
        _load_history(out, arguments.limit)
    _print_next_steps(out)
    return 0


def _run_batch() -> None:
    _print("1. Run a batch: upload files, create the batch, wait for it.")
    with tempfile.TemporaryDirectory() as folder:
        for n in range(1, 9):
            text = "corrupt" if n == 5 else INVOICE.format(n=n)
            Path(folder, f"invoice-{n}.txt").write_text(text)
        batch = upload_files(folder).pipe(create_batch, "cfg-PARSE_AGENTIC").pipe(wait_for_batches)
    wait_for_jobs(batch)  # they may run longer than the batch, and its results may be late
    results = fetch_results(batch)
    jobs = fetch_jobs(results, usage=True)
    files = outcomes(results, jobs)
    _print(f"   {batch.batch_id[0]} is {batch.status[0]}: each file was assigned a job.")
    _print(f"   Outcomes of its {format_count(len(files), 'file')}: {_counts(files.outcome)}.")
    for message in files.job_error_message.dropna():
        _print(f"   Error of the failed file: {escape_line(message)}")
    billed = jobs.credits.dropna()  # missing until a job has been billed
    _print(
        f"   Credits of {format_count(len(billed), 'job')} billed so far: {billed.sum():,.0f}.\n"
    )


def _load_history(out: Path, limit: int | None) -> None:
    _print("2. Load all batches, files and jobs of the project.")
    batches = fetch_batches(limit=limit)
    results = fetch_results(batches)
    jobs = fetch_jobs(results)
    _print(f"   {format_count(len(batches), 'batch')}: {_counts(batches.status)}.")
    files = outcomes(results, jobs)
    final = final_outcomes(files)
    runs = f"{format_count(len(files), 'run')} of {format_count(len(final), 'file')}"
    _print(f"   {runs}: {_counts(files.outcome)}.")
    still_failing = int(failure_rates(final)["failed"].sum())
    still = f"{format_count(still_failing, 'file')} still {agree(still_failing, 'fails')}"
    _print(f"   {still}: no run succeeded.\n")

    files = add_names(files.drop(columns="source_directory_file_id"))
    _print("3. Failure rates (failed ÷ decided) with 95 % confidence intervals.")
    _print_rates(files, "configuration")
    _print(f"   The {MAX_DIRECTORIES} directories with the highest failure rates:")
    _print_rates(files, "directory", max_rows=MAX_DIRECTORIES)

    for name, frame in {"batches": batches, "results": results, "jobs": jobs}.items():
        export_parquet(frame, out / f"{name}.parquet")
    _write_chart(files, out / "failure-rates.png")


def _write_chart(files: pd.DataFrame, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained", facecolor="white")
    plot_failure_rates(files, by="configuration", freq="W", ax=figure.subplots())
    figure.savefig(path, dpi=120)


def _print_rates(files: pd.DataFrame, key: str, max_rows: int | None = None) -> None:
    # Sort by the lower bound of the interval, so that groups of few files do not come first.
    rates = failure_rates(files, by=key).sort_values("ci_low", ascending=False)[:max_rows]
    width = max((len(escape_line(name)) for name in rates[key]), default=0)
    for _, row in rates.iterrows():
        _print(f"     {escape_line(row[key]):<{width}}  {format_rate(row)}")
    _print("")


def _counts(values: pd.Series[str]) -> str:
    counts = values.value_counts(sort=False)
    return ", ".join(f"{n:,} {escape_line(str(value))}" for value, n in counts.items() if n)


def _print_next_steps(out: Path) -> None:
    _print(
        textwrap.dedent(f"""\
        4. Files in {out.resolve()}:
             batches.parquet  results.parquet  jobs.parquet  failure-rates.png

        Next, in Python or a notebook:
             import llama_batches_nb as lb
             results = lb.read_parquet("{out}/results.parquet")
             jobs = lb.read_parquet("{out}/jobs.parquet")
             files = lb.outcomes(results, jobs)
             lb.failure_rates(files, by=["configuration_id", "source_directory_id"])
             lb.plot_failure_rates(files, by="configuration_id", freq="W")
        In a checkout, `make lab` opens the notebooks in JupyterLab.""")
    )


def _print(text: str) -> None:
    print(escape_control_chars(text), flush=True)
