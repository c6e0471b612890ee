"""What compressed bodies give on a slow link, and what they cost on a fast one.

Run `python -m tests.benchmarks.compression` from the root of the repository. The results of batches
are fetched from a server that compresses its bodies, and from one that does not; both have made the
bodies before. `requests` asks for compressed bodies unless a header says otherwise.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import time
from math import inf
from statistics import median

import llama_batches_nb as lb
from tests.benchmarks.serving import Link, serving
from tests.servers import batch, mapping

NAMES = [f"bat-{n}" for n in range(100)]
FILES = 1_000  # of each batch
LEVEL = 6  # of gzip, as servers have it
LINKS = {
    "loopback": Link(),
    "1 Gbit/s, 20 ms": Link(0.02, 125e6),
    "100 Mbit/s, 20 ms": Link(0.02, 12.5e6),
}
ROUNDS = 5


class Batches:
    """Respond with the results of a batch, from memory."""

    def __init__(self, *, compressed: bool) -> None:
        ids = random.Random(1)
        self.bodies = {}
        for name in NAMES:
            numbers = [f"{ids.getrandbits(128):032x}" for _ in range(FILES)]
            results = [mapping(f"dfl-{number}", f"pjb-{number[::-1]}") for number in numbers]
            body = json.dumps(batch(name, results=results)).encode()
            self.bodies[name] = gzip.compress(body, LEVEL) if compressed else body
        self.size = sum(map(len, self.bodies.values()))

    def __call__(self, path: str) -> bytes:
        return self.bodies[path.rpartition("/")[2].partition("?")[0]]


def seconds(url: str) -> float:
    with lb.connect("llx-secret", base_url=url) as client:
        started = time.perf_counter()
        rows = lb.fetch_results(NAMES, client=client, progress=False)
        took = time.perf_counter() - started
    assert len(rows) == len(NAMES) * FILES
    return took


def main(rounds: int) -> None:
    plain, compressed = Batches(compressed=False), Batches(compressed=True)
    print(f"{plain.size / 1e6:.1f} MB, compressed {compressed.size / 1e6:.1f} MB")
    for name, link in LINKS.items():
        zipped = Link(link.latency, link.bytes_per_second, b"Content-Encoding: gzip\r\n")
        with serving(plain, link) as url, serving(compressed, zipped) as zipped_url:
            pairs = [(seconds(url), seconds(zipped_url)) for _ in range(rounds)]
        without, with_it = (median(times) for times in zip(*pairs, strict=True))
        floor = (
            ""
            if link.bytes_per_second == inf
            else (f"; the link alone {plain.size / link.bytes_per_second:.2f} s")
        )
        print(
            f"{name:<18} plain {without:.2f} s, compressed {with_it:.2f} s,"
            f" ratio {with_it / without:.2f}{floor}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
