"""The main job from end to end, in a terminal: run a batch, read a project's history, keep it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from llama_batches_nb.analysis.outcomes import outcomes
from llama_batches_nb.analysis.rates import failure_rates, format_rate
from llama_batches_nb.dataset.export import export_parquet
from llama_batches_nb.fetch.batches import fetch_batches
from llama_batches_nb.fetch.directories import fetch_configurations, fetch_directories
from llama_batches_nb.fetch.jobs import fetch_jobs
from llama_batches_nb.fetch.results import fetch_results
from llama_batches_nb.http.client import connect
from llama_batches_nb.lifecycle.create import create_batch
from llama_batches_nb.lifecycle.upload import upload_files
from llama_batches_nb.lifecycle.wait import wait_for_batches
from llama_batches_nb.messages import escape_control_chars
from llama_batches_nb.plotting.failure_rates import plot_failure_rates
from llama_batches_nb.sandbox_server import sandbox

SPEED = 20.0  # times as fast as real, so that the batch ends while one looks on
INVOICE = "Invoice {n}\nDelivery of {n} boxes of paper\nTotal: {n}0.50 EUR\n"
N_WORST = 5  # directories to print


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.description = "Run the main job end to end, on the embedded sandbox or for real."
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder for what it writes (demo)"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="read from the real service with LLAMA_CLOUD_API_KEY; creates nothing there",
    )
    parser.add_argument("--limit", type=int, help="the most batches to read")


def run(arguments: argparse.Namespace) -> int:
    """Do the job, say what happens, and return the exit code."""
    out: Path = arguments.out
    with ExitStack() as stack:
        if arguments.live:
            client = connect()
            _print(f"Reading from {client.base_url}. Nothing is created there.")
        else:
            _print("Starting a sandbox: a LlamaCloud of your own, on this machine …")
            box = stack.enter_context(sandbox(speed=SPEED))
            _print(f"It listens at {box.url}, with a made-up history of four months.\n")
        out.mkdir(parents=True, exist_ok=True)
        if not arguments.live:
            _run_a_batch()
        _read_the_history(out, arguments.limit)
    _print_next_steps(out)
    return 0


def _run_a_batch() -> None:
    _print("1. A batch from a folder of files: upload, create, wait.")
    with tempfile.TemporaryDirectory() as folder:
        for n in range(1, 9):
            text = "corrupt" if n == 5 else INVOICE.format(n=n)
            Path(folder, f"invoice-{n}.txt").write_text(text)
        batch = upload_files(folder).pipe(create_batch, "cfg-PARSE_AGENTIC").pipe(wait_for_batches)
    results = fetch_results(batch)
    files = outcomes(results, fetch_jobs(results))
    _print(f"   {batch.batch_id[0]} is {batch.status[0]}, which says that each file got a job.")
    _print(f"   What became of the {len(files)} files: {_counts(files.outcome)}.")
    for message in files.job_error_message.dropna():
        _print(f"   The failed one: {message}\n")


def _read_the_history(out: Path, limit: int | None) -> None:
    _print("2. Every batch, every file and every job of the project.")
    batches = fetch_batches(limit=limit)
    results = fetch_results(batches)
    jobs = fetch_jobs(results)
    _print(f"   {len(batches):,} batches: {_counts(batches.status)}.")
    files = outcomes(results, jobs)
    _print(f"   {len(files):,} files: {_counts(files.outcome)}.\n")

    configurations = fetch_configurations()[["configuration_id", "name"]]
    directories = fetch_directories()[["source_directory_id", "name"]]
    _print("3. How often files fail: failed ÷ decided, with the 95 % interval.")
    _print_rates(files, "configuration_id", configurations)
    _print(f"   The worst {N_WORST} directories:")
    _print_rates(files, "source_directory_id", directories, most=N_WORST)

    for name, frame in {"batches": batches, "results": results, "jobs": jobs}.items():
        export_parquet(frame, out / f"{name}.parquet")
    _draw(files, configurations, out / "failure-rates.png")


def _draw(files: pd.DataFrame, names: pd.DataFrame, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained", facecolor="white")
    named = _with_names(files, "configuration_id", names).rename(columns={"name": "configuration"})
    plot_failure_rates(named, by="configuration", freq="W", ax=figure.subplots())
    figure.savefig(path, dpi=120)


def _with_names(frame: pd.DataFrame, key: str, names: pd.DataFrame) -> pd.DataFrame:
    """Add the name of each id, which stands for itself where it has none."""
    named = frame.merge(names, on=key, how="left")
    return named.assign(name=named["name"].fillna(named[key]))


def _print_rates(
    files: pd.DataFrame, key: str, names: pd.DataFrame, most: int | None = None
) -> None:
    rates = _with_names(failure_rates(files, by=key), key, names)
    # By the lower end of the interval, so that a handful of files does not lead the list.
    worst = rates.sort_values("ci_low", ascending=False)[:most]
    width = max(map(len, worst["name"]), default=0)
    for _, row in worst.iterrows():
        _print(f"     {row['name']:<{width}}  {format_rate(row)}")
    _print("")


def _counts(words: pd.Series[str]) -> str:
    counts = words.value_counts(sort=False)
    return ", ".join(f"{n:,} {word}" for word, n in counts.items() if n)


def _print_next_steps(out: Path) -> None:
    _print(
        textwrap.dedent(f"""\
        4. Kept in {out.resolve()}:
             batches.parquet  results.parquet  jobs.parquet  failure-rates.png

        What to type next, in Python or a notebook:
             import llama_batches_nb as lb
             results = lb.read_parquet("{out}/results.parquet")
             jobs = lb.read_parquet("{out}/jobs.parquet")
             files = lb.outcomes(results, jobs)
             lb.failure_rates(files, by=["configuration_id", "source_directory_id"])
             lb.plot_failure_rates(files, by="configuration_id", freq="W")
        or `make lab` for the tour in JupyterLab.""")
    )


def _print(text: str) -> None:
    print(escape_control_chars(text), flush=True)
    sys.stderr.flush()
