"""Times of the filter panel and sizes of saved panels.

Run `python -m tests.benchmarks.panels` from the root of the repository. A sandbox in another
process serves the batches. Times are the shortest of three; except for the first row, they are
of the processor, which other work on the machine does not change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ipywidgets.embed import dependency_state

import llama_batches_nb as lb
from llama_batches_nb.panels.browse.filter_panel import FilterPanel
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

SIZES = (10_000, 100_000)  # batches of one file
REPEATS = 3
FIRST_PAGE_TIME = 1.0  # seconds for the first row
MAX_TIME = {10_000: 0.15, 100_000: 0.3}  # seconds for a search, a sort, a page
MAX_SIZE = {"filter_panel": 300_000, "create_panel": 300_000, "dashboard": 600_000}  # bytes
HEAD = "| {} | measured | limit |\n| --- | --: | --: |"


def best(action: Callable[[], object]) -> float:
    """Return the shortest of some times in seconds."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def first_row(panel: FilterPanel) -> float:
    """Return the seconds from the click on Fetch to the first row."""
    panel.include.value = "batches"
    started = time.perf_counter()
    panel.fetch()
    while not len(panel.batches):
        time.sleep(0.005)
    seconds = time.perf_counter() - started
    panel.wait()
    return seconds


def times(n: int) -> dict[str, tuple[float, float]]:
    """Return seconds and the limit for each action on a table of `n` batches."""
    with (
        Server.start(Options(batches=n, files=(1, 1), speed=0)) as server,
        lb.connect(server.api_key, base_url=server.url),
    ):
        panel = lb.filter_panel()
        panel.wait()
        limit, table = MAX_TIME[n], panel.table
        found = {"first row": (first_row(panel), FIRST_PAGE_TIME)}

        def first_search(words: str) -> None:
            table.search.value = ""
            table.redraw()  # forgets the texts
            table.search.value = words

        def sort(name: str) -> None:
            table.sort(name)
            table.sort(name, ascending=False)

        found["first search"] = best(lambda: first_search("agentic completed")), limit
        found["next search"] = best(lambda: search_in_turn(table)) / 2, limit
        table.search.value = ""
        for name in ("status", "source_directory_id", "created_at", "batch_id"):
            found[f"sort by {name}"] = best(partial(sort, name)) / 2, limit

        def turn() -> None:
            table.turn_pages(1)
            table.turn_pages(-1)

        found["page"] = best(turn) / 2, limit
        panel.close()
        return found


def search_in_turn(table: Any) -> None:
    table.search.value = "invoices"
    table.search.value = "annual reports"


def sizes() -> dict[str, tuple[int, int]]:
    """Return the bytes that each panel adds to a saved notebook, and the limit."""
    found = {}
    with (
        Server.start(Options(batches=1_000, files=(1, 60), speed=0)) as server,
        lb.connect(server.api_key, base_url=server.url),
    ):
        for name, limit in MAX_SIZE.items():
            panel = getattr(lb, name)()
            if isinstance(panel, FilterPanel):
                panel.fetch().wait()
                panel.choose(panel.batches["batch_id"].iloc[0])
            panel.wait()
            state = json.dumps(dependency_state(panel))
            found[name] = len(state) + len(panel._saved.html()), limit
            panel.close()
    return found


if __name__ == "__main__":
    for n in SIZES:
        print(HEAD.format(f"{n:,} batches"))
        for what, (seconds, most) in times(n).items():
            print(f"| {what} | {seconds:.3f} s | {most:g} s |", flush=True)
        print()
    print(HEAD.format("saved with 1,000 batches"))
    for name, (n_bytes, most) in sizes().items():
        print(f"| `{name}` | {n_bytes / 1000:,.0f} kB | {most / 1000:,.0f} kB |")
