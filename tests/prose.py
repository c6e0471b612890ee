"""Check that what people read is plain technical English: `python -m tests.prose`.

Each pattern is a phrase that has a plainer form. Source, documentation and notebooks are checked;
this file, which has to spell the phrases, is not.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUFFIXES = {".py", ".md", ".ipynb", ".toml", ".yml", ".yaml", ".css"}

PLAINER = {
    r"what (?:became|becomes|has become) of": "outcome",
    r"can(?:'t|not) be (?:had|told)": "is not available, is unknown",
    r"makes? no sense": "is invalid",
    r"of one'?s own": "separate, own",
    r"(?:is|are|was|were|be) borne|\bbear_|\bbears?\b": "tolerate, accept",
    r"\btold\b|\btells?\b|\btelling\b": "report, show, pass",
    r"\bsaid\b|\bsays? (?:of|so)\b": "reported, text, message",
    r"\basked for\b|\bis asked\b|\bare asked\b": "requested",
    r"\bthrice\b|\btwain\b|\banew\b|\bthereof\b|\btherein\b|\bwherein\b|\bwhence\b": "(archaic)",
    r"\bas (?:it|they) (?:now )?stands?\b": "current state",
    r"\bin vain\b": "without effect",
    r"\bno more of\b": "no further",
    r"\bgoes on\b|\bgo on\b|\bwent on\b": "continue",
    r"should (?:you|the|it|they|a|an) \w+ (?:have|get|be|fail|want|need)": "if …",
    r"\ba person\b|\bsomebody\b": "the user",
    r"\bon bad days\b|\bbad days\b": "faults, load",
    r"\bseen off\b|\bsee them off\b|\bsee them end\b": "wait for",
    r"\bwhoever\b": "who, anyone who",
    r"\bput away\b|\bput in order\b": "flush, sort",
    r"\b(?:MOST|LONGEST|LARGEST|SHORTEST|FEWEST|LEAST)_": "MAX_, MIN_",
}
RULES = [(re.compile(pattern), plainer) for pattern, plainer in PLAINER.items()]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a file; of a notebook, those of its cells without outputs."""
    if path.suffix != ".ipynb":
        yield from enumerate(path.read_text("utf-8").splitlines(), 1)
        return
    for n, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
        for line in "".join(cell["source"]).splitlines():
            yield n, line


def findings(path: Path) -> Iterator[str]:
    """Yield a line for each phrase of a file that has a plainer form."""
    for n, line in texts(path):
        words = line.replace("_", " ")  # names of functions and tests are read as sentences
        for pattern, plainer in RULES:
            if match := pattern.search(line) or pattern.search(words):
                yield f"{path.relative_to(ROOT)}:{n}: {match[0]!r}: write {plainer}"


def tracked_files() -> list[Path]:
    """Return the files to check."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = (ROOT / name for name in names)
    return [p for p in paths if p.suffix in SUFFIXES and p.is_file() and p != Path(__file__)]


def main() -> int:
    """Print the findings; return 1 if there are any."""
    found = [line for path in tracked_files() for line in findings(path)]
    print("\n".join(found) or "Prose: no findings.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
