"""Results that do not fit in memory together are requested a few at a time."""

from __future__ import annotations

import threading

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import concurrent
from llama_batches_nb.http.concurrent import iter_completed
from llama_batches_nb.http.progress import progress_bar


@pytest.mark.parametrize("size", [1, 100, 1000, 5000])
def test_large_results_are_few_at_a_time(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(concurrent, "MAX_OPEN_BYTES", 4000)
    lock, n_held, most = threading.Lock(), 0, 0

    def fetch(item: int) -> bytes:
        nonlocal n_held, most
        with lock:
            n_held += 1
            most = max(most, n_held)
        return b"x" * size

    with (
        lb.connect("llx-secret", base_url="http://127.0.0.1:9", max_workers=8) as client,
        progress_bar(False, "test", unit="file") as bar,
    ):
        seen = []
        for results in iter_completed(fetch, range(100), client=client, progress=bar, nbytes=len):
            seen += [index for index, _, _ in results]
            with lock:
                n_held -= len(results)
    assert sorted(seen) == [*range(100)]
    allowed = max(concurrent.FIRST_OPEN, 4000 // size)
    waiting = max(1, min(concurrent.DECODE_BATCH_SIZE, allowed // 4))
    assert most <= min(4 * 8, allowed) + waiting
