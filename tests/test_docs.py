"""The code, commands and lists in the README and the documentation are correct."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.__main__ import build_parser
from llama_batches_nb.sandbox_server.process import Server

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PROGRAMS = (["llama-batches-nb"], ["python", "-m", "llama_batches_nb"])


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of one language in a Markdown file."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.M)


def commands(path: Path) -> Iterator[list[str]]:
    """Yield the arguments of each call of this package's command line in a Markdown file."""
    for block in blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.replace("2>&1", ""), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
            for program in PROGRAMS:
                for n in range(len(words)):
                    if words[n : n + len(program)] == program:
                        rest = words[n + len(program) :]
                        ends = [i for i, word in enumerate(rest) if word[0] in "|&;<>()"]
                        yield rest[: ends[0]] if ends else rest


def run(path: Path) -> dict[str, object]:
    """Run the Python blocks of a file one after the other, and return their variables."""
    names: dict[str, object] = {}
    try:
        for block in blocks(path, "python"):
            exec(compile(block, path.name, "exec"), names)
    finally:
        box = names.get("box")
        if isinstance(box, lb.Sandbox):
            box.close()
    return names


@pytest.mark.filterwarnings("ignore::UserWarning")  # such as of failed pages in the sample data
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page, "python")],
    ids=lambda page: str(page.relative_to(DOCS)),
)
def test_code_of_page_runs(
    page: Path,
    on_sandbox: lb.Client,
    sandbox_server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox_server.api_key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox_server.url)
    names = run(page)
    assert set(names) > {"__builtins__"}, "the blocks of the page define nothing"


@pytest.mark.filterwarnings("ignore:COMPLETED batches without results")  # of the last minutes
def test_code_of_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(run(README)["files"], pd.DataFrame)


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_page_have_valid_arguments(page: Path) -> None:
    for arguments in commands(page):
        if arguments != ["--help"]:
            assert callable(build_parser().parse_args(arguments).run), arguments


def test_reference_lists_every_public_name_once() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (DOCS / "reference").glob("*.rst"))
    listed = re.findall(r"^ {3}([A-Za-z]\w+)$|^\.\. autoexception:: (\w+)$", text, re.MULTILINE)
    counts = Counter(name or error for name, error in listed)
    assert counts == Counter(lb.__all__)
