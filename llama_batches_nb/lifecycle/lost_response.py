"""Send a request that must take effect only once, and recover if its response is lost.

The API has no idempotency keys. A request whose response is lost may have taken effect, so look on
the server for what it created before sending it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    ConflictError,
    ConnectionFailedError,
    ResponseError,
    ServerError,
    UnconfirmedCreateError,
)
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.tables.statuses import BATCH_STATUSES, TERMINAL_STATUSES
from llama_batches_nb.types import Record

T = TypeVar("T")

RECOVERY_REQUEST_TIMEOUT = 20.0  # seconds for one list request

RECOVERY_DELAYS = (0.0, 1.0, 2.0, 4.0, 1.0)
"""Seconds before each search for a created batch; the last one confirms a late appearance."""

DEFINITE_FAILURE_STATUSES = frozenset({301, 302, 303, 307, 308, 500, 501, 503})
"""HTTP statuses after which a batch that does not appear was not created."""

UNFINISHED_STATUSES = frozenset(BATCH_STATUSES) - TERMINAL_STATUSES


def send_once(
    send: Callable[[], T],
    find: Callable[[BatchesError], T | None],
    *,
    max_attempts: int = 1,
    accept_existing: bool = False,
) -> T:
    """Return the result of `send`, or what `find` finds if the response is lost.

    `find` gets the error and looks for what the request created. If it returns None, nothing was
    created, and `send` is called again, up to `max_attempts` times in all. A conflict at the first
    attempt is raised, unless `accept_existing` allows a result that existed before.
    """
    for attempt in range(1, max_attempts + 1):
        try:
            return send()
        except (ConnectionFailedError, ServerError, ResponseError, ConflictError) as error:
            if isinstance(error, ConflictError) and attempt == 1 and not accept_existing:
                raise
            try:
                result = find(error)
            except UnconfirmedCreateError:
                raise
            except BatchesError as lookup_error:
                raise error from lookup_error
            if result is not None:
                return result
            if attempt == max_attempts:
                raise
    raise AssertionError("the last attempt returns or raises")


@contextmanager
def note_on_interrupt(note: str) -> Iterator[None]:
    """Add a note to a `KeyboardInterrupt` that is raised inside."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(note)
        raise


class CreatedBatchFinder:
    """Find the batch that a create request made, by comparing with the batches before it.

    Make an instance before the request is sent: it lists the batches that exist.
    """

    def __init__(self, client: Client, directory_id: str, job: Record, scope: Record) -> None:
        self._client, self._directory_id, self._job, self._scope = client, directory_id, job, scope
        self._known_ids: Collection[str] | None
        self.running: list[str] = []
        """Ids of batches with the requested job that have not ended."""
        try:
            before = self._list_batches(timeout=None)
        except (AuthenticationError, ConnectionFailedError):
            raise
        except BatchesError:  # new batches are indistinguishable from old ones
            self._known_ids = None
        else:
            self.running = [
                batch["id"]
                for batch in self._with_requested_job(before)
                if str(batch.get("status")) in UNFINISHED_STATUSES
            ]
            self._known_ids = before.keys()

    def interrupt_note(self) -> str:
        """Return what to do if the request is interrupted."""
        known = "" if self._known_ids is None else f"; {len(self._known_ids):,} existed before"
        return (
            f"A batch from directory {self._directory_id} may have been created after "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, and may be billed. Before you create it "
            f"again, check fetch_batches(source_directory_id={self._directory_id!r}){known}."
        )

    def find(self, error: BatchesError) -> BatchRecord | None:
        """Return the created batch, or None if the request that failed with `error` made none.

        Raises `UnconfirmedCreateError` if neither is certain.
        """
        if isinstance(error, ConnectionFailedError) and not error.request_sent:
            return None
        candidates: list[BatchRecord] = []
        for delay in RECOVERY_DELAYS:
            workers.sleep(delay)
            try:
                batches = self._list_batches()
            except BatchesError:
                continue
            previous, candidates = candidates, self._new_matches(batches)
            if [batch["id"] for batch in candidates] != [batch["id"] for batch in previous]:
                continue  # another may still appear: a batch of another user, or ours
            if len(candidates) == 1 and self._known_ids is not None:
                return candidates[0]
            if candidates:
                break
        if not candidates and error.status_code in DEFINITE_FAILURE_STATUSES:
            error.add_note(f"No new batch appeared in directory {self._directory_id}.")
            return None
        unconfirmed = UnconfirmedCreateError(
            f"The response to the create request was lost ({error}). The batch may have been "
            f"created and may be billed; {len(candidates):,} of the directory's batches match the "
            "request (see .candidates). Before you create it again, wait a minute and check "
            f"fetch_batches(source_directory_id={self._directory_id!r})."
        )
        unconfirmed.candidates = records.to_pandas(BATCHES, candidates)
        raise unconfirmed from error

    def find_others(self, created_id: str) -> list[str]:
        """Return the ids of other batches with the requested job that were created meanwhile."""
        if self._known_ids is None:
            return []
        try:
            new = self._new_matches(self._list_batches())
        except BatchesError:
            return []  # the batch exists: an error would hide it
        return [batch["id"] for batch in new if batch["id"] != created_id]

    def _list_batches(
        self, timeout: float | None = RECOVERY_REQUEST_TIMEOUT
    ) -> dict[str, BatchRecord]:
        """Return all batches of the directory by id; the server's clock may differ from ours."""
        pages = endpoints.list_batches(
            self._client,
            source_directory_id=self._directory_id,
            timeout=timeout,
            **self._scope,
        )
        return {batch["id"]: batch for batch in listing.iter_records(BATCHES, pages)}

    def _new_matches(self, batches: dict[str, BatchRecord]) -> list[BatchRecord]:
        """Return the batches that are new and have the requested job."""
        known_ids = self._known_ids or ()
        return [
            batch for batch in self._with_requested_job(batches) if batch["id"] not in known_ids
        ]

    def _with_requested_job(self, batches: dict[str, BatchRecord]) -> list[BatchRecord]:
        def has_requested_job(batch: BatchRecord) -> bool:
            job = records.value_at(batch, ("config", "job"))
            return all(records.value_at(job, (f,)) == value for f, value in self._job.items())

        return [batch for batch in batches.values() if has_requested_job(batch)]
