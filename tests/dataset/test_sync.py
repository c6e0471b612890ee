"""A synced folder equals what fetching gives, also after any kill, and asks for little."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

import llama_batches_nb as lb
from llama_batches_nb.dataset import writer
from llama_batches_nb.dataset.lock import acquire_lock
from llama_batches_nb.dataset.read import open_dataset, read_dataset
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.dataset.sync import SyncReport, sync_dataset
from llama_batches_nb.errors import DatasetError, DatasetLockedError
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.conftest import Serve
from tests.servers import Answer, Asked, Server, batch, interrupt, mapping, page

START = datetime(2025, 8, 1, tzinfo=UTC)  # long ago, for what a sync makes of the future
ENDS = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass
class World:
    """A small LlamaCloud whose batches and jobs do as a test says, and that counts requests."""

    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    page_size: int = 4
    broken: set[str] = field(default_factory=set)
    broken_status: int = 400
    short_by: int = 0
    ignores_times: bool = False

    def add(self, status: str = "COMPLETED", *, files: int = 2, hours: float | None = None) -> str:
        """Create a batch, an hour after the one before unless told otherwise."""
        n = len(self.batches)
        name = f"bat-{n:03}"
        created = START + timedelta(hours=n if hours is None else hours)
        results = [mapping(f"dfl-{n}-{f}", f"pjb-{n}-{f}") for f in range(files)]
        results += [mapping(f"dfl-{n}-x", None, "no such file")]
        self.batches[name] = batch(
            name,
            status,
            created_at=created.isoformat(),
            source_directory_id=f"dir-{n % 2}",
            results=results,
        )
        for f in range(files):
            self.jobs[f"pjb-{n}-{f}"] = {"id": f"pjb-{n}-{f}", "status": "COMPLETED"}
        return name

    def end(self, name: str, status: str = "COMPLETED") -> None:
        self.batches[name]["status"] = status

    def __call__(self, asked: Asked) -> Any:
        kind = asked.path.split("/")[3]
        if kind == "parse":
            self.asked["jobs"] += len(asked.query["job_ids"])
            self.asked["job requests"] += 1
            if not self.broken.isdisjoint(asked.query["job_ids"]):
                return Answer({"detail": "broken"}, self.broken_status)
            found = [self.jobs[i] for i in asked.query["job_ids"] if i in self.jobs]
            return page(found)
        name = asked.path.rsplit("/", 1)[1]
        if name == "batches":
            self.asked["list"] += 1
            return self._list(asked)
        self.asked["get"] += 1
        if name in self.broken:
            return Answer({"detail": "broken"}, self.broken_status)
        if name not in self.batches:
            return Answer({"detail": "not here"}, 404)
        one = self.batches[name]
        return one if one["status"] in ENDS else {**one, "results": one["results"][:1]}

    def _list(self, asked: Asked) -> Any:
        after, before = asked.one("created_at_on_or_after"), asked.one("created_at_on_or_before")
        found = [
            {**one, "results": None}
            for one in list(self.batches.values())
            if asked.one("status") in (None, one["status"])
            and asked.one("source_directory_id") in (None, one["source_directory_id"])
            and (self.ignores_times or after is None or _at(one["created_at"]) >= _at(after))
            and (self.ignores_times or before is None or _at(one["created_at"]) <= _at(before))
        ]
        found.sort(key=lambda one: one["created_at"], reverse=True)
        start = int(asked.one("page_token") or 0)
        stop = start + self.page_size
        token = str(stop) if stop < len(found) else None
        return page(found[start:stop], token, total_size=len(found) + self.short_by)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def world(serve: Serve) -> World:
    """Give a world, and connect to it."""
    world = World()
    serve(world, max_retries=0)
    return world


@pytest.fixture(params=["disk", "url"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give an empty place."""
    yield str(tmp_path / "kept") if request.param == "disk" else "memory://synced/kept"
    filesystem = fsspec.filesystem("memory")
    if filesystem.exists("/synced"):
        filesystem.rm("/synced", recursive=True)


def fetched(*, jobs: bool = False, **filters: Any) -> dict[str, pd.DataFrame]:
    """Return what fetching gives, by table."""
    found = {
        "batches": lb.fetch_batches(**filters, progress=False),
        "results": lb.fetch_results(**filters, progress=False),
    }
    return {**found, "jobs": lb.fetch_jobs(found["results"], progress=False)} if jobs else found


def check(path: Any, **wanted: Any) -> None:
    """Compare a folder with what fetching gives."""
    check_is(path, fetched(**wanted))


def check_is(path: Any, truth: dict[str, pd.DataFrame]) -> None:
    """Compare a folder with frames, and its files with what it says that it has."""
    keys = {"batches": ["batch_id"], "results": ["batch_id", "source_directory_file_id"]}
    for table, expected in truth.items():
        by = keys.get(table, ["job_id"])
        found = read_dataset(path, table)
        pd.testing.assert_frame_equal(
            found.sort_values(by, ignore_index=True), expected.sort_values(by, ignore_index=True)
        )
    check_files(path)


def check_files(path: Any) -> None:
    """Check that all files that lie there count, and nothing else is there."""
    storage = Storage(path)
    tables = ["batches", "results", *(["jobs"] if has_jobs(storage) else [])]
    live = {
        name.removeprefix(storage.path(""))
        for table in tables
        for name in open_dataset(path, table).files
    }
    lie_there = {name for name in storage.names() if not name.startswith("_")}
    assert lie_there == live


def has_jobs(storage: Storage) -> bool:
    found: bool = json.loads(storage.get("_manifest.json") or b"")["jobs"]
    return found


# --- what it holds ------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [False, True])
def test_it_holds_what_fetching_gives(path: str, jobs: bool) -> None:
    options = Options(batches=40, files=(1, 60), speed=0)
    with (
        SandboxServer.start(options, thread=True) as server,
        lb.connect(server.api_key, base_url=server.url),
    ):
        report = sync_dataset(path, jobs=jobs)
        assert report.new == report.total["batches"] == 40
        check(path, jobs=jobs)
        server.advance(24 * 3600)
        report = sync_dataset(path, jobs=jobs)
        assert report.new == report.open == 0
        check(path, jobs=jobs)


def test_nothing_to_sync_is_a_dataset_too(world: World, path: str) -> None:
    report = sync_dataset(path, jobs=True)
    assert report.total == {"batches": 0, "results": 0, "jobs": 0}
    check(path, jobs=True)


def test_path_may_be_a_path(world: World, tmp_path: Path) -> None:
    world.add()
    assert sync_dataset(tmp_path / "a" / "b").path == str(tmp_path / "a" / "b")
    check(tmp_path / "a" / "b")


def test_rows_lie_in_the_order_of_the_list(world: World, path: str) -> None:
    for _ in range(30):
        world.add()
    sync_dataset(path)
    pd.testing.assert_frame_equal(read_dataset(path, "batches"), lb.fetch_batches())
    pd.testing.assert_frame_equal(read_dataset(path), lb.fetch_results())


# --- what it asks for ---------------------------------------------------------------------------


def test_second_sync_asks_only_for_what_is_new(world: World, path: str) -> None:
    for _ in range(30):
        world.add()
    assert sync_dataset(path, jobs=True).requests == 8 + 30 + 1
    assert world.asked == {"list": 8, "get": 30, "jobs": 60, "job requests": 1}
    world.asked.clear()
    sync_dataset(path, jobs=True)
    assert world.asked == {"list": 1}
    world.add()
    world.add("FAILED", files=0)
    world.asked.clear()
    report = sync_dataset(path, jobs=True)
    assert world.asked == {"list": 1, "get": 2, "jobs": 2, "job requests": 1}
    assert (report.new, report.requests) == (2, 4)
    assert report.added == {"batches": 2, "results": 4, "jobs": 2}
    check(path, jobs=True)


def test_what_was_open_is_asked_for_until_it_ends(world: World, path: str) -> None:
    world.add("RUNNING")
    for _ in range(9):
        world.add()
    world.add("PAUSED")
    assert sync_dataset(path).open == 2
    check(path)
    world.asked.clear()
    assert sync_dataset(path).open == 2
    assert world.asked == {"list": 1, "get": 2}
    world.end("bat-000")
    report = sync_dataset(path)
    assert (report.new, report.ended, report.open) == (0, 1, 1)
    check(path)
    world.end("bat-010", "CANCELLED")
    sync_dataset(path)
    world.asked.clear()
    sync_dataset(path)
    assert world.asked == {"list": 1}
    check(path)


def test_clocks_of_servers_may_differ(world: World, path: str) -> None:
    world.add(hours=10)
    sync_dataset(path)
    world.add(hours=9.5)
    assert sync_dataset(path).new == 1
    check(path)


def test_batch_from_the_future_does_not_hide_the_next(world: World, path: str) -> None:
    ahead = (datetime.now(UTC) - START) / timedelta(hours=1)
    world.add()
    world.add(hours=ahead + 10_000)
    sync_dataset(path)
    world.add(hours=ahead)
    assert sync_dataset(path).new == 1
    check(path)


def test_server_that_lists_all_whatever_the_time_doubles_nothing(world: World, path: str) -> None:
    world.ignores_times = True
    for _ in range(12):
        world.add()
    sync_dataset(path)
    world.asked.clear()
    world.add()
    assert sync_dataset(path).new == 1
    assert world.asked["get"] == 1
    check(path)


def test_batch_with_another_time_in_the_list_is_kept_once(
    world: World, serve: Serve, path: str
) -> None:
    def odd(asked: Asked) -> Any:
        answer = world(asked)
        return {**answer, "created_at": "2020-01-01T00:00:00Z"} if asked.one("expand") else answer

    serve(odd)
    for _ in range(5):
        world.add()
    sync_dataset(path)
    world.add()
    for n_new in (1, 0):
        assert sync_dataset(path).new == n_new
        check_each_once(path)
    assert len(read_dataset(path, "batches")) == 6


def test_batch_without_a_time_is_kept_once(world: World, path: str) -> None:
    world.add()
    world.batches[world.add()]["created_at"] = None
    world.ignores_times = True
    script = world._list
    world._list = lambda asked: page([*world.batches.values()])  # type: ignore[method-assign]
    sync_dataset(path)
    assert sync_dataset(path).new == 0
    check(path)
    world._list = script  # type: ignore[method-assign]


# --- jobs ---------------------------------------------------------------------------------------


def test_jobs_of_earlier_syncs_are_fetched_once_they_are_wanted(world: World, path: str) -> None:
    for _ in range(5):
        world.add()
    sync_dataset(path)
    with pytest.raises(DatasetError, match="jobs=True"):
        open_dataset(path, "jobs")
    world.asked.clear()
    assert sync_dataset(path, jobs=True).added["jobs"] == 10
    assert world.asked == {"list": 1, "jobs": 10, "job requests": 1}
    check(path, jobs=True)


def test_jobs_are_asked_for_until_they_end(world: World, path: str) -> None:
    world.add()
    world.add("RUNNING")
    world.jobs["pjb-0-1"]["status"] = "RUNNING"
    sync_dataset(path, jobs=True)
    check(path, jobs=True)
    world.asked.clear()
    sync_dataset(path, jobs=True)
    assert world.asked["jobs"] == 1
    check(path, jobs=True)
    world.jobs["pjb-0-1"]["status"] = "FAILED"
    world.end("bat-001")
    world.asked.clear()
    sync_dataset(path, jobs=True)
    assert world.asked["jobs"] == 2  # the one that ran, and the one that the batch has got now
    check(path, jobs=True)
    world.asked.clear()
    sync_dataset(path, jobs=True)
    assert world.asked["jobs"] == 0


def test_jobs_that_are_not_known_are_asked_for_once(world: World, path: str) -> None:
    world.add()
    del world.jobs["pjb-0-1"]
    report = sync_dataset(path, jobs=True)
    assert report.unknown_jobs == 1
    assert "1 jobs are not known" in str(report)
    world.asked.clear()
    assert sync_dataset(path, jobs=True).unknown_jobs == 0
    assert world.asked["jobs"] == 0


def test_sync_without_jobs_keeps_those_there_are(world: World, path: str) -> None:
    world.add("RUNNING")
    sync_dataset(path, jobs=True)
    world.end("bat-000")
    sync_dataset(path)
    assert read_dataset(path, "jobs").job_id.tolist() == ["pjb-0-0"]
    world.asked.clear()
    sync_dataset(path, jobs=True)
    assert world.asked["jobs"] == 1
    check(path, jobs=True)


# --- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filters",
    [
        {"status": "FAILED"},
        {"status": ["COMPLETED", "RUNNING"]},
        {"source_directory_id": "dir-1"},
        {"created_at_on_or_after": START + timedelta(hours=3)},
        {"created_at_on_or_before": START + timedelta(hours=3)},
    ],
    ids=str,
)
def test_filters_choose_and_may_widen(world: World, path: str, filters: dict[str, Any]) -> None:
    for n in range(12):
        world.add(["COMPLETED", "FAILED", "RUNNING"][n % 3])
    sync_dataset(path, **filters)
    check(path, **filters)
    world.end("bat-002", "FAILED")
    world.end("bat-005", "COMPLETED")
    world.add("FAILED")
    sync_dataset(path, **filters)
    check(path, **filters)
    sync_dataset(path)
    check(path)
    world.asked.clear()
    sync_dataset(path, **filters)  # what is narrower is known
    assert world.asked["list"] <= 1
    assert world.asked["get"] == 2
    check(path)


def test_window_that_moves_asks_for_little(world: World, path: str) -> None:
    for _ in range(40):
        world.add()
    sync_dataset(path, created_at_on_or_after=START + timedelta(hours=20))
    world.asked.clear()
    for hours in (21, 22, 38):
        sync_dataset(path, created_at_on_or_after=START + timedelta(hours=hours))
    assert world.asked == {"list": 3}
    sync_dataset(path, created_at_on_or_after=START + timedelta(hours=10))
    check(path, created_at_on_or_after=START + timedelta(hours=10))
    world.add(hours=100)
    sync_dataset(path, created_at_on_or_after=START + timedelta(hours=90))
    world.add(hours=50)  # in the gap that was not listed
    sync_dataset(path, created_at_on_or_after=START + timedelta(hours=10))
    check(path, created_at_on_or_after=START + timedelta(hours=10))


def test_window_that_ended_is_not_listed_again(world: World, path: str) -> None:
    for _ in range(9):
        world.add()
    sync_dataset(path)
    world.asked.clear()
    sync_dataset(path, created_at_on_or_before=START)
    assert not world.asked


def test_a_job_that_can_not_be_had_keeps_out_only_those_asked_for_with_it(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama_batches_nb.fetch.jobs.JOB_IDS_PER_REQUEST", 4)
    for _ in range(10):
        world.add()
    world.jobs["pjb-4-1"]["status"] = "RUNNING"
    world.broken = {"pjb-1-1", "pjb-7-0"}
    with pytest.raises(lb.InvalidRequestError, match="broken") as caught:
        sync_dataset(path, jobs=True)
    (note,) = caught.value.__notes__
    assert note.startswith("2 requests failed, for 4 jobs of parse_v2 such as pjb-")
    assert len(read_dataset(path, "jobs")) == 12
    world.jobs["pjb-4-1"]["status"] = "COMPLETED"
    world.broken = {"pjb-7-0"}
    world.asked.clear()
    with pytest.raises(lb.InvalidRequestError, match="broken"):
        sync_dataset(path, jobs=True)
    assert world.asked["jobs"] == 8 + 1
    assert len(read_dataset(path, "jobs")) == 16
    world.broken = set()
    sync_dataset(path, jobs=True)
    check(path, jobs=True)


def test_a_running_job_that_can_not_be_had_stays_as_it_was(world: World, path: str) -> None:
    world.add()
    world.jobs["pjb-0-1"]["status"] = "RUNNING"
    sync_dataset(path, jobs=True)
    world.jobs["pjb-0-1"]["status"] = "COMPLETED"
    world.broken = {"pjb-0-1"}
    with pytest.raises(lb.InvalidRequestError):
        sync_dataset(path, jobs=True)
    assert read_dataset(path, "jobs").status.tolist() == ["COMPLETED", "RUNNING"]
    world.broken = set()
    sync_dataset(path, jobs=True)
    check(path, jobs=True)


@pytest.mark.parametrize("wrong", [{"limit": 3}, {"colour": "red"}, {"jobs": 1}])
def test_what_it_does_not_take(world: World, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        sync_dataset(tmp_path / "kept", **wrong)
    assert not world.asked
    assert not (tmp_path / "kept").exists()


# --- what goes wrong ----------------------------------------------------------------------------


def test_batch_that_is_gone_is_left_out_with_a_warning(world: World, path: str) -> None:
    world.add("RUNNING")
    world.add()
    sync_dataset(path)
    del world.batches["bat-000"]
    with pytest.warns(UserWarning, match="bat-000"):
        report = sync_dataset(path)
    assert (report.gone, report.open) == (1, 0)
    check(path)


def test_batch_gone_between_list_and_get_is_asked_for_once_more(world: World, path: str) -> None:
    world.add()
    gone = world.batches[world.add()]
    listed = world._list
    del world.batches["bat-001"]
    world._list = lambda asked: page([gone, *listed(asked)["items"]])  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="bat-001"):
        assert sync_dataset(path).gone == 1
    world._list = listed  # type: ignore[method-assign]
    world.batches["bat-001"] = gone  # it only was not known everywhere yet
    assert sync_dataset(path).new == 1
    check(path)


@pytest.mark.parametrize("until", [None, START])
def test_server_that_has_lost_its_way_takes_no_batch_with_it(
    world: World, serve: Serve, path: str, until: datetime | None
) -> None:
    lost = False
    serve(lambda asked: Answer({"detail": "no such place"}, 404) if lost else world(asked))
    for n in range(6):
        world.add("RUNNING" if n < 3 else "COMPLETED")
    sync_dataset(path)
    truth = fetched()
    lost = True
    with pytest.raises(lb.NotFoundError):
        sync_dataset(path, created_at_on_or_before=until)
    check_is(path, truth)


def test_open_batch_that_the_list_still_knows_is_asked_for_again(world: World, path: str) -> None:
    name = world.add("RUNNING")
    sync_dataset(path)
    record, listed = world.batches.pop(name), world._list
    world._list = lambda asked: page([record])  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match=name):
        assert sync_dataset(path).gone == 1
    assert world.asked["get"] == 3
    world.batches[name], world._list = record, listed  # type: ignore[method-assign]
    assert sync_dataset(path).new == 1
    check(path)


def test_error_keeps_what_came_before(world: World, path: str) -> None:
    for _ in range(40):
        world.add()
    world.broken = {"bat-003"}
    with pytest.raises(lb.InvalidRequestError, match="broken"):
        sync_dataset(path)
    n_kept = len(read_dataset(path, "batches"))
    assert 0 < n_kept < 40
    assert read_dataset(path).batch_id.nunique() == n_kept
    world.broken.clear()
    world.asked.clear()
    sync_dataset(path)
    assert world.asked["get"] == 40 - n_kept
    check(path)


@pytest.mark.parametrize("status", [400, 500])
def test_batch_that_cannot_be_had_does_not_keep_out_the_others(
    world: World, path: str, status: int
) -> None:
    world.add("RUNNING")
    for _ in range(100):
        world.add()
    world.broken, world.broken_status = {"bat-000", "bat-099"}, status
    for n_kept in (99, 102):
        with pytest.raises(lb.BatchesError, match="broken") as caught:
            sync_dataset(path, jobs=True)
        assert caught.value.status_code == status
        assert "bat-000" in caught.value.__notes__[0]
        check_each_once(path)
        assert len(read_dataset(path, "batches")) == n_kept
        assert len(read_dataset(path, "jobs")) == 2 * n_kept
        world.asked.clear()
        for _ in range(3):
            world.add()
    world.broken.clear()
    sync_dataset(path, jobs=True)
    assert world.asked["get"] == 5
    check(path, jobs=True)


def test_server_that_fails_is_not_asked_for_every_batch(world: World, path: str) -> None:
    for _ in range(300):
        world.add()
    world.broken = set(world.batches)
    with pytest.raises(lb.InvalidRequestError, match="broken"):
        sync_dataset(path)
    assert world.asked["get"] < 150
    world.broken.clear()
    sync_dataset(path)
    check(path)


def test_answer_that_is_no_batch_does_not_keep_out_the_others(world: World, path: str) -> None:
    for _ in range(20):
        world.add()
    results, world.batches["bat-007"]["results"] = world.batches["bat-007"]["results"], [{}]
    with pytest.raises(lb.ResponseError):
        sync_dataset(path)
    assert set(world.batches) - set(read_dataset(path, "batches").batch_id) == {"bat-007"}
    world.batches["bat-007"]["results"] = results
    sync_dataset(path)
    check(path)


def test_answer_about_another_batch_is_refused(world: World, serve: Serve, path: str) -> None:
    world.add()

    def odd(asked: Asked) -> Any:
        return {**world(asked), "id": "bat-9"} if asked.one("expand") else world(asked)

    serve(odd)
    with pytest.raises(lb.ResponseError, match="'bat-9' when asked for 'bat-000'"):
        sync_dataset(path)
    assert read_dataset(path).empty


def test_list_that_is_cut_short_is_walked_again(world: World, path: str) -> None:
    for _ in range(6):
        world.add()
    world.short_by = 2
    with pytest.warns(UserWarning, match="some are missing"):
        report = sync_dataset(path)
    assert not report.complete
    assert "sync again" in str(report)
    world.short_by = 0
    world.asked.clear()
    assert sync_dataset(path).complete
    assert world.asked == {"list": 2}
    check(path)


def test_interrupt_leaves_the_last_commit(world: World, serve: Serve, path: str) -> None:
    for _ in range(5):
        world.add()
    pressed = threading.Event()

    def interrupting(asked: Asked) -> Any:
        if asked.one("expand") and not pressed.is_set():
            pressed.set()
            interrupt()
        return world(asked)

    serve(interrupting, max_workers=1)
    with pytest.raises(KeyboardInterrupt):
        sync_dataset(path)
    assert read_dataset(path).batch_id.isin(list(world.batches)).all()
    sync_dataset(path)
    check(path)


# --- killed -------------------------------------------------------------------------------------


class Killed(BaseException):
    """The end of a process, as far as one can have that inside of it."""


class Mortal(MemoryFileSystem):  # type: ignore[misc]
    """A place that ends its writer before some change."""

    protocol = "mortal"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    left = -1000  # changes until the end; immortal as long as it is as low as that

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        self._live()
        super().pipe_file(path, value, **kwargs)

    def rm_file(self, path: str) -> None:
        self._live()
        super().rm_file(path)

    def _live(self) -> None:
        type(self).left -= 1
        if -1000 < self.left <= 0:  # the dead have no last words
            raise Killed


@pytest.fixture
def mortal() -> Iterator[str]:
    fsspec.register_implementation("mortal", Mortal, clobber=True)
    yield "mortal://kept"
    Mortal.left = -1000
    Mortal.store.clear()
    Mortal.pseudo_dirs[:] = [""]


def test_killed_before_any_change_nothing_is_lost_or_doubled(
    world: World, mortal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_SMALL_CHUNKS", 2)
    world.add("RUNNING")
    for _ in range(writer.MAX_SMALL_CHUNKS):
        world.add()
        sync_dataset(mortal, jobs=True)
    before = {path: file.getvalue() for path, file in Mortal.store.items()}
    n_before = len(read_dataset(mortal, "batches"))
    world.end("bat-000")
    world.add("RUNNING")
    world.add()
    truth = fetched(jobs=True)
    for n in range(1, 100):
        Mortal.store.clear()
        for path, content in before.items():
            MemoryFileSystem.pipe_file(Mortal(), path, content)
        Mortal.left = n
        try:
            sync_dataset(mortal, jobs=True)
            break
        except Killed:
            Mortal.left = -1000
        check_each_once(mortal)
        assert len(read_dataset(mortal, "batches")) >= n_before
        Storage(mortal).remove(["_lock.json"])  # this process lives, so it would be waited for
        sync_dataset(mortal, jobs=True)
        check_is(mortal, truth)
    assert n > 20


def check_each_once(path: Any) -> None:
    """Check that no row is there twice, nor a result without its batch."""
    batches, results = read_dataset(path, "batches"), read_dataset(path)
    assert batches.batch_id.is_unique
    assert not results.duplicated(["batch_id", "source_directory_file_id"]).any()
    assert set(results.batch_id) <= set(batches.batch_id)
    if has_jobs(Storage(path)):
        assert read_dataset(path, "jobs").job_id.is_unique


SYNC_IN_CHILDREN = """
import os, sys
import llama_batches_nb as lb
from llama_batches_nb.dataset import lock, read, sync, writer
import filelock, fsspec, pyarrow.dataset, pyarrow.fs, pyarrow.parquet
writer.CHUNK_ROWS = 100
for place in sys.stdin:
    child = os.fork()
    if not child:
        lb.connect("llx-sandbox", base_url=sys.argv[1])
        sync.sync_dataset(place.strip(), jobs=True, progress=False)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_killed_at_random_instants(tmp_path: Path) -> None:
    draw = random.Random(4)
    options = Options(batches=50, files=(1, 30), speed=0, latency=0.002)
    with (
        SandboxServer.start(options, thread=True) as server,
        lb.connect(server.api_key, base_url=server.url),
        subprocess.Popen(
            [sys.executable, "-c", SYNC_IN_CHILDREN, server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as parent,
    ):
        assert parent.stdin is not None
        assert parent.stdout is not None
        ends = Counter[int]()
        for turn in range(12):
            place = tmp_path / f"kept-{turn // 4}"
            parent.stdin.write(f"{place}\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            threading.Event().wait(draw.uniform(0, 0.5))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            ends[int(parent.stdout.readline())] += 1
            if (place / "_manifest.json").exists():
                check_each_once(place)
            if turn % 4 == 3:
                server.advance(600)
                sync_dataset(place, jobs=True)
                check(place, jobs=True)
        assert ends[signal.SIGKILL]


def test_what_killed_syncs_left_is_removed_and_nothing_else(world: World, tmp_path: Path) -> None:
    world.add()
    sync_dataset(tmp_path)
    ours = [
        "results/part-0123456789ab.parquet",
        "jobs/.part-0123456789ab.parquet.01234567.tmp",
        "._manifest.json.01234567.tmp",
    ]
    others = ["results/part-1.parquet", "notes.txt", "results/.part-0123456789ab.parquet"]
    for name in [*ours, *others[:2]]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    sync_dataset(tmp_path)
    there = set(Storage(tmp_path).names())
    assert there.isdisjoint(ours)
    assert there.issuperset(others[:2])


# --- many small ones ----------------------------------------------------------------------------


def test_many_small_syncs_do_not_make_many_small_files(world: World, path: str) -> None:
    for n in range(25):
        world.add("RUNNING" if n % 5 == 4 else "COMPLETED")
        sync_dataset(path, jobs=n % 3 == 0)
    sync_dataset(path, jobs=True)
    check(path, jobs=True)
    assert len(open_dataset(path).files) <= writer.MAX_SMALL_CHUNKS + 1


def test_large_chunks_are_committed_on_the_way(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHUNK_ROWS", 20)
    monkeypatch.setattr(writer, "MIN_CHUNK_ROWS", 10)
    for n in range(60):
        world.add("RUNNING" if n % 2 else "COMPLETED")
    sync_dataset(path, jobs=True)
    check(path, jobs=True)
    assert len(open_dataset(path).files) > 4
    for n in range(0, 60, 3):
        world.end(f"bat-{n:03}")
    sync_dataset(path, jobs=True)
    check(path, jobs=True)


# --- two at once, and other folders -------------------------------------------------------------


def test_two_at_once(world: World, path: str) -> None:
    world.add()
    sync_dataset(path)
    before = dict(world.asked)
    with acquire_lock(Storage(path)), pytest.raises(DatasetLockedError, match="is being written"):
        sync_dataset(path)
    assert world.asked == before
    sync_dataset(path)


def test_folder_of_something_else_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"something else \('notes.txt'\)"):
        sync_dataset(tmp_path)
    with pytest.raises(DatasetError, match="is a file"):
        sync_dataset(tmp_path / "notes.txt")
    assert Storage(tmp_path).names() == ["notes.txt"]
    assert not world.asked


def test_other_project_or_server_is_refused(world: World, serve: Serve, path: str) -> None:
    sync_dataset(path)
    with pytest.raises(DatasetError, match=r"key's own project at .*, not of project prj-2"):
        sync_dataset(path, project_id="prj-2")
    serve(world)
    with pytest.raises(DatasetError, match="sync to another folder"):
        sync_dataset(path)


def test_newer_version_is_refused(world: World, path: str) -> None:
    sync_dataset(path)
    storage = Storage(path)
    manifest = json.loads(storage.get("_manifest.json") or b"")
    storage.put("_manifest.json", json.dumps({"format": 99, "chunks": "?"}).encode())
    for function in (sync_dataset, open_dataset, read_dataset):
        with pytest.raises(DatasetError, match="upgrade"):
            function(path)
    storage.put("_manifest.json", json.dumps({**manifest, "tomorrow": 1}).encode())
    sync_dataset(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": 1}'])
def test_damaged_manifest_is_named(world: World, path: str, content: bytes) -> None:
    world.add()
    sync_dataset(path)
    Storage(path).put("_manifest.json", content)
    with pytest.raises(DatasetError, match=r"'_manifest.json'.*damaged"):
        sync_dataset(path)
    Storage(path).remove(["_manifest.json"])
    with pytest.raises(DatasetError, match=r"no '_manifest.json'"):
        sync_dataset(path)
    assert len(Storage(path).names()) >= 2


class Noted:
    """Takes the place of a bar."""

    def __init__(self, *, desc: str, unit: str, total: int | None = None) -> None:
        self.n, self.total = 0, total

    def update(self, n: int) -> None:
        self.n += n

    def set_postfix_str(self, note: str) -> None:
        notes.append(note)

    def close(self) -> None:
        pass


notes: list[str] = []


def test_bar_tells_rows_and_requests(world: World, tmp_path: Path) -> None:
    notes.clear()
    for _ in range(3):
        world.add()
    sync_dataset(tmp_path, jobs=True, progress=Noted)
    assert notes[-3:] == ["0 rows, 1 requests", "9 rows, 4 requests", "5 requests"]


def test_report_reads_well() -> None:
    report = SyncReport(
        path="kept",
        new=1200,
        ended=3,
        open=4,
        gone=1,
        unknown_jobs=0,
        added={"batches": 1199, "results": 40000},
        total={"batches": 5000, "results": 123456},
        requests=1250,
        seconds=3.25,
        complete=True,
    )
    assert str(report) == (
        "Synced 'kept' in 3.2 s with 1,250 requests.\n"
        "  1,200 batches new, 3 ended since, 4 still open, 1 gone\n"
        "  batches: 5,000 rows (+1,199)\n"
        "  results: 123,456 rows (+40,000)"
    )


# --- a world that moves -------------------------------------------------------------------------


def in_order(path: str, table: str) -> pa.Table:
    """Return the rows of a table, in an order that does not depend on how they came there."""
    rows = open_dataset(path, table).to_table()
    return rows.sort_by([(name, "ascending") for name in rows.column_names])


FILTERS: list[dict[str, Any]] = [
    {},
    {"status": "FAILED"},
    {"status": ("RUNNING", "COMPLETED")},
    {"source_directory_id": "dir-1"},
    {"created_at_on_or_after": START + timedelta(hours=2)},
    {"created_at_on_or_before": START + timedelta(hours=4)},
    {"source_directory_id": "dir-0", "status": "COMPLETED"},
]
filters = st.sampled_from(FILTERS)


class Moving(RuleBasedStateMachine):
    """Batches appear, run, end and are cancelled; syncs come between, and some are killed."""

    def __init__(self) -> None:
        super().__init__()
        fsspec.register_implementation("mortal", Mortal, clobber=True)
        self.path = "mortal://kept"
        self.few = pytest.MonkeyPatch()  # so that few rows make many commits
        self.few.setattr(writer, "CHUNK_ROWS", 10)
        self.few.setattr(writer, "MIN_CHUNK_ROWS", 16)
        self.few.setattr(writer, "MAX_SMALL_CHUNKS", 2)
        self.world = World(page_size=3)
        self.server = Server(self.world)
        self.client = lb.connect("llx-secret", base_url=self.server.url, max_retries=0)

    def sync(self, path: str, **asked: Any) -> None:
        sync_dataset(path, client=self.client, progress=False, **asked)

    @rule(
        new=st.lists(st.sampled_from(["RUNNING", "COMPLETED", "FAILED"]), min_size=1, max_size=4),
        turns=st.lists(st.sampled_from([None, "RUNNING", *ENDS]), min_size=8, max_size=8),
        job_end=st.sampled_from(ENDS),
    )
    def go_on(self, new: list[str], turns: list[str | None], job_end: str) -> None:
        """Some batches and jobs come to another status, then new ones appear."""
        going = [one for one in self.world.batches.values() if one["status"] not in ENDS]
        for one, turn in zip(going, turns, strict=False):
            one["status"] = turn or one["status"]
            if turn == "CANCELLED":  # what was not begun has no job
                files = [each["source_directory_file_id"] for each in one["results"][1:]]
                one["results"][1:] = map(mapping, files)
        for job in [job for job in self.world.jobs.values() if job["status"] == "RUNNING"][::2]:
            job["status"] = job_end
        for n, status in enumerate(new):
            name = self.world.add(status, hours=len(self.world.batches) / 2)
            self.world.jobs[f"pjb-{int(name[4:])}-{n % 2}"]["status"] = "RUNNING"

    @rule(jobs=st.booleans(), filters=filters)
    def sync_some(self, jobs: bool, filters: dict[str, Any]) -> None:
        self.sync(self.path, jobs=jobs, **filters)
        wanted = lb.fetch_batches(client=self.client, progress=False, **filters)
        check_each_once(self.path)
        kept = read_dataset(self.path, "batches")
        now = kept[kept.batch_id.isin(wanted.batch_id)].sort_values("batch_id", ignore_index=True)
        pd.testing.assert_frame_equal(now, wanted.sort_values("batch_id", ignore_index=True))

    @rule(jobs=st.booleans(), filters=filters, changes=st.integers(1, 24))
    def sync_until_killed(self, jobs: bool, filters: dict[str, Any], changes: int) -> None:
        Mortal.left = changes
        try:
            with suppress(Killed):
                self.sync(self.path, jobs=jobs, **filters)
        finally:
            Mortal.left = -1000
        Storage(self.path).remove(["_lock.json"])  # this process lives, so it would be waited for
        if Storage(self.path).get("_manifest.json") is not None:
            check_each_once(self.path)

    @rule(jobs=st.booleans())
    def sync_all(self, jobs: bool) -> None:
        """It comes to what a clean sync gives, whatever was before."""
        self.sync(self.path, jobs=jobs)
        self.sync("memory://clean", jobs=jobs)
        for table in ("batches", "results", *(["jobs"] if jobs else [])):
            assert in_order(self.path, table).equals(in_order("memory://clean", table))
        check_files(self.path)
        fsspec.filesystem("memory").rm("/clean", recursive=True)

    def teardown(self) -> None:
        self.client.close()
        self.server.close()
        self.few.undo()
        Mortal.store.clear()
        Mortal.pseudo_dirs[:] = [""]


TestMoving = Moving.TestCase
TestMoving.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
