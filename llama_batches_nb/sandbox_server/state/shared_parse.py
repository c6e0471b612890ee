"""Extract batches that use the parse jobs of an earlier batch over the same directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.state.clock import DAY
from llama_batches_nb.sandbox_server.state.pricing import parse_tier

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

MAX_AGE = 2 * DAY  # of a parse job that is used again: parsing is free for 48 hours


class SharedParseBatches:
    """The number of the batch whose parse jobs each extract batch uses.

    It is its own number, or that of the first extract batch with the same directory and the same
    parse tier that started at most `MAX_AGE` before. Batches are read in order, once.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._numbers: list[int] = []
        self._latest: dict[tuple[int, str], int] = {}

    def number(self, batch_number: int) -> int:
        """Return the number of the batch whose parse jobs a batch uses."""
        for batch in self._state.batches[len(self._numbers) : batch_number + 1]:
            number = batch.number
            if batch.job_type == "extract_v2":
                tier = parse_tier(self._state.configurations[batch.configuration])
                first = self._latest.get((batch.directory, tier))
                if first is None or batch.created - self._state.batches[first].created > MAX_AGE:
                    self._latest[batch.directory, tier] = number
                else:
                    number = first
            self._numbers.append(number)
        return self._numbers[batch_number]
