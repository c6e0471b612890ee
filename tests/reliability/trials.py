"""One call under one fault, and what came of it, compared with what the server really has."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

import llama_batches_nb as lb
from tests.reliability.census import nothing_left
from tests.reliability.faults import Fault
from tests.reliability.office import Office, named, project
from tests.reliability.wire import Peer, Step, whole
from tests.servers import Answer, Asked

KEY = "llx-secret"
GO_ON = re.compile(r"upload_files\(paths, source_directory_id='(.*)'\)")
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """What a call gave, against what it should have."""

    expected: int
    got: int
    lost: int
    """Rows that are missing though nothing was said. Of what could not be read, none count; of what
    was made, all that neither the answer nor the error tells of."""
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
    ask: Callable[[Office, Path], pd.DataFrame]
    rows: Callable[[Office], Rows]
    columns: tuple[str, ...]
    spoilt: Callable[[Asked], bool]
    """Whether a request is one of those that a fault which stays befalls."""
    in_order: bool = True
    makes: bool = False
    """Whether it makes something; then faults befall nothing else."""

    def __str__(self) -> str:
        return self.name


def try_out(call: Call, fault: Fault, folder: Path, *, stays: bool) -> Verdict:
    """Make the call under the fault; a fault that does not stay befalls each request once.

    Raises `AssertionError` if a thread, a socket or a temporary file is left behind.
    """
    there, retries = project(), 2 if stays else 5
    with nothing_left():
        befallen = _befallen(call, there, fault, stays=stays)
        with (
            Peer(befallen) as peer,
            lb.connect(KEY, base_url=peer.url, timeout=fault.timeout, max_retries=retries),
        ):
            return _verdict(call, there, lambda: call.ask(there, folder))


def _befallen(
    call: Call, there: Office, fault: Fault, *, stays: bool
) -> Callable[[Asked], list[Step]]:
    asked_before: set[str] = set()
    lock = threading.Lock()

    def speak(asked: Asked) -> Any:
        with lock:
            what = f"{asked.path} {asked.query} {named(asked)}"
            is_first = what not in asked_before
            asked_before.add(what)
            is_spoilt = call.spoilt(asked) if stays or call.makes else True
            is_spoilt = is_spoilt and (stays or is_first)
            if is_spoilt and call.makes and not fault.acts:
                return fault.spoil(b"")
            answer = there(asked)
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        if answer.status == 200 and is_spoilt:
            return fault.spoil(answer.content())
        return [whole(answer.content(), answer.status)]

    return speak


def _verdict(call: Call, there: Office, ask: Callable[[], pd.DataFrame]) -> Verdict:
    error: Exception | None = None
    frame: pd.DataFrame | None
    try:
        frame = ask()
    except lb.UnconfirmedCreateError as unclear:
        error, frame = unclear, unclear.candidates
    except lb.BatchesError as told:
        error, frame = told, told.partial
    expected = call.rows(there)
    found = [] if frame is None else _rows(frame, call.columns)
    verdict = compare(expected, found, in_order=call.in_order)
    must_tell = call.makes or error is None
    return replace(verdict, error=error, lost=verdict.lost if must_tell else 0)


def compare(expected: Rows, found: Rows, *, in_order: bool = True) -> Verdict:
    """Compare the rows found with those expected."""
    twice = Counter(found) - Counter(expected)
    doubled = sum(twice[row] for row in twice if row in set(expected))
    strange = sum(twice.values()) - doubled
    if in_order and not (doubled or strange):
        left = iter(expected)
        strange = sum(row not in left for row in found)  # a subsequence of what there is
    lost = sum((Counter(expected) - Counter(found)).values())
    return Verdict(len(expected), len(found), lost, doubled, strange, error=None)


def _rows(frame: pd.DataFrame, columns: tuple[str, ...]) -> Rows:
    texts = frame[list(columns)].astype(object)
    return list(texts.where(texts.notna(), "").itertuples(index=False, name=None))


# --- the calls ----------------------------------------------------------------------------------


def _batches(there: Office) -> Rows:
    return [(name, there.batches[name]["status"]) for name in reversed(there.batches)]


def _results(there: Office) -> Rows:
    return [
        (name, one["source_directory_file_id"], (one["job_reference"] or {}).get("id", ""))
        for name in reversed(there.batches)
        for one in there.batches[name]["results"]
    ]


def _jobs(there: Office) -> Rows:
    jobs = [job for _, _, job in _results(there) if job]
    return [(job, there.jobs[job]["status"]) for job in jobs]


def _is_page_two(asked: Asked) -> bool:
    return asked.one("page_token") == "4"


def _is_batch_five(asked: Asked) -> bool:
    return asked.path.endswith("/bat-005")


def _ids(there: Office) -> list[str]:
    return list(reversed(there.batches))


def _references(there: Office) -> pd.DataFrame:
    jobs = [job for job, _ in _jobs(there)]
    return pd.DataFrame({"job_id": jobs, "job_type": "parse_v2"})


def _sync(there: Office, folder: Path) -> pd.DataFrame:
    """Bring a folder up to date, and read what lies there, whatever happened."""
    try:
        lb.sync_dataset(folder, jobs=True, progress=False)
    except lb.BatchesError as error:
        error.partial = None
        with suppress(lb.DatasetError):
            error.partial = lb.read_dataset(folder)
        raise
    return lb.read_dataset(folder)


def _is_post(asked: Asked) -> bool:
    return asked.method == "POST"


def _is_upload_of_b(asked: Asked) -> bool:
    return named(asked) == "b.txt"


def _create(there: Office, _: Path) -> pd.DataFrame:
    return lb.create_batch("dir-0", "cfg-PARSE_AGENTIC")


def _made(there: Office) -> Rows:
    return [(name,) for name in there.made]


def _upload(there: Office, folder: Path) -> pd.DataFrame:
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text(name)
    try:
        return lb.upload_files(folder, progress=False)
    except lb.BatchesError as error:
        if found := GO_ON.search(str(error)):  # what it does not name may be there by now
            error.partial = lb.fetch_files(found[1], progress=False)
        raise


def _uploaded(there: Office) -> Rows:
    return [
        (directory, file["display_name"])
        for directory in there.directories
        for file in there.files[directory]
        if directory != "dir-0"
    ]


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
    Call("create_batch", _create, _made, ("batch_id",), _is_post, makes=True),
    Call(
        "upload_files",
        _upload,
        _uploaded,
        ("source_directory_id", "display_name"),
        _is_upload_of_b,
        in_order=False,
        makes=True,
    ),
]
