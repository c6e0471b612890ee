"""Ask for many things at once, and make one frame of the answers, in order."""

from __future__ import annotations

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
from llama_batches_nb.messages import warn

T = TypeVar("T")
R = TypeVar("R")

DECODE_BATCH_SIZE = 16  # answers that are packed together

DecodeBatch = Callable[[list[R]], list[Any]]
OnError = Callable[[T, BatchesError], bool]


def fetch_concurrently(
    work: Callable[[T], R],
    items: Iterable[T],
    to_frame: Callable[[list[Any]], pd.DataFrame],
    *,
    client: Client,
    shown: ProgressBar,
    pack: DecodeBatch[R] = list,
    size: Callable[[T], int] = lambda item: 1,
    bear: OnError[T] = lambda item, error: False,
) -> pd.DataFrame:
    """Return the frame of what `work` gives for each item, in the order of the items.

    An item that fails ends it, and the error carries the frame of the others; unless `bear` says
    that the item may be left out. `size` is how far an item moves the bar. `pack` takes several
    answers and gives as many, as `to_frame` wants them: it is for what is done faster for many in
    one thread than by many threads, which would take the interpreter from each other.
    """
    parts = _OrderedResults(pack, bear)

    def keep(numbered: tuple[int, T]) -> None:
        position, item = numbered
        parts.arrived[position] = item, work(item)

    with (
        attach_partial(lambda: to_frame(parts.in_order())),
        workers.imap_unordered(
            keep,
            enumerate(items),
            max_workers=client.max_workers,
            tick=lambda: shown.show_rate_limit_wait(client.rate_limit_delay()),
        ) as finished,
    ):
        for _, (_, item), future in finished:
            try:
                future.result()
            except BatchesError as error:
                if not bear(item, error):
                    raise
            shown.advance(size(item))
            if len(parts.arrived) >= DECODE_BATCH_SIZE:
                parts.flush()
        parts.flush()
    return to_frame(parts.in_order())


def iter_completed(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    client: Client,
    shown: ProgressBar,
    bear: OnError[T] = lambda item, error: False,
) -> Generator[list[tuple[int, T, R]], None, None]:
    """Yield what `work` gives as it arrives, with the position and the item, a few at a time.

    It is for what is too much to be kept; close it when leaving early. An item that fails ends
    it, unless `bear` says that it may be left out; what arrived before is given first.
    """
    fresh: list[tuple[int, T, R]] = []
    with workers.imap_unordered(
        work,
        items,
        max_workers=client.max_workers,
        tick=lambda: shown.show_rate_limit_wait(client.rate_limit_delay()),
    ) as finished:
        try:
            for position, item, future in finished:
                try:
                    fresh.append((position, item, future.result()))
                except BatchesError as error:
                    if not bear(item, error):
                        raise
                if len(fresh) >= DECODE_BATCH_SIZE:
                    yield fresh
                    fresh = []
        except BatchesError:
            yield fresh
            raise
        yield fresh


class SkippedItems(Generic[T]):
    """What may be left out, for `bear`: all that fails but for the key or the rate limit."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.errors: dict[T, BatchesError] = {}
        self._allowed = allowed

    def __call__(self, item: T, error: BatchesError) -> bool:
        """Keep the error, and say whether the others may go on."""
        self.errors[item] = error
        return self._allowed and not isinstance(error, AuthenticationError | RateLimitError)

    def warn_skipped(self, what: str) -> None:
        """Warn of what was left out, if anything was."""
        if self.errors:
            warn(
                f"{len(self.errors):,} {what} could not be fetched and are left out: "
                f"{', '.join(map(str, self.errors))}. The first error was: "
                f"{next(iter(self.errors.values()))}"
            )


class _OrderedResults(Generic[T, R]):
    """The answers that have come: as they arrived, and packed; by their item's position."""

    def __init__(self, pack: DecodeBatch[R], bear: OnError[T]) -> None:
        self._pack = pack
        self._bear = bear
        self.arrived: dict[int, tuple[T, R]] = {}
        self._packed: dict[int, Any] = {}

    def flush(self) -> None:
        """Pack all that arrived, and only then raise the error of one that can't be."""
        failed: BatchesError | None = None
        while fresh := [
            self.arrived.popitem() for _ in range(min(DECODE_BATCH_SIZE, len(self.arrived)))
        ]:
            try:
                self._put_away(*fresh)
            except BatchesError:
                for one in fresh:
                    try:
                        self._put_away(one)
                    except BatchesError as error:
                        if not self._bear(one[1][0], error):
                            failed = failed or error
        if failed is not None:
            raise failed

    def _put_away(self, *fresh: tuple[int, tuple[T, R]]) -> None:
        parts = self._pack([answer for _, (_, answer) in fresh])
        self._packed.update(zip((position for position, _ in fresh), parts, strict=True))

    def in_order(self) -> list[Any]:
        """Return what was packed, and what can be of the rest."""
        with suppress(BatchesError):
            self.flush()
        return [self._packed[position] for position in sorted(self._packed)]
