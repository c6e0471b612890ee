"""The steps of the official example of batches, with the official SDK."""

from __future__ import annotations

from collections import Counter
from typing import Any

from llama_cloud import LlamaCloud

from llama_batches_nb.sandbox_server.process import Server

from .conftest import Start

FILES = {"paper.pdf": b"%PDF", "sheet.xlsx": b"PK", "damaged.pdf": b"corrupt", "setup.exe": b"MZ"}
TERMINAL = {"COMPLETED", "FAILED", "CANCELLED"}


def run_example(server: Server, api: LlamaCloud) -> tuple[str, dict[str, str]]:
    """Run a batch from configuration to jobs; return its id and each file's outcome."""
    saved = api.configurations.create(
        name="Batch example",
        parameters={"product_type": "parse_v2", "tier": "cost_effective", "version": "latest"},
    )
    directory = api.beta.directories.create(name="batch-example", type="ephemeral")
    names = {}
    for name, content in FILES.items():
        upload = api.beta.directories.files.upload
        names[upload(directory.id, upload_file=(name, content)).id] = name
    job: Any = {"type": "parse_v2", "configuration_id": saved.id}
    batch = api.batches.create(source_directory_id=directory.id, config={"job": job})
    while api.batches.get(batch.id).status not in TERMINAL:
        server.advance(10)
    server.advance(3600)  # results, references and jobs may be later than the batch
    outcomes = {}
    for result in api.batches.get(batch.id, expand=["results"]).results or []:
        outcome = "mapping error" if result.error_message else "no job"
        if result.job_reference:
            outcome = api.parsing.get(result.job_reference.id).job.status
        outcomes[names[result.source_directory_file_id]] = outcome
    return batch.id, outcomes


def test_official_example_runs_twice_against_one_sandbox(start: Start) -> None:
    server, api = start()
    runs = [run_example(server, api) for _ in range(2)]
    expected = {
        "paper.pdf": "COMPLETED",
        "sheet.xlsx": "COMPLETED",
        "damaged.pdf": "FAILED",
        "setup.exe": "mapping error",
    }
    assert [outcomes for _, outcomes in runs] == [expected, expected]
    assert len({batch for batch, _ in runs}) == 2
    names = Counter(each.name for each in api.beta.directories.list())
    assert names["batch-example"] == 2
    assert len(api.configurations.list(name="Batch example").items) == 1
