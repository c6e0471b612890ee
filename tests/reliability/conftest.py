"""A separate folder for temporary files, and short pauses."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from llama_batches_nb.http import rate_limit, transport
from llama_batches_nb.lifecycle import lost_response, polling


@pytest.fixture(autouse=True)
def _own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


def shorten_pauses(patch: pytest.MonkeyPatch) -> None:
    """Shorten pauses before retries and between polls, and how long polls may fail."""
    patch.setattr(polling, "MIN_INTERVAL", 0.01)
    patch.setattr(polling, "MAX_POLL_OUTAGE", 2.0)
    patch.setattr(transport, "FIRST_BACKOFF", 0.01)
    patch.setattr(rate_limit, "MAX_BACKOFF", 0.01)
    patch.setattr(lost_response, "RECOVERY_DELAYS", (0.0, 0.01, 0.01))
