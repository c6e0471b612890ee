"""Ask for many things at once, and make one frame of the answers, in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import pandas as pd

from llama_batches_nb import workers
from llama_batches_nb.client import Client
from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    RateLimitError,
    carrying_partial,
    warn,
)
from llama_batches_nb.progress import Bar

T = TypeVar("T")
R = TypeVar("R")

PACK = 16  # answers that are packed together

Pack = Callable[[list[R]], list[Any]]
Bear = Callable[[T, BatchesError], bool]


def gather(
    work: Callable[[T], R],
    items: Iterable[T],
    to_frame: Callable[[list[Any]], pd.DataFrame],
    *,
    client: Client,
    shown: Bar,
    pack: Pack[R] = list,
    size: Callable[[T], int] = lambda item: 1,
    bear: Bear[T] = lambda item, error: False,
) -> pd.DataFrame:
    """Return the frame of what `work` gives for each item, in the order of the items.

    An item that fails ends it, and the error carries the frame of the others; unless `bear` says
    that the item may be left out. `size` is how far an item moves the bar. `pack` takes several
    answers and gives as many, as `to_frame` wants them: it is for what is done faster for many in
    one thread than by many threads, which would take the interpreter from each other.
    """
    parts = _Parts(pack, bear)

    def keep(numbered: tuple[int, T]) -> None:
        position, item = numbered
        parts.arrived[position] = item, work(item)

    with (
        carrying_partial(lambda: to_frame(parts.in_order())),
        workers.running(
            keep,
            enumerate(items),
            max_workers=client.max_workers,
            tick=lambda: shown.show_pause(client.pause_left()),
        ) as finished,
    ):
        for _, (_, item), future in finished:
            try:
                future.result()
            except BatchesError as error:
                if not bear(item, error):
                    raise
            shown.advance(size(item))
            if len(parts.arrived) >= PACK:
                parts.put_away()
        parts.put_away()
    return to_frame(parts.in_order())


def stream(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    client: Client,
    shown: Bar,
    bear: Bear[T] = lambda item, error: False,
) -> Generator[list[tuple[int, T, R]], None, None]:
    """Yield what `work` gives as it arrives, with the position and the item, a few at a time.

    It is for what is too much to be kept; close it when leaving early. An item that fails ends
    it, unless `bear` says that it may be left out; what arrived before is given first.
    """
    fresh: list[tuple[int, T, R]] = []
    with workers.running(
        work,
        items,
        max_workers=client.max_workers,
        tick=lambda: shown.show_pause(client.pause_left()),
    ) as finished:
        try:
            for position, item, future in finished:
                try:
                    fresh.append((position, item, future.result()))
                except BatchesError as error:
                    if not bear(item, error):
                        raise
                if len(fresh) >= PACK:
                    yield fresh
                    fresh = []
        except BatchesError:
            yield fresh
            raise
        yield fresh


class LeftOut(Generic[T]):
    """What may be left out, for `bear`: all that fails but for the key or the rate limit."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.errors: dict[T, BatchesError] = {}
        self._allowed = allowed

    def __call__(self, item: T, error: BatchesError) -> bool:
        """Keep the error, and say whether the others may go on."""
        self.errors[item] = error
        return self._allowed and not isinstance(error, AuthenticationError | RateLimitError)

    def tell(self, what: str) -> None:
        """Warn of what was left out, if anything was."""
        if self.errors:
            warn(
                f"{len(self.errors):,} {what} could not be fetched and are left out: "
                f"{', '.join(map(str, self.errors))}. The first error was: "
                f"{next(iter(self.errors.values()))}"
            )


class _Parts(Generic[T, R]):
    """The answers that have come: as they arrived, and packed; by their item's position."""

    def __init__(self, pack: Pack[R], bear: Bear[T]) -> None:
        self._pack = pack
        self._bear = bear
        self.arrived: dict[int, tuple[T, R]] = {}
        self._packed: dict[int, Any] = {}

    def put_away(self) -> None:
        """Pack all that arrived, and only then raise the error of one that can't be."""
        failed: BatchesError | None = None
        while fresh := [self.arrived.popitem() for _ in range(min(PACK, len(self.arrived)))]:
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
            self.put_away()
        return [self._packed[position] for position in sorted(self._packed)]
