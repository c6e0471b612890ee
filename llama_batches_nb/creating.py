"""Start a batch, once; and cancel batches."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd

from llama_batches_nb import endpoints, frames, inputs, listing, preconditions, workers
from llama_batches_nb.client import Client, current
from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    ConflictError,
    ConnectionFailedError,
    ResponseError,
    ServerError,
    UnconfirmedCreateError,
)
from llama_batches_nb.gathering import gather
from llama_batches_nb.paging import Record
from llama_batches_nb.progress import Progress, bar
from llama_batches_nb.schema import BATCHES
from llama_batches_nb.selection import scope_of
from llama_batches_nb.statuses import JOB_TYPES

LONGEST_LOOK = 20.0  # seconds for one request of a look
LOOKS = (0.0, 1.0, 2.0, 4.0, 1.0)
"""Seconds before each look for a batch whose answer was lost; the last confirms a late one."""
SURE_REFUSALS = frozenset({301, 302, 303, 307, 308, 500, 501, 503})
"""Statuses after which a batch that does not appear was not made."""


def create_batch(
    source_directory_id: Any,
    configuration_id: Any,
    *,
    job_type: str = "parse_v2",
    webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
    webhook_configuration_ids: Sequence[str] | None = None,
    check_directory: bool = True,
    check_configuration: bool = True,
    project_id: str | None = None,
    organization_id: str | None = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Start a batch over the files of a directory.

    The API has no idempotency key, so the request is sent once. If its answer is lost, the batch
    that it may have made is looked for among those of the directory that were not there before;
    no second one is made. If you interrupt it, a note on the `KeyboardInterrupt` says where to
    look.

    Parameters
    ----------
    source_directory_id
        The directory whose files are run: its id, or a frame with one, such as `upload_files`
        returns.
    configuration_id
        A saved configuration or a built-in preset that fits the job type.
    job_type
        ``"parse_v2"`` or ``"extract_v2"``.
    webhook_configurations, webhook_configuration_ids
        As the API takes them.
    check_directory
        Whether to look first that the directory is there and has 1 to 1,000 files.
    check_configuration
        Whether to look first that a saved configuration is there and is for the job type. Each
        check costs a request or two.
    project_id, organization_id
        Instead of those of the client.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        One row, in the columns of `fetch_batches`.

    Raises
    ------
    NotFoundError, InvalidRequestError
        If a check fails, or the server refuses; no batch was made then.
    UnconfirmedCreateError
        If the answer was lost and it can't be told which batch it made, if any; `.candidates`
        holds those that it may be.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> directory = lb.fetch_directories(name="Invoices 2026")
    >>> batch = lb.create_batch(directory, "cfg-PARSE_AGENTIC")
    >>> batch.status.tolist()
    ['PENDING']
    """
    directory = inputs.as_one_id("source_directory_id", source_directory_id)
    configuration = inputs.as_one_id("configuration_id", configuration_id)
    inputs.as_choice("job_type", job_type, JOB_TYPES)
    scope = scope_of(project_id, organization_id)
    client = current(client)
    body: Record = {
        "source_directory_id": directory,
        "config": {"job": {"type": job_type, "configuration_id": configuration}},
    }
    if webhook_configurations is not None:
        body["webhook_configurations"] = _dicts("webhook_configurations", webhook_configurations)
    if webhook_configuration_ids is not None:
        ids = inputs.as_ids("webhook_configuration_ids", webhook_configuration_ids)
        body["webhook_configuration_ids"] = ids

    if check_directory:
        preconditions.check_directory(client, directory, scope)
    if check_configuration:
        preconditions.check_configuration(client, configuration, job_type, scope)
    return frames.frame(BATCHES, [make_batch(client, body, scope)])


def _dicts(name: str, value: Any) -> list[Record]:
    if isinstance(value, Mapping | str) or not all(isinstance(one, Mapping) for one in value):
        raise TypeError(f"{name} must be a list of dicts, not {value!r:.80}.")
    given = [dict(one) for one in value]
    json.dumps(given, allow_nan=False)  # raises what there is to say, before anything is sent
    return given


def make_batch(client: Client, body: Record, scope: Record) -> Record:
    """Make a batch, and find it if the answer is lost."""
    attempt = _Attempt(client, body["source_directory_id"], body["config"]["job"], scope)
    with attempt.noted_if_interrupted():
        try:
            record: Record = endpoints.create_batch(client, body, **scope)
            frames.rows(BATCHES, [record])  # raises if it is no batch
        except (ConnectionFailedError, ServerError, ResponseError) as error:
            return attempt.find(error)
    return record


def cancel_batch(
    batches: Any,
    *,
    project_id: str | None = None,
    organization_id: str | None = None,
    progress: Progress = None,
    client: Client | None = None,
) -> pd.DataFrame:
    """Ask the service to stop batches; files that are finished keep their results.

    It answers at once, and a batch is `CANCELLED` only when its processing has stopped: go on with
    `wait_for_batches` to see that.

    Parameters
    ----------
    batches
        A batch id, several, or a frame with the column ``batch_id``.
    project_id, organization_id
        Instead of those of the client.
    progress
        Whether to show a bar; None for in a notebook or a terminal.
    client
        Instead of the one that `connect` made.

    Returns
    -------
    pandas.DataFrame
        The batches as they now stand, in the columns of `fetch_batches`.

    Raises
    ------
    ConflictError
        If some have ended already; all others were asked to stop, and are in `.partial`.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> batch = lb.create_batch(lb.fetch_directories(limit=1), "cfg-PARSE_AGENTIC")
    >>> lb.cancel_batch(batch).pipe(lb.wait_for_batches).status.tolist()
    ['CANCELLED']
    """
    ids = inputs.as_ids("batch_id", batches)
    scope = scope_of(project_id, organization_id)
    client = current(client)

    def cancel_one(batch_id: str) -> Record:
        record: Record = endpoints.cancel_batch(client, batch_id, **scope)
        frames.check_id(batch_id, listing.key_of(BATCHES, record))
        return record

    ended: dict[str, BatchesError] = {}

    def has_ended(batch_id: str, error: BatchesError) -> bool:
        if isinstance(error, ConflictError):
            ended[batch_id] = error
        return batch_id in ended

    to_frame = partial(frames.frame, BATCHES)
    with bar(progress, "cancelling", unit="batch", total=len(ids)) as shown:
        stands = gather(cancel_one, ids, to_frame, client=client, shown=shown, bear=has_ended)
    if ended:
        first = next(iter(ended.values()))
        conflict = ConflictError(
            f"Could not be cancelled, having ended already: {', '.join(ended)} ({first}). The "
            f"{len(stands):,} others were asked to stop, and are in .partial.",
            status_code=first.status_code,
        )
        conflict.partial = stands
        raise conflict from first
    return stands


class _Attempt:
    """What is known about a create, should its answer be lost."""

    def __init__(self, client: Client, directory: str, job: Record, scope: Record) -> None:
        self._client, self._directory, self._job, self._scope = client, directory, job, scope
        self._before: Collection[str] | None
        try:
            self._before = self._look().keys()
        except (AuthenticationError, ConnectionFailedError):
            raise
        except BatchesError:  # then it can't be told which batch is new, should that be needed
            self._before = None

    def _look(self) -> dict[str, Record]:
        """Return the batches over the directory: all, since our clock may not be the server's."""
        pages = endpoints.list_batches(
            self._client,
            source_directory_id=self._directory,
            within=LONGEST_LOOK,
            **self._scope,
        )
        return {record["id"]: record for record in listing.records(BATCHES, pages)}

    def _alike(self, found: dict[str, Record]) -> list[Record]:
        """Return the batches that were not there before and do what was asked for."""

        def is_alike(record: Record) -> bool:
            job = (record.get("config") or {}).get("job") or {}
            return all(job.get(name) == value for name, value in self._job.items())

        known = self._before or ()
        return [one for name, one in found.items() if name not in known and is_alike(one)]

    @contextmanager
    def noted_if_interrupted(self) -> Iterator[None]:
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

    def find(self, error: BatchesError) -> Record:
        """Return the batch that was made although `error` came instead of an answer."""
        if isinstance(error, ConnectionFailedError) and not error.request_sent:
            raise error
        alike: list[Record] = []
        for pause in LOOKS:
            workers.sleep(pause)
            try:
                found = self._look()
            except BatchesError:
                continue
            seen, alike = alike, self._alike(found)
            if [one["id"] for one in alike] != [one["id"] for one in seen]:
                continue  # another may be on its way: of somebody else, or ours
            if len(alike) == 1 and self._before is not None:
                return alike[0]
            if alike:
                break
        if not alike and error.status_code in SURE_REFUSALS:
            raise error
        unconfirmed = UnconfirmedCreateError(
            f"The answer to the create was lost ({error}), and {len(alike)} new batches over the "
            f"directory {self._directory} may be it. Look at .candidates, and at "
            "fetch_batches(source_directory_id=…) in a minute, before you create again."
        )
        unconfirmed.candidates = frames.frame(BATCHES, alike)
        raise unconfirmed from error
