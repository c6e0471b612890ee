"""One call under one fault, and what came of it, compared with what the server really has."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import llama_batches_nb as lb
from tests.reliability.census import nothing_left
from tests.reliability.faults import Fault
from tests.reliability.wire import Peer, Step, whole
from tests.servers import Answer, Asked
from tests.test_syncing import World

KEY = "llx-secret"
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """What a call gave, against what it should have."""

    expected: int
    got: int
    lost: int
    """Rows that are missing though nothing was said; of what an error carries, none count."""
    doubled: int
    strange: int
    """Rows that the server does not have, or not in this order."""
    error: Exception | None

    @property
    def whole(self) -> bool:
        """Whether all rows came, once each and in order."""
        return self.error is None and self.got == self.expected and self.sound

    @property
    def sound(self) -> bool:
        """Whether nothing is lost, doubled or strange."""
        return not (self.lost or self.doubled or self.strange)


@dataclass(frozen=True)
class Call:
    """What a user asks for, and the rows of the answer."""

    name: str
    ask: Callable[[World, Path], pd.DataFrame]
    rows: Callable[[World], Rows]
    columns: tuple[str, ...]
    spoilt: Callable[[Asked], bool]
    """Whether a request is one of those that a fault which stays befalls."""
    in_order: bool = True


def world() -> World:
    """Return a project of three pages of batches."""
    there = World()
    for n in range(10):
        there.add(files=n % 4)
    return there


def try_out(call: Call, fault: Fault, folder: Path, *, stays: bool) -> Verdict:
    """Make the call under the fault; a fault that does not stay befalls each request once.

    Raises `AssertionError` if a thread, a socket or a temporary file is left behind.
    """
    there, retries = world(), 2 if stays else 5
    with nothing_left():
        befallen = _befallen(call, there, fault, stays=stays)
        with (
            Peer(befallen) as peer,
            lb.connect(KEY, base_url=peer.url, timeout=fault.timeout, max_retries=retries),
        ):
            return _verdict(call, there, lambda: call.ask(there, folder))


def _befallen(
    call: Call, there: World, fault: Fault, *, stays: bool
) -> Callable[[Asked], list[Step]]:
    asked_before: set[str] = set()
    lock = threading.Lock()

    def speak(asked: Asked) -> Any:
        with lock:
            what = f"{asked.path} {asked.query}"
            is_first = what not in asked_before
            asked_before.add(what)
            answer = there(asked)
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        if answer.status == 200 and (call.spoilt(asked) if stays else is_first):
            return fault.spoil(answer.content())
        return [whole(answer.content(), answer.status)]

    return speak


def _verdict(call: Call, there: World, ask: Callable[[], pd.DataFrame]) -> Verdict:
    error: Exception | None = None
    frame: pd.DataFrame | None
    try:
        frame = ask()
    except lb.BatchesError as told:
        error, frame = told, told.partial
    expected = call.rows(there)
    found = [] if frame is None else _rows(frame, call.columns)
    return compare(expected, found, error, in_order=call.in_order)


def compare(
    expected: Rows, found: Rows, error: Exception | None, *, in_order: bool = True
) -> Verdict:
    """Compare the rows found with those expected."""
    twice = Counter(found) - Counter(expected)
    doubled = sum(twice[row] for row in twice if row in set(expected))
    strange = sum(twice.values()) - doubled
    if in_order and not (doubled or strange):
        left = iter(expected)
        strange = sum(row not in left for row in found)  # a subsequence of what there is
    missing = sum((Counter(expected) - Counter(found)).values())
    return Verdict(len(expected), len(found), 0 if error else missing, doubled, strange, error)


def _rows(frame: pd.DataFrame, columns: tuple[str, ...]) -> Rows:
    texts = frame[list(columns)].astype(object)
    return list(texts.where(texts.notna(), "").itertuples(index=False, name=None))


# --- the calls ----------------------------------------------------------------------------------


def _batches(there: World) -> Rows:
    return [(name, there.batches[name]["status"]) for name in reversed(there.batches)]


def _results(there: World) -> Rows:
    return [
        (name, one["source_directory_file_id"], (one["job_reference"] or {}).get("id", ""))
        for name in reversed(there.batches)
        for one in there.batches[name]["results"]
    ]


def _jobs(there: World) -> Rows:
    jobs = [job for _, _, job in _results(there) if job]
    return [(job, there.jobs[job]["status"]) for job in jobs]


def _is_page_two(asked: Asked) -> bool:
    return asked.one("page_token") == "4"


def _is_batch_five(asked: Asked) -> bool:
    return asked.path.endswith("/bat-005")


def _ids(there: World) -> list[str]:
    return list(reversed(there.batches))


def _references(there: World) -> pd.DataFrame:
    jobs = [job for job, _ in _jobs(there)]
    return pd.DataFrame({"job_id": jobs, "job_type": "parse_v2"})


def _sync(there: World, folder: Path) -> pd.DataFrame:
    """Bring a folder up to date, and read what lies there, whatever happened."""
    try:
        lb.sync_dataset(folder, jobs=True, progress=False)
    except lb.BatchesError as error:
        error.partial = None
        with suppress(lb.DatasetError):
            error.partial = lb.read_dataset(folder)
        raise
    return lb.read_dataset(folder)


RESULT = ("batch_id", "source_directory_file_id", "job_id")
CALLS = [
    Call(
        "fetch_batches",
        lambda there, _: lb.fetch_batches(progress=False),
        _batches,
        ("batch_id", "status"),
        _is_page_two,
    ),
    Call(
        "fetch_results",
        lambda there, _: lb.fetch_results(_ids(there), progress=False),
        _results,
        RESULT,
        _is_batch_five,
    ),
    Call(
        "fetch_jobs",
        lambda there, _: lb.fetch_jobs(_references(there), progress=False),
        _jobs,
        ("job_id", "status"),
        lambda asked: True,
    ),
    Call("sync_dataset", _sync, _results, RESULT, _is_batch_five, in_order=False),
]
