"""Find the rise of one configuration in the sandbox's histories of several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pandas as pd

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.state.history import DRIFT_DAYS

NOW = datetime(2026, 8, 5, 12, tzinfo=UTC)
DRIFT_START = pd.Timestamp(NOW) - pd.Timedelta(days=DRIFT_DAYS)
WORSE = "Cost effective"  # the configuration whose failure rate rises


def weekly_rates(seed: int) -> pd.DataFrame:
    """Return the weekly failure rates by configuration of a sandbox with this seed."""
    with lb.sandbox(seed=seed, speed=0, now=NOW) as box:
        results = lb.fetch_results(client=box.client, progress=False)
        jobs = lb.fetch_jobs(results, client=box.client, progress=False)
        names = lb.fetch_configurations(client=box.client, progress=False)
    files = lb.outcomes(results, jobs)
    by_id = names.set_index("configuration_id")["name"]
    files = files.assign(configuration=files["configuration_id"].map(by_id))
    return lb.failure_rates(files, by="configuration", freq="W")


def main(seeds: Iterable[int]) -> None:
    """Print, per seed, when `rate_changes` dates the rise, and the other marks."""
    found, false = 0, 0
    print(f"The rate of {WORSE} rises from {DRIFT_START:%d %B} on.")
    print("| seed | since | days from the start | z | before | after | other marks |")
    print("| --: | --- | --: | --: | --: | --: | --- |", flush=True)
    for seed in seeds:
        changes = lb.rate_changes(weekly_rates(seed))
        is_right = changes["configuration"].eq(WORSE) & changes["z"].gt(0)
        others = ", ".join(changes.loc[~is_right, "configuration"]) or "none"
        false += int((~is_right).sum())
        for _, row in changes[is_right].iterrows():
            found += 1
            days = (row["since"] - DRIFT_START) / pd.Timedelta(days=1)
            print(
                f"| {seed} | {row['since']:%d %B} | {days:+.1f} | {row['z']:.1f} "
                f"| {row['rate_before']:.3f} | {row['rate_after']:.3f} | {others} |",
                flush=True,
            )
        if not is_right.any():
            print(f"| {seed} | not found | | | | | {others} |", flush=True)
    print(f"\n{found} rises found, {false} other marks.")
