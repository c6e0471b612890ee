"""What can go wrong, as one tree with fields to branch on.

Bad arguments are the standard library's `ValueError` and `TypeError`, raised before any request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from llama_batches_nb.messages import escape_control_chars

if TYPE_CHECKING:
    import pandas as pd


class BatchesError(Exception):
    """Base of every error that this package raises of its own.

    Attributes
    ----------
    status_code : int or None
        HTTP status of the answer, where there was one.
    retry_after : float or None
        Seconds that the server asked us to wait.
    partial : pandas.DataFrame or None
        The rows that were complete when the error came, in the columns of the whole.
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
    """No key was found, or the server refused the one it was given (401, 403)."""


class NotFoundError(BatchesError):
    """What was asked for is not there, or not in this project (404)."""


class InvalidRequestError(BatchesError):
    """The server refused the values of a request (400, 422); `fields` names those it named."""


class ConflictError(BatchesError):
    """The request does not fit the state of the thing, such as cancelling an ended batch (409)."""


class RateLimitError(BatchesError):
    """Too many requests (429), for longer than it is sensible to wait; see `retry_after`."""


class ServerError(BatchesError):
    """The server failed (5xx), and again at every retry."""


class ConnectionFailedError(BatchesError):
    """No whole answer came: refused, reset, cut short or too slow, and again at every retry.

    Attributes
    ----------
    request_sent : bool
        Whether the server may have acted on the request; False if no connection was made.
    """

    request_sent = True


class ResponseError(BatchesError):
    """The answer is not the JSON that the API promises."""


class PaginationError(BatchesError):
    """The server gave a page token that it had given before, so the list has no end."""


class WaitTimeoutError(BatchesError):
    """The batches had not ended in time; `partial` holds them as they last stood."""


class UnconfirmedCreateError(BatchesError):
    """The answer to a create was lost and it can't be told which batch it made, if any.

    Attributes
    ----------
    candidates : pandas.DataFrame
        The batches that it may have made; empty if none has appeared.
    """

    candidates: pd.DataFrame


class DatasetError(BatchesError):
    """A file or folder of Parquet is not what it should be."""


class DatasetLockedError(DatasetError):
    """Another process is writing to the dataset."""


@contextmanager
def attach_partial(rows_so_far: Callable[[], pd.DataFrame]) -> Iterator[None]:
    """Give whatever ends the work inside the rows that are already there, as `.partial`."""
    try:
        yield
    except BaseException as error:
        with suppress(BatchesError):  # rows that make no frame must not hide what happened
            error.partial = rows_so_far()  # type: ignore[attr-defined]
        raise
