"""Attack a dataset at each operation on its files, and write the table of the documentation.

Run `python -m tests.reliability.datasets` from the root of the repository; it takes some minutes.
With `--step 5`, only each fifth operation is tried.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import llama_batches_nb as lb
from tests.dataset.attacks import Attacks, Damage
from tests.dataset.sync_processes import SyncProcesses
from tests.fake_api import FakeApi
from tests.reliability import page
from tests.servers import Server

NAME = "datasets"
COLUMNS = ("attack", "trials", "missing until the next sync", "lost", "doubled", "unexpected")
OPERATIONS = range(1, 500)  # a sync has fewer
RANDOM_POINTS = 30


def row(what: str, found: Iterable[Damage]) -> list[object]:
    """Return one row of the table."""
    damages = list(found)
    values = [what, len(damages), *(sum(column) for column in zip(*damages, strict=True))]
    print(*values, sep=" | ", flush=True)
    return values


def points(n_syncs: int, n_points: int) -> list[tuple[int, ...]]:
    """Return operations at which so many syncs are suspended."""
    rng = random.Random(n_syncs)
    return [tuple(rng.randrange(1, 60) for _ in range(n_syncs)) for _ in range(n_points)]


def rows(attacks: Attacks, step: int) -> Iterator[list[object]]:
    """Run all attacks."""
    operations, n_points = OPERATIONS[::step], RANDOM_POINTS // step
    yield row("a sync is killed", attacks.stop_one("kill", operations))
    yield row("an operation fails", attacks.stop_one("fail", operations))
    one = [(n,) for n in operations]
    yield row("a sync is suspended while another runs", attacks.suspend(one))
    skewed = attacks.suspend(one[::2], (9.0,))
    yield row("the same with a clock that is 9 hours ahead", skewed)
    two, three = (points(n, n_points) for n in (2, 3))
    yield row("two are suspended while a third runs", attacks.suspend(two, (0.0, -7.0)))
    yield row("three, while a fourth runs", attacks.suspend(three, (0.0, 9.0, -7.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1)
    step = parser.parse_args().step
    api = FakeApi(page_size=4)
    server = Server(api)
    with (
        lb.connect("llx-secret", base_url=server.url, max_retries=0),
        SyncProcesses(server.url) as processes,
        tempfile.TemporaryDirectory() as folder,
    ):
        found = list(rows(Attacks(api, processes, Path(folder)), step))
    server.close()
    page.write(NAME, page.table(COLUMNS, found))
    if any(any(values[3:]) for values in found):
        raise RuntimeError("rows were lost or doubled")


if __name__ == "__main__":
    main()
