"""Accuracy and speed of grouping error messages, beside drain3, a log template miner.

Run `python -m tests.benchmarks.patterns` from the root of the repository. To include drain3,
install it elsewhere (`pip install --target DIR drain3`) and add DIR to `PYTHONPATH`.

With a folder as its argument, it compares the accuracy on labelled logs instead: CSV files with the
columns ``Content`` and ``EventId``, such as those of loghub (https://github.com/logpai/loghub). The
speed is that of the distinct messages of the log, and of 100,000 of them with other digits.

`accuracy` is the share of messages whose group contains all messages of their kind and no others.
`shuffled` and `half` are the shares of messages that keep their pattern when the messages arrive in
another order, and when only half of them arrive.
"""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pandas as pd

from llama_batches_nb.analysis.masking import mask_all
from llama_batches_nb.analysis.patterns import error_patterns
from llama_batches_nb.sandbox_server.state import error_messages as sandbox

N_WITH_OTHER_NUMBERS = 100_000
NAMES = (
    "INV-2026-{n:05d}.pdf",
    "Brouwer & Zonen invoice {n}.pdf",
    "O'Neil's lease, signed ({n}).pdf",
    "年次報告書 2026 {n}.pdf",
    "Formulario de admisión {n} Évora.docx",
)
HARDER = (
    "Job {uuid} was evicted from node {hex}",
    "Job pjb-{uuid} of file dfl-{uuid} has no pages",
    "GET {url} answered {n}",
    "Webhook {url} timed out after {decimal} s",
    "Cannot open {windows}: it is locked",
    "Cannot read {posix} at byte {n}",
    "No fonts in {posix}",
    "{bare} is not a PDF",
    "Confidence {decimal} of '{name}' is below {percent}%",
    "'{name}' has {size}, more than {size}",
    'Upload of "{name}" isn\'t complete: {size} of {size}',
    "Since {time} no worker has taken job {hex}",
    "Checksum 0x{hex} of {bare} is wrong",
    "Value {decimal} at page {n}, row {n} can't be read",
    "Missing fields {names}",
)
SUBJECTS = (
    "parser", "extractor", "queue", "storage", "layout model", "page renderer", "font cache",
    "image decoder", "table finder", "tokenizer", "schema validator", "webhook", "billing",
    "directory", "mapper", "archive", "language model", "router", "scheduler", "index",
)  # fmt: skip
ENDINGS = (
    "lost page {n} of '{name}'",
    "timed out after {decimal} s on {uuid}",
    "refused {size} from {posix}",
    "could not reach {url}",
    "has no room for '{name}' ({percent}%)",
    "was restarted at {time} during page {n}",
    "did not understand page {n} of {n}",
    "ran out of memory at {size}",
    "gave up on dfl-{uuid} after {n} attempts",
    "rejected '{name}' with code 0x{hex}",
)


def filled(template: str, draw: Random) -> str:
    """Fill the placeholders of a message, each with a different value."""
    while "{" in template:
        blank = template[template.index("{") : template.index("}") + 1]
        template = template.replace(blank, _fillings(draw)[blank[1:-1]](), 1)
    return template


def _fillings(draw: Random) -> dict[str, Callable[[], str]]:
    def name() -> str:
        return draw.choice(NAMES).format(n=draw.randint(1, 9999))

    n, bits = draw.randint(1, 99_999), draw.getrandbits
    return {
        "n": lambda: draw.choice((str(n), f"{n:,}")),
        "decimal": lambda: f"{n / 1000:.{draw.randint(0, 3)}f}",
        "percent": lambda: f"{n / 1000:.1f}",
        "size": lambda: f"{n / 100:.1f} {draw.choice(('kB', 'MB', 'GiB', 'bytes'))}",
        "uuid": lambda: str(UUID(int=bits(128))),
        "hex": lambda: f"{bits(64):016x}",
        "time": lambda: pd.Timestamp(10**9 + n, unit="s").isoformat() + draw.choice(("", "Z")),
        "url": lambda: f"https://host-{n}.example/{bits(32):x}/a?page={n}",
        "windows": lambda: rf"C:\Users\Bob {n}\in\{name().replace(',', '')}",
        "posix": lambda: f"/data/{n}/" + "sub/" * draw.randint(0, 3) + f"scan_{n}.tiff",
        "bare": lambda: f"scan_{n}_年次.pdf",
        "name": name,
        "names": lambda: ", ".join(f"'{name()}'" for _ in range(draw.randint(1, 4))),
    }


def messages_of(templates: Sequence[str], count: int) -> tuple[list[str], list[int]]:
    """Return messages and the kind of each; the kinds have very different sizes."""
    draw = Random(0)
    kinds = [int(len(templates) * draw.random() ** 1.6) for _ in range(count)]
    return [filled(templates[kind], draw) for kind in kinds], kinds


def messages_of_sandbox(count: int) -> tuple[list[str], list[int]]:
    """Return messages of the sandbox."""
    draw = Random(0)
    templates = list(
        dict.fromkeys((*sandbox.PARSE_ERRORS, *sandbox.EXTRACT_ERRORS, sandbox.DRIFT_ERROR))
    )
    templates += [*sandbox.MAPPING_ERRORS, sandbox.UNSUPPORTED_FILE_ERROR]
    kinds = [draw.randrange(len(templates)) for _ in range(count)]
    found = []
    for kind in kinds:
        name = draw.choice(NAMES).format(n=draw.randint(1, 9999))
        file_id = f"dfl-{UUID(int=draw.getrandbits(128))}"
        found.append(sandbox.format_message(templates[kind], draw, name, 30, file_id))
    return found, kinds


def ours(messages: Sequence[str]) -> list[str]:
    return mask_all(messages)


def drain(messages: Sequence[str]) -> list[str]:
    """Return the final drain3 template of each message."""
    miner = importlib.import_module("drain3").TemplateMiner(config=_drain_config())
    clusters = [miner.add_log_message(message)["cluster_id"] for message in messages]
    templates = {cluster.cluster_id: cluster.get_template() for cluster in miner.drain.clusters}
    return [templates[cluster] for cluster in clusters]


def drain_of_masked(messages: Sequence[str]) -> list[str]:
    return drain(ours(messages))


def _drain_config() -> Any:
    return importlib.import_module("drain3.template_miner_config").TemplateMinerConfig()


def accuracy(kinds: Sequence[object], patterns: Sequence[str]) -> float:
    """Return the grouping accuracy of Zhu et al. 2019, "Tools and benchmarks for log parsing"."""
    pairs = Counter(zip(kinds, patterns, strict=True))
    of_kind, of_pattern = Counter(kinds), Counter(patterns)
    right = (n for (k, p), n in pairs.items() if n == of_kind[k] == of_pattern[p])
    return sum(right) / len(kinds)


def kept(
    group: Callable[[Sequence[str]], list[str]], messages: Sequence[str], rows: Sequence[int]
) -> float:
    """Return the share of rows that keep their pattern when only these arrive, in this order."""
    before, after = group(messages), group([messages[row] for row in rows])
    return sum(before[row] == then for row, then in zip(rows, after, strict=True)) / len(rows)


def compare(title: str, messages: list[str], kinds: list[int]) -> None:
    """Print the accuracy of each grouper."""
    groupers = [ours]
    if importlib.util.find_spec("drain3"):
        groupers += [drain, drain_of_masked]
    shuffled = Random(1).sample(range(len(messages)), len(messages))
    half = sorted(shuffled[::2])
    print(f"\n{title}: {len(messages):,} messages, {len(set(messages)):,} of them distinct")
    for group in groupers:
        start = time.perf_counter()
        patterns = group(messages)
        seconds = time.perf_counter() - start
        print(
            f"{group.__name__:16} {len(set(patterns)):6,} patterns of {len(set(kinds))} kinds"
            f"   accuracy {accuracy(kinds, patterns):6.1%}"
            f"   shuffled {kept(group, messages, shuffled):6.1%}"
            f"   half {kept(group, messages, half):6.1%}   {seconds:5.1f} s"
        )


def compare_labelled_logs(folder: Path) -> None:
    """Print the accuracy on each log of a folder, the speed of `mask_all` on it, and the means."""
    groupers = [ours, drain] if importlib.util.find_spec("drain3") else [ours]
    table = {}
    for path in sorted(folder.glob("*.csv")):
        log = pd.read_csv(path, dtype="str", keep_default_na=False)
        messages, kinds = log["Content"].tolist(), log["EventId"].tolist()
        table[path.stem] = {
            **{group.__name__: accuracy(kinds, group(messages)) for group in groupers},
            "distinct": len(set(messages)),
            "distinct a second": speed(messages),
            "with other numbers": speed(with_other_numbers(messages, N_WITH_OTHER_NUMBERS)),
        }
    means = pd.DataFrame(table).T
    means.loc["mean"] = means.mean()
    print(means.round(3).to_string(float_format="{:,.6g}".format))


def with_other_numbers(messages: Sequence[str], count: int) -> list[str]:
    """Return messages that differ from those given, and from each other, in their digits."""
    draw = Random(0)
    templates = [message for message in messages if sum(map(str.isdigit, message)) >= 3]
    return [
        re.sub("[0-9]", lambda _: draw.choice("0123456789"), draw.choice(templates))
        for _ in range(count)
    ]


def speed(messages: Sequence[str]) -> float:
    """Return how many distinct messages are masked in a second of one core."""
    distinct = list(dict.fromkeys(messages))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        mask_all(distinct)
        seconds.append(time.process_time() - start)
    return len(distinct) / min(seconds)


def main() -> None:
    """Print the comparison, then the speed of `mask_all` and the time of `error_patterns`."""
    if len(sys.argv) > 1:
        compare_labelled_logs(Path(sys.argv[1]))
        return
    compare("sandbox", *messages_of_sandbox(20_000))
    compare("harder", *messages_of(HARDER, 20_000))
    templates = [f"The {subject} {ending}" for subject in SUBJECTS for ending in ENDINGS]
    messages, kinds = messages_of(templates, 100_000)
    compare("200 kinds", messages, kinds)
    print()
    print(f"mask_all: {speed(messages):,.0f} distinct messages a second")
    jobs = pd.DataFrame({"job_id": "pjb", "status": "FAILED", "error_message": messages})
    start = time.perf_counter()
    found = error_patterns(jobs)
    print(f"error_patterns: {len(found)} rows in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
