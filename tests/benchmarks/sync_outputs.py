"""Memory of a sync with outputs: many pages, large pages, and jobs of many pages.

Run `python -m tests.benchmarks.sync_outputs` from the root of the repository; it needs some
minutes. Each sync runs in a fresh process, whose peak resident memory is measured; a server in
another process answers at once. With `--shape`, only that shape is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import llama_batches_nb as lb
from tests.benchmarks.memory import peak
from tests.benchmarks.outputs import body_of
from tests.benchmarks.serving import serving
from tests.servers import batch, mapping

MAX_MIB = 500
FILES = 1_000  # of a batch


@dataclass(frozen=True)
class Shape:
    """Jobs, pages of each, and characters of a page."""

    jobs: int
    pages: int
    size: int


SHAPES = {
    "many jobs": Shape(200_000, 10, 2_000),
    "many pages": Shape(10_000, 200, 2_000),
    "long jobs": Shape(1_000, 2_000, 2_000),
    "large pages": Shape(400, 10, 1_000_000),
}


class Api:
    """Respond as the API does about batches of completed jobs."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.before_id, self.after_id = body_of("pjb-0", shape.pages, shape.size).split(b"pjb-0", 1)

    def __call__(self, path: str) -> bytes:
        url = urlsplit(path)
        *_, kind, name = url.path.split("/")
        if kind == "parse":
            return b"".join((self.before_id, name.encode(), self.after_id))
        if name == "parse":
            ids = parse_qs(url.query)["job_ids"]
            return json.dumps({"items": [{"id": i, "status": "COMPLETED"} for i in ids]}).encode()
        numbers = range(0, self.shape.jobs, FILES)
        if name == "batches":
            listed = [batch(f"bat-{n}", results=None) for n in numbers]
            return json.dumps({"items": listed, "total_size": len(listed)}).encode()
        first = int(name.partition("-")[2])
        jobs = range(first, min(first + FILES, self.shape.jobs))
        results = [mapping(f"dfl-{n}", f"pjb-{n}") for n in jobs]
        return json.dumps(batch(name, results=results)).encode()


def child(url: str, path: str) -> None:
    """Sync for `measure`."""
    before = peak()
    with lb.connect("llx-secret", base_url=url):
        started = time.perf_counter()
        report = lb.sync_dataset(path, outputs="markdown", names=False, progress=False)
        seconds = time.perf_counter() - started
    found = {"rows": report.total["pages"], "seconds": seconds, "peak": peak(), "before": before}
    print(json.dumps(found))


def measure(shape: Shape) -> dict[str, Any]:
    with serving(Api(shape)) as url, tempfile.TemporaryDirectory() as path:
        command = [sys.executable, "-m", __spec__.name, "--child", url, path]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--divide", type=int, default=1, help="number of jobs by this")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    for name in [given.shape] if given.shape else SHAPES:
        shape = Shape(**asdict(SHAPES[name]) | {"jobs": SHAPES[name].jobs // given.divide})
        run = measure(shape)
        assert run["rows"] == shape.jobs * shape.pages
        print(
            f"{name:<12} {shape.jobs:>7,} jobs of {shape.pages:>5,} pages of {shape.size:>9,} B: "
            f"{run['seconds']:>6.1f} s, peak {run['peak']:>5.0f} MiB (imports {run['before']:.0f};"
            f" {'met' if run['peak'] <= MAX_MIB else 'NOT MET'}: {MAX_MIB})",
            flush=True,
        )


if __name__ == "__main__":
    main()
