"""Call a function for many items in worker threads, and collect the results in input order."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import pandas as pd

from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    RateLimitError,
    attach_partial,
)
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.progress import ProgressBar
from llama_batches_nb.messages import agree, format_count, format_list, warn

T = TypeVar("T")
R = TypeVar("R")

DECODE_BATCH_SIZE = 32  # results that are decoded together
MAX_OPEN_BYTES = 24 * 2**20  # of results that are requested or wait to be used
FIRST_OPEN = 2  # calls until the size of a result is known

DecodeBatch = Callable[[list[R]], list[Any]]
OnError = Callable[[T, BatchesError], bool]


def fetch_concurrently(
    fn: Callable[[T], R],
    items: Iterable[T],
    to_frame: Callable[[list[Any]], pd.DataFrame],
    *,
    client: Client,
    progress: ProgressBar,
    decode_batch: DecodeBatch[R] = list,
    size: Callable[[T], int] = lambda item: 1,
    on_error: OnError[T] = lambda item, error: False,
    note: Callable[[], str] = str,
) -> pd.DataFrame:
    """Call `fn` for each item concurrently; return a frame of the results in input order.

    The first error is raised with the frame of the other results as its `partial`, unless
    `on_error(item, error)` returns True, which skips the item. `size` is the number of steps by
    which an item advances the bar, and `note` a text to show after it. `decode_batch` converts a
    list of results to a list of the same length for `to_frame`. It runs in the calling thread:
    decoding in the workers would only make them compete for the interpreter lock.
    """
    results = _OrderedResults(decode_batch, on_error)

    def store(indexed_item: tuple[int, T]) -> None:
        index, item = indexed_item
        results.pending[index] = item, fn(item)

    with (
        attach_partial(lambda: to_frame(results.in_order())),
        workers.imap_unordered(
            store,
            enumerate(items),
            max_workers=client.max_workers,
            tick=lambda: progress.show_rate_limit_wait(client.rate_limit_delay()),
        ) as completed,
    ):
        for _, (_, item), future in completed:
            try:
                future.result()
            except BatchesError as error:
                if not on_error(item, error):
                    raise
            if text := note():
                progress.set_postfix(text, refresh=False)
            progress.advance(size(item))
            if len(results.pending) >= DECODE_BATCH_SIZE:
                results.flush()
        results.flush()
    return to_frame(results.in_order())


def iter_completed(
    fn: Callable[[T], R],
    items: Iterable[T],
    *,
    client: Client,
    progress: ProgressBar,
    on_error: OnError[T] = lambda item, error: False,
    nbytes: Callable[[R], int] | None = None,
) -> Generator[list[tuple[int, T, R]], None, None]:
    """Call `fn` for each item concurrently; yield `(index, item, result)` in small lists.

    Use it for results that do not fit in memory together. Close the generator to stop early.
    The first error is raised after the results that arrived before it, unless
    `on_error(item, error)` returns True, which skips the item. With `nbytes`, the size of a result,
    fewer items are requested at a time if results are large.
    """
    results: list[tuple[int, T, R]] = []
    sizes = None if nbytes is None else _ResultSizes(nbytes)
    with workers.imap_unordered(
        fn,
        items,
        max_workers=client.max_workers,
        tick=lambda: progress.show_rate_limit_wait(client.rate_limit_delay()),
        max_open=lambda: math.inf if sizes is None else sizes.max_open(),
    ) as completed:
        try:
            for index, item, future in completed:
                try:
                    results.append((index, item, future.result()))
                except BatchesError as error:
                    if not on_error(item, error):
                        raise
                del future  # it holds the result
                if sizes is not None and results:
                    sizes.add(results[-1][2])
                if len(results) >= (sizes.max_waiting() if sizes else DECODE_BATCH_SIZE):
                    yield results
                    results = []
        except BatchesError:
            yield results
            raise
        progress.show_rate_limit_wait(0)
        yield results


class _ResultSizes(Generic[R]):
    """How many results fit in memory, by the largest of the last ones."""

    def __init__(self, nbytes: Callable[[R], int]) -> None:
        self._nbytes = nbytes
        self._largest: float | None = None

    def add(self, result: R) -> None:
        """Note the size of a result; that of earlier ones counts less with each."""
        self._largest = max(self._nbytes(result), 0.9 * (self._largest or 0))

    def max_open(self) -> float:
        """Return how many calls may be under way, with those whose result is not used yet."""
        return FIRST_OPEN if self._largest is None else MAX_OPEN_BYTES / max(1, self._largest)

    def max_waiting(self) -> int:
        """Return how many results may wait to be used."""
        return max(1, min(DECODE_BATCH_SIZE, int(self.max_open() / 4)))


class SkippedItems(Generic[T]):
    """An `on_error` that skips failed items, except after an authentication or rate limit error.

    `name` returns what a warning calls an item.
    """

    def __init__(self, *, allowed: bool = True, name: Callable[[T], str] = str) -> None:
        self.errors: dict[T, BatchesError] = {}
        self._allowed, self._name = allowed, name

    def __call__(self, item: T, error: BatchesError) -> bool:
        """Record the error; return whether to skip the item."""
        self.errors[item] = error
        return self._allowed and not isinstance(error, AuthenticationError | RateLimitError)

    def warn_skipped(self, noun: str, *, of: str = "") -> None:
        """Warn of the skipped items, if any, with the names of the first ones.

        `of` is what could not be fetched of them, in the plural.
        """
        if self.errors:
            n = len(self.errors)
            subject = f"{of} of {format_count(n, noun)}" if of else format_count(n, noun)
            verb = "are" if of else agree(n, "is")
            warn(
                f"{subject[0].upper()}{subject[1:]} could not be fetched and {verb} left out: "
                f"{format_list(map(self._name, self.errors))}. The first error was: "
                f"{next(iter(self.errors.values()))}"
            )


class _OrderedResults(Generic[T, R]):
    """Results by the index of their item: `pending` until `flush` decodes them."""

    def __init__(self, decode_batch: DecodeBatch[R], on_error: OnError[T]) -> None:
        self._decode_batch = decode_batch
        self._on_error = on_error
        self.pending: dict[int, tuple[T, R]] = {}
        self._decoded: dict[int, Any] = {}

    def flush(self) -> None:
        """Decode all pending results; then raise the first error that was not skipped."""
        first_error: BatchesError | None = None
        while batch := [
            self.pending.popitem() for _ in range(min(DECODE_BATCH_SIZE, len(self.pending)))
        ]:
            try:
                self._decode(*batch)
            except BatchesError:
                for entry in batch:
                    try:
                        self._decode(entry)
                    except BatchesError as error:
                        if not self._on_error(entry[1][0], error):
                            first_error = first_error or error
        if first_error is not None:
            raise first_error

    def _decode(self, *batch: tuple[int, tuple[T, R]]) -> None:
        decoded = self._decode_batch([result for _, (_, result) in batch])
        self._decoded.update(zip((index for index, _ in batch), decoded, strict=True))

    def in_order(self) -> list[Any]:
        """Return the decoded results, including pending ones that can be decoded."""
        with suppress(BatchesError):
            self.flush()
        return [self._decoded[index] for index in sorted(self._decoded)]
