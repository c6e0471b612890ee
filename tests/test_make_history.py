"""`make_history.py` writes the dataset that a sync of the sandbox would write."""

from __future__ import annotations

import dataclasses
import importlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.dataset.read import TableName
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

OPTIONS = Options(
    batches=90,
    files=(1, 150),
    days=60,
    speed=0,
    now=datetime(2026, 11, 1, tzinfo=UTC),
    job_delay=0,
    results_delay=0,
    billing_delay=0,
    usage_in_lists=True,
)
KEYS: dict[TableName, list[str]] = {
    "batches": ["batch_id"],
    "results": ["batch_id", "source_directory_file_id"],
    "jobs": ["job_id"],
}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "notebooks")
    return importlib.import_module("make_history")


def rows(path: Path, table: TableName) -> pd.DataFrame:
    return lb.read_dataset(path, table).sort_values(KEYS[table], ignore_index=True)


def test_history_equals_synced_dataset(script: Any, tmp_path: Path) -> None:
    made, synced = tmp_path / "made", tmp_path / "synced"
    with (
        Server.start(OPTIONS, thread=True) as server,
        lb.connect(server.api_key, base_url=server.url),
    ):
        script.write(str(made), OPTIONS)
        fresh = lb.sync_dataset(synced, jobs=True, names=False, progress=False)
        again = lb.sync_dataset(made, jobs=True, names=False, progress=False)
    assert (again.new, again.open) == (0, fresh.open)
    assert again.total == fresh.total
    assert not any(again.added.values())
    for table in KEYS:
        pd.testing.assert_frame_equal(rows(made, table), rows(synced, table))


def test_options_give_about_requested_number_of_rows(script: Any) -> None:
    options = script.options_for(100_000, seed=3)
    files = sum(
        b.file_count for b in script.SandboxState(options).batches if b.final_status != "FAILED"
    )
    assert files == pytest.approx(100_000, rel=0.15)
    assert options == script.options_for(100_000, seed=3)


def test_existing_dataset_or_folder_is_not_replaced(script: Any, tmp_path: Path) -> None:
    lone = dataclasses.replace(OPTIONS, batches=1)
    script.write(str(tmp_path / "new"), lone)
    before = rows(tmp_path / "new", "batches")
    with pytest.raises(FileExistsError, match="already holds a dataset"):
        script.write(str(tmp_path / "new"), lone)
    pd.testing.assert_frame_equal(rows(tmp_path / "new", "batches"), before)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="holds other files"):
        script.write(str(tmp_path), lone)
