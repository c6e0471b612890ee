"""Processes and memory of the served dashboard: `python -m tests.browser.visits [N]`.

N visits (20) open the dashboard notebook as `make dashboard` serves it, on the embedded sandbox,
wait for its numbers and leave, half of them without notice, as a lost connection does.
Printed are the processes below the server and the memory of the server and of all, in MiB; then
the same after the kernels without a page were ended, when no process may be left.

The memory of the server rises for about 25 visits and then stays. Python keeps the arenas that
the objects of ended kernels were in, and reuses them: after 12 and after 24 visits, followed by
`gc.collect()`, as many bytes of objects are in use (50.7 and 50.6 MB, `sys._debugmallocstats()`).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import chromium
from tests.browser.serving import FOREIGN, Process, free_port

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
N_VISITS = 20
CULL = {"cull_idle_timeout": 10, "cull_interval": 2}  # seconds; 120 and 30 in voila.json
MAX_WAIT = 240_000.0  # milliseconds
CULL_TIME = 120.0  # seconds until the last kernel must have ended
MAX_MEMORY = 200.0  # MiB of the server after any number of visits


class Dashboard(Process):
    """The dashboard as `make dashboard` serves it."""

    def __init__(self, folder: Path) -> None:
        for name in ("dashboard.ipynb", "voila.json"):
            shutil.copy(NOTEBOOKS / name, folder)
        port = free_port()
        super().__init__(
            [
                *(sys.executable, "-m", "voila", "dashboard.ipynb", "--no-browser"),
                *("--Voila.ip=127.0.0.1", f"--port={port}", "--Voila.auto_token=False"),
                *(f"--MappingKernelManager.{name}={value}" for name, value in CULL.items()),
            ],
            port=port,
            token="",
            folder=folder,
            env={name: value for name, value in os.environ.items() if not FOREIGN.match(name)},
        )
        self.wait_until_it_answers("/voila/static/voila.js")

    def processes(self) -> list[int]:
        """Return the ids of the server and of all processes below it."""
        return list(_tree(self._process.pid, _parents()))


def _parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(path.parent.name)] = int(fields[1])
    return found


def _tree(process: int, parents: dict[int, int]) -> Iterator[int]:
    yield process
    for child, parent in parents.items():
        if parent == process:
            yield from _tree(child, parents)


def memory(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def show(what: str, server: Dashboard) -> float:
    """Print processes and memory; return the memory of the server."""
    processes = server.processes()
    own = memory(processes[0])
    total = sum(map(memory, processes))
    print(f"| {what} | {len(processes) - 1} | {own:,.0f} | {total:,.0f} |", flush=True)
    return own


def visit(page: Page, url: str, *, abruptly: bool) -> None:
    """Open the page, wait for its numbers, and leave."""
    page.goto(url)
    expect(page.locator(".lb-headline").first).to_contain_text("files still fail")
    if abruptly:
        page.context.set_offline(True)
    page.close()


def main(n_visits: int) -> None:
    expect.set_options(timeout=MAX_WAIT)
    with (
        tempfile.TemporaryDirectory() as folder,
        Dashboard(Path(folder)) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=chromium.find(), args=chromium.flags()
        ) as chrome,
    ):
        print("| | processes below | MiB of the server | MiB of all |\n| --- | --: | --: | --: |")
        show("before", server)
        after: list[float] = []
        for n in range(1, n_visits + 1):
            context = chrome.new_context()
            context.set_default_timeout(MAX_WAIT)
            visit(context.new_page(), server.url, abruptly=n % 2 == 0)
            context.close()
            after.append(show(f"visit {n}", server))
        until = time.monotonic() + CULL_TIME
        while len(server.processes()) > 1 and time.monotonic() < until:
            time.sleep(1)
        show("afterwards", server)
        if len(server.processes()) > 1:
            raise SystemExit(f"Processes are left: {server.log()}")
        if max(after, default=0.0) > MAX_MEMORY:
            raise SystemExit(f"The server takes more than {MAX_MEMORY:g} MiB.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N_VISITS)
