"""Run one function under one fault and compare the result with the server's data."""

from __future__ import annotations

import re
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

import llama_batches_nb as lb
from tests.fake_api import FakeApi, uploaded_name
from tests.reliability.faults import Fault
from tests.reliability.leaks import no_leaks
from tests.reliability.raw_server import RawServer, Step, response
from tests.servers import Request, Response

KEY = "llx-secret"
RESUME_HINT = re.compile(r"upload_files\(paths, source_directory_id='(.*)'\)")
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """The result of a call, compared with the expected rows."""

    expected: int
    got: int
    lost: int
    """Rows that are missing without an error. For calls that write: all objects that the server
    created and that neither the result nor the error contains."""
    duplicated: int
    unexpected: int
    """Rows that the server does not have, or rows out of order."""
    error: Exception | None

    @property
    def whole(self) -> bool:
        """Whether all rows arrived, once each and in order."""
        return self.error is None and self.got == self.expected and self.sound

    @property
    def sound(self) -> bool:
        """Whether no row is lost, duplicated or unexpected."""
        return not (self.lost or self.duplicated or self.unexpected)


@dataclass(frozen=True)
class Call:
    """A call of a public function, and the rows it should return."""

    name: str
    ask: Callable[[FakeApi, Path], pd.DataFrame]
    rows: Callable[[FakeApi], Rows]
    columns: tuple[str, ...]
    is_target: Callable[[Request], bool]
    """Whether a persistent fault applies to a request."""
    in_order: bool = True
    writes: bool = False
    """Whether the call creates something; faults then apply only to these requests."""
    tolerant: bool = False
    """Whether the call ignores fields that it does not need, and so a fault in one of them. Faults
    then apply only to these requests as well."""

    def __str__(self) -> str:
        return self.name


def run_trial(call: Call, fault: Fault, folder: Path, *, persistent: bool) -> Verdict:
    """Make the call under the fault; a fault that does not stay befalls each request once.

    Raises `AssertionError` if a thread, a socket or a temporary file is left behind.
    """
    api, retries = _fake_api(), 2 if persistent else 5
    with no_leaks():
        responses = _faulty_responses(call, api, fault, persistent=persistent)
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),  # of values left out
            RawServer(responses) as server,
            lb.connect(KEY, base_url=server.url, timeout=fault.timeout, max_retries=retries),
        ):
            return _verdict(call, api, lambda: call.ask(api, folder))


def _faulty_responses(
    call: Call, api: FakeApi, fault: Fault, *, persistent: bool
) -> Callable[[Request], list[Step]]:
    asked_before: set[str] = set()
    lock = threading.Lock()

    def respond(request: Request) -> Any:
        with lock:
            what = f"{request.path} {request.query} {uploaded_name(request)}"
            is_first = what not in asked_before
            asked_before.add(what)
            is_limited = persistent or call.writes or call.tolerant
            is_faulty = call.is_target(request) if is_limited else True
            is_faulty = is_faulty and (persistent or is_first)
            if is_faulty and call.writes and not fault.executes:
                return fault.corrupt(b"")
            answer = api(request)
        if not isinstance(answer, Response):
            answer = Response(answer)
        if answer.status == 200 and is_faulty:
            return fault.corrupt(answer.content())
        return [response(answer.content(), answer.status)]

    return respond


def _verdict(call: Call, api: FakeApi, ask: Callable[[], pd.DataFrame]) -> Verdict:
    error: Exception | None = None
    frame: pd.DataFrame | None
    try:
        frame = ask()
    except lb.UnconfirmedCreateError as unclear:
        error, frame = unclear, unclear.candidates
    except lb.BatchesError as raised:
        error, frame = raised, raised.partial
    expected = call.rows(api)
    found = [] if frame is None else _rows(frame, call.columns)
    verdict = compare(expected, found, in_order=call.in_order)
    must_report = call.writes or error is None
    return replace(verdict, error=error, lost=verdict.lost if must_report else 0)


def compare(expected: Rows, found: Rows, *, in_order: bool = True) -> Verdict:
    """Compare the rows found with those expected."""
    twice = Counter(found) - Counter(expected)
    duplicated = sum(twice[row] for row in twice if row in set(expected))
    unexpected = sum(twice.values()) - duplicated
    if in_order and not (duplicated or unexpected):
        left = iter(expected)
        unexpected = sum(row not in left for row in found)  # a subsequence of what there is
    lost = sum((Counter(expected) - Counter(found)).values())
    return Verdict(len(expected), len(found), lost, duplicated, unexpected, error=None)


def _rows(frame: pd.DataFrame, columns: tuple[str, ...]) -> Rows:
    texts = frame.reindex(columns=list(columns)).astype(object)  # without rows no fields are known
    return list(texts.where(texts.notna(), "").itertuples(index=False, name=None))


def _fake_api() -> FakeApi:
    """Return a project of three pages of batches."""
    api = FakeApi({"dir-0": 1}, page_size=4)
    for n in range(10):
        api.add(files=n % 4)
    return api


# --- the calls ----------------------------------------------------------------------------------


def _batches(api: FakeApi) -> Rows:
    return [(name, api.batches[name]["status"]) for name in reversed(api.batches)]


def _results(api: FakeApi) -> Rows:
    return [
        (name, one["source_directory_file_id"], (one["job_reference"] or {}).get("id", ""))
        for name in reversed(api.batches)
        for one in api.batches[name]["results"]
    ]


def _jobs(api: FakeApi) -> Rows:
    jobs = [job for _, _, job in _results(api) if job]
    return [(job, api.jobs[job]["status"]) for job in jobs]


def _is_page_two(request: Request) -> bool:
    return request.param("page_token") == "4"


def _is_batch_five(request: Request) -> bool:
    return request.path.endswith("/bat-005")


def _ids(api: FakeApi) -> list[str]:
    return list(reversed(api.batches))


def _references(api: FakeApi) -> pd.DataFrame:
    jobs = [job for job, _ in _jobs(api)]
    return pd.DataFrame({"job_id": jobs, "job_type": "parse_v2"})


def _sync(api: FakeApi, folder: Path) -> pd.DataFrame:
    """Update a dataset and read it, also after an error."""
    try:
        lb.sync_dataset(folder, jobs=True, names=False, progress=False)
    except lb.BatchesError as error:
        error.partial = None
        with suppress(lb.DatasetError):
            error.partial = lb.read_dataset(folder)
        raise
    return lb.read_dataset(folder)


def _is_first_job(request: Request) -> bool:
    return request.path.endswith("/pjb-9-0")


def _outputs(api: FakeApi) -> Rows:
    return [(job, f"# {job}") for job, _ in _jobs(api)]


def _job_ids(api: FakeApi) -> Rows:
    return [(job,) for job, _ in _jobs(api)]


def _sync_outputs(api: FakeApi, folder: Path) -> pd.DataFrame:
    """Update a dataset of pages and read it, also after an error."""
    try:
        lb.sync_dataset(folder, outputs="markdown", names=False, progress=False)
    except lb.BatchesError as error:
        error.partial = None
        with suppress(lb.DatasetError):
            error.partial = lb.read_dataset(folder, "pages")
        raise
    return lb.read_dataset(folder, "pages")


def _is_post(request: Request) -> bool:
    return request.method == "POST"


def _is_upload_of_b(request: Request) -> bool:
    return uploaded_name(request) == "b.txt"


def _create(api: FakeApi, _: Path) -> pd.DataFrame:
    return lb.create_batch("dir-0", "cfg-PARSE_AGENTIC")


def _made(api: FakeApi) -> Rows:
    return [(name,) for name in api.created]


def _upload(api: FakeApi, folder: Path) -> pd.DataFrame:
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text(name)
    try:
        return lb.upload_files(folder, progress=False)
    except lb.BatchesError as error:
        if found := RESUME_HINT.search(str(error)):  # it may have been created by now
            error.partial = lb.fetch_files(found[1], progress=False)
        raise


def _uploaded(api: FakeApi) -> Rows:
    return [
        (directory, file["display_name"])
        for directory in api.directories
        for file in api.files[directory]
        if directory != "dir-0"
    ]


RESULT = ("batch_id", "source_directory_file_id", "job_id")
CALLS = [
    Call(
        "fetch_batches",
        lambda api, _: lb.fetch_batches(progress=False),
        _batches,
        ("batch_id", "status"),
        _is_page_two,
    ),
    Call(
        "fetch_results",
        lambda api, _: lb.fetch_results(_ids(api), progress=False),
        _results,
        RESULT,
        _is_batch_five,
    ),
    Call(
        "fetch_jobs",
        lambda api, _: lb.fetch_jobs(_references(api), progress=False),
        _jobs,
        ("job_id", "status"),
        lambda request: True,
    ),
    Call("sync_dataset", _sync, _results, RESULT, _is_batch_five, in_order=False),
    Call(
        "fetch_jobs(usage=True)",
        lambda api, _: lb.fetch_jobs(_references(api), usage=True, progress=False),
        _jobs,
        ("job_id", "status"),
        _is_first_job,
        tolerant=True,
    ),
    Call(
        "wait_for_jobs",
        lambda api, _: lb.wait_for_jobs(_references(api), progress=False),
        _jobs,
        ("job_id", "status"),
        lambda request: True,
        tolerant=True,
    ),
    Call(
        "fetch_pages",
        lambda api, _: lb.fetch_pages(_references(api), progress=False),
        _outputs,
        ("job_id", "content"),
        _is_first_job,
        tolerant=True,
    ),
    Call(
        "fetch_extractions",
        lambda api, _: lb.fetch_extractions([job for job, _ in _jobs(api)], progress=False),
        lambda api: [(job, job) for job, _ in _jobs(api)],
        ("job_id", "of"),
        _is_first_job,
        tolerant=True,
    ),
    Call(
        "save_outputs",
        lambda api, folder: lb.save_outputs(_references(api), folder, progress=False),
        _job_ids,
        ("job_id",),
        _is_first_job,
        in_order=False,
        tolerant=True,
    ),
    Call(
        "sync_dataset(outputs)",
        _sync_outputs,
        _outputs,
        ("job_id", "content"),
        _is_first_job,
        in_order=False,
        tolerant=True,
    ),
    Call(
        "add_names",
        lambda api, _: lb.add_names(
            pd.DataFrame({"source_directory_id": ["dir-0", "dir-1"]}), progress=False
        ),
        lambda api: [("dir-0", "DIR-0"), ("dir-1", "dir-1")],
        ("source_directory_id", "directory"),
        lambda request: True,
        tolerant=True,
    ),
    Call("create_batch", _create, _made, ("batch_id",), _is_post, writes=True),
    Call(
        "upload_files",
        _upload,
        _uploaded,
        ("source_directory_id", "display_name"),
        _is_upload_of_b,
        in_order=False,
        writes=True,
    ),
]
