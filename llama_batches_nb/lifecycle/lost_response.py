"""Find the batch that a create request made when its response was lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    ConnectionFailedError,
    UnconfirmedCreateError,
)
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints, workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import BatchRecord
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import BATCHES
from llama_batches_nb.types import Record

RECOVERY_REQUEST_TIMEOUT = 20.0  # seconds for one request of a look


RECOVERY_DELAYS = (0.0, 1.0, 2.0, 4.0, 1.0)
"""Seconds before each look for a batch whose answer was lost; the last confirms a late one."""


DEFINITE_FAILURE_STATUSES = frozenset({301, 302, 303, 307, 308, 500, 501, 503})
"""Statuses after which a batch that does not appear was not made."""


class LostResponseRecovery:
    """What is known about a create, should its answer be lost."""

    def __init__(self, client: Client, directory: str, job: Record, scope: Record) -> None:
        self._client, self._directory, self._job, self._scope = client, directory, job, scope
        self._before: Collection[str] | None
        try:
            self._before = self._list_candidates().keys()
        except (AuthenticationError, ConnectionFailedError):
            raise
        except BatchesError:  # then it can't be told which batch is new, should that be needed
            self._before = None

    def _list_candidates(self) -> dict[str, BatchRecord]:
        """Return the batches over the directory: all, since our clock may not be the server's."""
        pages = endpoints.list_batches(
            self._client,
            source_directory_id=self._directory,
            timeout=RECOVERY_REQUEST_TIMEOUT,
            **self._scope,
        )
        return {record["id"]: record for record in listing.iter_records(BATCHES, pages)}

    def _matching_new_batches(self, found: dict[str, BatchRecord]) -> list[BatchRecord]:
        """Return the batches that were not there before and do what was asked for."""

        def is_alike(record: BatchRecord) -> bool:
            config: Mapping[str, Any] = record.get("config") or {}
            job = config.get("job") or {}
            return all(job.get(name) == value for name, value in self._job.items())

        known = self._before or ()
        return [one for name, one in found.items() if name not in known and is_alike(one)]

    @contextmanager
    def note_on_interrupt(self) -> Iterator[None]:
        """Tell whoever interrupts it of the batch that there may be, and how to look for it."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            before = "" if self._before is None else f", where {len(self._before):,} were before"
            interrupt.add_note(
                f"At {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, a batch over the directory "
                f"{self._directory} may have been made. Before you create again, look at "
                f"fetch_batches(source_directory_id={self._directory!r}){before}."
            )
            raise

    def recover(self, error: BatchesError) -> BatchRecord:
        """Return the batch that was made although `error` came instead of an answer."""
        if isinstance(error, ConnectionFailedError) and not error.request_sent:
            raise error
        alike: list[BatchRecord] = []
        for pause in RECOVERY_DELAYS:
            workers.sleep(pause)
            try:
                found = self._list_candidates()
            except BatchesError:
                continue
            seen, alike = alike, self._matching_new_batches(found)
            if [one["id"] for one in alike] != [one["id"] for one in seen]:
                continue  # another may be on its way: of somebody else, or ours
            if len(alike) == 1 and self._before is not None:
                return alike[0]
            if alike:
                break
        if not alike and error.status_code in DEFINITE_FAILURE_STATUSES:
            raise error
        unconfirmed = UnconfirmedCreateError(
            f"The answer to the create was lost ({error}), and {len(alike)} new batches over the "
            f"directory {self._directory} may be it. Look at .candidates, and at "
            "fetch_batches(source_directory_id=…) in a minute, before you create again."
        )
        unconfirmed.candidates = records.to_pandas(BATCHES, alike)
        raise unconfirmed from error
