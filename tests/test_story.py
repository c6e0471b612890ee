"""What the sandbox's history holds is found: every file accounted for, and who got worse, when."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

import llama_batches_nb as lb
from llama_batches_nb.analysis.changes import significant_increases


def test_sample_history_adds_up_and_its_worse_configuration_is_found() -> None:
    with lb.sandbox(speed=0, now=datetime(2026, 8, 5, 12, tzinfo=UTC)) as box:
        batches = lb.fetch_batches(client=box.client)
        results = lb.fetch_results(batches, client=box.client)
        jobs = lb.fetch_jobs(results, client=box.client)
        names = lb.fetch_configurations(client=box.client).set_index("configuration_id").name
    files = lb.outcomes(results, jobs)
    ledger = lb.ledger(files, by="batch_id").set_index("batch_id")
    assert ledger.rows.equals(results.groupby("batch_id").size().astype("int64").rename("rows"))
    words = ["mapping_error", "no_job", "succeeded", "job_failed", "job_cancelled", "job_running"]
    assert (ledger[[*words, "job_unknown"]].sum(axis=1) == ledger.rows).all()

    files = files.assign(configuration=files.configuration_id.map(names))
    weekly = lb.failure_rates(files, by="configuration", freq="W")
    risen = weekly[significant_increases(weekly, "batch_created_at", ["configuration"])]
    last = risen[risen.batch_created_at > files.batch_created_at.max() - pd.Timedelta(days=60)]
    assert "Cost effective" in set(last.configuration)
    month = files[files.batch_created_at > files.batch_created_at.max() - pd.Timedelta(days=28)]
    rates = lb.failure_rates(month, by="configuration").set_index("configuration")
    assert rates.failure_rate.idxmax() == "Cost effective"
    assert (rates.ci_low["Cost effective"] > rates.ci_high.drop("Cost effective")).all()
