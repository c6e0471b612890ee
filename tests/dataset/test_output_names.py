"""File names for names from a server: inside the folder, valid everywhere, different."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.dataset.output_names import MAX_STEM_BYTES, assign_names, fold, safe_stem
from tests.strategies import some

HOSTILE = (
    "../../etc/passwd", "..", ".", "", " ", "/etc/passwd", "C:\\Windows\\x", "\\\\server\\share",
    "a/../b.pdf", "con.pdf", "NUL", "com1.txt.pdf", "LPT¹.pdf", ".bashrc", "...", "a.pdf.", "a ",
    "a\0b", "a\nb", "a\u202efdp.exe", "\ud800.pdf", "é.pdf", "e\u0301.pdf", "É.PDF", "A.pdf",
    "a.pdf", "a.png", "a-2.pdf", "ﬁle.pdf", "file.pdf", "x" * 300 + ".pdf", "漢" * 200,
    "x" * 300 + "y.pdf", "outputs.parquet", "~", "-rf", "a:b", "aux", "_.pdf",
)  # fmt: skip
names = st.sampled_from(HOSTILE) | st.text(max_size=12)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("invoice.pdf", "invoice"),
        ("Invoice v1.2", "Invoice v1.2"),
        ("archive.tar.gz", "archive.tar"),
        ("scans/2026/a.pdf", "scans_2026_a"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        ("..", "file"),
        ("con.pdf", "_con"),
        ("Nul", "_Nul"),
        ("com1.2026.pdf", "_com1.2026"),
        ("console.pdf", "console"),
        (".env", "_.env"),
        ("a\u202efdp.exe", "a_fdp"),
        ("नमस्ते.pdf", "नमस्ते"),
        ("e\u0301.pdf", "é"),
        ("", "file"),
    ],
)
def test_stem_of_a_name(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


@given(names)
@some
def test_stem_is_one_valid_part_of_a_path(name: str) -> None:
    stem = safe_stem(name)
    assert stem
    assert Path(stem).name == stem == os.fsdecode(os.fsencode(stem))
    assert not set(stem) & set('<>:"/\\|?*\0\n')
    assert not stem.startswith(".")
    assert stem == stem.rstrip(". ")
    assert len(stem.encode()) <= MAX_STEM_BYTES + 4
    assert safe_stem(stem + ".md") == stem


@given(st.lists(names, max_size=12), st.randoms())
@some
def test_names_differ_on_every_system_and_do_not_depend_on_the_order(
    given_names: list[str], random: object
) -> None:
    wanted = {f"dfl-{n}": (name, ".md") for n, name in enumerate(given_names)}
    taken = ["a.md", "FILE.md"]
    assigned = assign_names(wanted, taken)
    folded = [fold(name) for name in [*assigned.values(), *taken]]
    assert len(set(folded)) == len(folded)
    assert all(len(name.encode()) < 220 for name in assigned.values())
    assert assign_names(dict(reversed(wanted.items())), taken) == assigned


def test_equal_names_are_numbered_by_key() -> None:
    wanted = {"dfl-2": ("a.pdf", ".md"), "dfl-1": ("A.png", ".md"), "dfl-3": ("a.pdf", ".json")}
    assert assign_names(wanted, []) == {"dfl-1": "A.md", "dfl-2": "a-2.md", "dfl-3": "a.json"}
    assert assign_names({"dfl-1": ("a.pdf", ".md")}, ["A.MD", "a-2.md"]) == {"dfl-1": "a-3.md"}
