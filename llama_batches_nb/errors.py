"""Exceptions, as one tree with attributes to branch on.

Invalid arguments raise `ValueError` or `TypeError` before any request is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypedDict, Unpack

import pandas as pd

from llama_batches_nb.messages import escape_control_chars


class ErrorDetails(TypedDict, total=False):
    """Keywords that every exception of this package takes."""

    status_code: int | None
    retry_after: float | None
    fields: tuple[str, ...]


class BatchesError(Exception):
    """Base class of all exceptions of this package.

    Attributes
    ----------
    status_code : int or None
        HTTP status of the response, if there was one.
    retry_after : float or None
        Seconds that the server asks to wait.
    fields : tuple of str
        Names of the fields that the server rejects.
    partial : pandas.DataFrame or None
        The rows fetched before the error, with the columns of the complete result.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        retry_after: float | None = None,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(escape_control_chars(message))
        self.status_code = status_code
        self.retry_after = retry_after
        self.fields = fields
        self.partial: pd.DataFrame | None = None


class AuthenticationError(BatchesError):
    """No API key was found, or the server rejected it (HTTP 401, 403).

    A 403 can also mean that the project's plan lacks a feature; the message then names the plan.
    """


class UsageLimitError(BatchesError):
    """The project has reached its usage limit (HTTP 402): nothing can be created, reading works."""


class NotFoundError(BatchesError):
    """The resource does not exist or belongs to another project (HTTP 404)."""


class InvalidRequestError(BatchesError):
    """The server rejected the request (HTTP 400, 422, other 4xx); see `fields`."""


class ConflictError(BatchesError):
    """The resource is in the wrong state, such as a finished batch to cancel (HTTP 409)."""


class RateLimitError(BatchesError):
    """Rate limit exceeded (HTTP 429) and the required wait is too long; see `retry_after`."""


class ServerError(BatchesError):
    """The server failed (HTTP 5xx), also at every retry."""


class ConnectionFailedError(BatchesError):
    """No complete response arrived, also at every retry: refused, reset, cut short or too slow.

    Attributes
    ----------
    request_sent : bool
        Whether the server may have acted on the request; False if no connection was made.
    """

    def __init__(
        self, message: str, *, request_sent: bool = True, **details: Unpack[ErrorDetails]
    ) -> None:
        super().__init__(message, **details)
        self.request_sent = request_sent


class ResponseError(BatchesError):
    """The response is not the JSON that the API documents."""


class PaginationError(BatchesError):
    """The server repeats a page token or sends no new rows, so the list would never end."""


class WaitTimeoutError(BatchesError):
    """Not all batches finished before the timeout; `partial` holds their last known state."""


class UnconfirmedCreateError(BatchesError):
    """The response to a create was lost, and it is unclear which batch it created, if any.

    Attributes
    ----------
    candidates : pandas.DataFrame
        The batches that it may have created, with the columns of `fetch_batches`; empty if none
        has appeared so far.
    """

    def __init__(
        self,
        message: str,
        *,
        candidates: pd.DataFrame | None = None,
        **details: Unpack[ErrorDetails],
    ) -> None:
        super().__init__(message, **details)
        self.candidates = pd.DataFrame() if candidates is None else candidates


class DatasetError(BatchesError):
    """A Parquet file or dataset is missing parts, damaged or incompatible."""


class TableNotSyncedError(DatasetError):
    """The dataset has no such table yet; another call of `sync_dataset` adds it."""


class DatasetLockedError(DatasetError):
    """Another process is writing to the dataset."""


@contextmanager
def attach_partial(partial_frame: Callable[[], pd.DataFrame]) -> Iterator[None]:
    """Set `.partial` of any exception from the block to `partial_frame()`."""
    try:
        yield
    except BaseException as error:
        with suppress(BatchesError):  # a record that is no valid row must not replace the error
            error.partial = partial_frame()  # type: ignore[attr-defined]
        raise
