"""End scripts while panels, fetches and syncs work, and write the table of the documentation.

Run `python -m tests.reliability.exits` from the root of the repository, with the interpreters to
try as arguments; the default is this one. Each script ends at a random time, 20 of each kind.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.reliability import page
from tests.servers import Request, Server, batch, mapping
from tests.servers import page as list_page

NAME = "exits"
COLUMNS = ("Python", "work at exit", "exits", "hanging", "failed", "longest, s")
N_EXITS = 20  # of each kind
MAX_SECONDS = 60.0  # from the end of the script to that of its process; more is a hang
MAX_WORK = 1.0  # seconds of work before the end
N_BATCHES = 20_000  # more than can be fetched in that time

SCRIPT = """
    import sys, threading, time
    import llama_batches_nb as lb

    def start(fn, *arguments, **options):
        threading.Thread(target=fn, args=arguments, kwargs=options, daemon=True).start()

    {line}
    time.sleep(float(sys.argv[2]))
    print("end", flush=True)
"""
WORK = {
    "panels": "panels = [lb.filter_panel(), lb.dashboard(), lb.create_panel()]",
    "fetches": "start(lb.fetch_results, progress=False); start(lb.fetch_batches, progress=False)",
    "sync": "start(lb.sync_dataset, sys.argv[1], jobs=True, progress=False)",
}


def _respond(request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if name == "batches":
        start = int(request.param("page_token") or 0)
        rows = [batch(f"bat-{n}", results=None) for n in range(start, start + 200)]
        return list_page(rows, str(start + 200) if start + 200 < N_BATCHES else None)
    if name in ("parse", "extract"):
        return list_page([{"id": it, "status": "COMPLETED"} for it in request.query["job_ids"]])
    if name.startswith("bat-"):
        return batch(name, results=[mapping(f"dfl-{name}-{n}", f"pjb-{n}") for n in range(50)])
    return list_page([])


def exit_once(python: str, work: str, url: str, folder: str, seconds: float) -> tuple[str, float]:
    """Return how a script ended, and the seconds from its last line to the end of its process."""
    script = dedent(SCRIPT).format(line=WORK[work])
    with subprocess.Popen(
        [python, "-c", script, folder, str(seconds)],
        env={**os.environ, "LLAMA_CLOUD_API_KEY": "llx-any", "LLAMA_CLOUD_BASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "end\n"
        started = time.monotonic()
        try:
            _, err = process.communicate(timeout=MAX_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return "hanging", MAX_SECONDS
    result = "ended" if (process.returncode, err) == (0, "") else f"{process.returncode}: {err}"
    return result, time.monotonic() - started


def rows(python: str) -> Iterator[list[object]]:
    """Yield the rows of one interpreter."""
    version = subprocess.check_output([python, "-V"], text=True).split()[1]
    for work in WORK:
        rng, ends = random.Random(work), []
        for _ in range(N_EXITS):
            with Server(_respond) as server, tempfile.TemporaryDirectory() as folder:
                kept = str(Path(folder) / "kept")
                ends.append(exit_once(python, work, server.url, kept, rng.random() * MAX_WORK))
        n_hanging = sum(result == "hanging" for result, _ in ends)
        failed = [result for result, _ in ends if result not in ("ended", "hanging")]
        print(*failed, sep="\n", end="", file=sys.stderr)
        longest = f"{max(seconds for _, seconds in ends):.1f}"
        row = [version, work, len(ends), n_hanging, len(failed), longest]
        print(*row, sep=" | ", flush=True)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    found = [row for python in parser.parse_args().pythons for row in rows(python)]
    page.write(NAME, page.table(COLUMNS, found))
    if any(row[3] or row[4] for row in found):
        raise RuntimeError("a script did not end, or ended with an error")


if __name__ == "__main__":
    main()
