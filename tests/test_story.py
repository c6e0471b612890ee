"""What the sandbox's history holds is found: every file accounted for, and who got worse, when."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.state.history import DRIFT_DAYS

NOW = datetime(2026, 8, 5, 12, tzinfo=UTC)


def test_sample_history_adds_up_and_its_worse_configuration_is_found() -> None:
    with lb.sandbox(speed=0, now=NOW) as box:
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
    changes = lb.rate_changes(files, by="configuration")
    assert changes.configuration.tolist() == ["Cost effective"]
    assert (changes.rate_after > 2 * changes.rate_before).all()
    start = pd.Timestamp(NOW) - pd.Timedelta(days=DRIFT_DAYS)
    assert ((changes.since - start).abs() < pd.Timedelta(days=9)).all()
    month = files[files.batch_created_at > files.batch_created_at.max() - pd.Timedelta(days=28)]
    rates = lb.failure_rates(month, by="configuration").set_index("configuration")
    assert rates.failure_rate.idxmax() == "Cost effective"
    assert (rates.ci_low["Cost effective"] > rates.ci_high.drop("Cost effective")).all()
