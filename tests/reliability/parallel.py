"""Fetch in worker processes, with few descriptors, and write the table of the documentation.

Run `python -m tests.reliability.parallel` from the root of the repository.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.reliability import page
from tests.servers import Request, Server, batch, mapping
from tests.servers import page as list_page

NAME = "parallel"
COLUMNS = ("workers", "descriptors", "rows", "lost", "doubled")
N_CALLS, N_BATCHES, N_FILES = 24, 10, 50  # calls, batches of a call, files of a batch
FEW_DESCRIPTORS = 64
MAX_SECONDS = 120.0

SCRIPT = """
    import json, sys
    import llama_batches_nb as lb

    CALLS = [[f"bat-{{call}}-{{n}}" for n in range({n_batches})] for call in range({n_calls})]

    if __name__ == "__main__":
        lb.fetch_batches(limit=1)  # this process has a client, too
        {work}
        print(json.dumps([file for frame in frames for file in frame.source_directory_file_id]))
"""
POOL = """
        import multiprocessing
        with multiprocessing.get_context("{method}").Pool(4) as pool:
            frames = pool.map(lb.fetch_results, CALLS)
"""
JOBLIB = """
        from joblib import Parallel, delayed
        parallel = Parallel(n_jobs=4, backend="{backend}")
        frames = parallel(delayed(lb.fetch_results)(ids) for ids in CALLS)
"""
DASK = """
        import dask
        calls = [dask.delayed(lb.fetch_results)(ids) for ids in CALLS]
        frames = dask.compute(*calls, scheduler="processes", num_workers=4)
"""
THREADS = """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(20) as pool:
            frames = list(pool.map(lb.fetch_results, CALLS))
"""
WORK = {
    "multiprocessing, spawn": POOL.format(method="spawn"),
    "multiprocessing, fork": POOL.format(method="fork"),
    "multiprocessing, forkserver": POOL.format(method="forkserver"),
    "joblib, loky": JOBLIB.format(backend="loky"),
    "joblib, multiprocessing": JOBLIB.format(backend="multiprocessing"),
    "Dask, processes": DASK,
    "threads of one client": THREADS,
}


def _respond(request: Request) -> Any:
    name = request.path.rsplit("/", 1)[1]
    if name == "batches":
        return list_page([batch("bat-0-0", results=None)])
    return batch(name, results=[mapping(f"dfl-{name}-{n}", "pjb-1") for n in range(N_FILES)])


def run(work: str, url: str, n_descriptors: int | None) -> list[str]:
    """Return the files that the workers fetched."""

    def limit() -> None:
        if n_descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n_descriptors, n_descriptors))

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.py"  # worker processes import it
        content = dedent(SCRIPT.format(n_batches=N_BATCHES, n_calls=N_CALLS, work=work.strip()))
        script.write_text(content)
        output = subprocess.check_output(
            [sys.executable, "-W", "ignore::DeprecationWarning", script],
            env={**os.environ, "LLAMA_CLOUD_API_KEY": "llx-any", "LLAMA_CLOUD_BASE_URL": url},
            preexec_fn=limit,
            timeout=MAX_SECONDS,
        )
    found: list[str] = json.loads(output)
    return found


def row(name: str, n_descriptors: int | None) -> list[object]:
    """Return one row of the table."""
    batches = [f"bat-{call}-{n}" for call in range(N_CALLS) for n in range(N_BATCHES)]
    expected = Counter(f"dfl-{it}-{n}" for it in batches for n in range(N_FILES))
    with Server(_respond) as server:
        found = Counter(run(WORK[name], server.url, n_descriptors))
    lost, doubled = (expected - found).total(), (found - expected).total()
    values: list[object] = [name, n_descriptors or "no limit", found.total(), lost, doubled]
    print(*values, sep=" | ", flush=True)
    return values


def main() -> None:
    found = [row(name, limit) for name in WORK for limit in (None, FEW_DESCRIPTORS)]
    page.write(NAME, page.table(COLUMNS, found))
    if any(any(values[3:]) for values in found):
        raise RuntimeError("rows were lost or doubled")


if __name__ == "__main__":
    main()
