"""Temporary files that can be counted, and pauses that are short."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from llama_batches_nb import creating, pacing, transport


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(pacing, "LONGEST_BACKOFF", 0.01)
    monkeypatch.setattr(creating, "LOOKS", (0.0, 0.01, 0.01))
