"""Ask for many things at once, and make one frame of the answers, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pandas as pd

from llama_batches_nb import workers
from llama_batches_nb.client import Client
from llama_batches_nb.errors import BatchesError, carrying_partial
from llama_batches_nb.progress import Bar

T = TypeVar("T")
R = TypeVar("R")

READERS = 2  # workers beyond the requests under way: one reads its answer while another sends


def gather(
    work: Callable[[T], R],
    items: Iterable[T],
    to_frame: Callable[[list[R]], pd.DataFrame],
    *,
    client: Client,
    shown: Bar,
    size: Callable[[T], int] = lambda item: 1,
    bear: Callable[[T, BatchesError], bool] = lambda item, error: False,
) -> pd.DataFrame:
    """Return the frame of what `work` gives for each item, in the order of the items.

    An item that fails ends it, and the error carries the frame of the others; unless `bear` says
    that the item may be left out. `size` is how far an item moves the bar.
    """
    parts: dict[int, R] = {}

    def keep(numbered: tuple[int, T]) -> None:
        position, item = numbered
        parts[position] = work(item)

    def so_far() -> pd.DataFrame:
        return to_frame([parts[position] for position in sorted(parts)])

    with (
        carrying_partial(so_far),
        workers.running(
            keep,
            enumerate(items),
            max_workers=client.max_workers + READERS,
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
    return so_far()
