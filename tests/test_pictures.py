"""The pictures of the README and the documentation exist, and their captions are true."""

from __future__ import annotations

import re

import pytest

from tests import pictures
from tests.test_docs import DOCS, PAGES, README

MAX_BYTES = 200_000


def test_each_picture_is_small_and_used() -> None:
    used = {
        (page.parent / name).resolve()
        for page in (README, *PAGES)
        for name in re.findall(r"[\w./-]+\.png", page.read_text("utf-8"))
        if name.count("/") or page.parent == DOCS
    }
    made = {pictures.path_of(name, theme) for name in pictures.NAMES for theme in pictures.THEMES}
    assert set(DOCS.glob("*.png")) == made <= used
    assert [path for path in made if path.stat().st_size > MAX_BYTES] == []


@pytest.mark.filterwarnings("ignore::UserWarning")  # such as of undecided files
def test_captions_are_true_of_the_data() -> None:
    with pictures.sample_data() as server:
        captions = pictures.captions(pictures.fetch_files(server))
    assert set(captions) == set(pictures.NAMES)
    readme, index, panels = (page.read_text("utf-8") for page in pictures.PAGES)
    captions_of = {
        name: re.findall(rf'(?<=alt=")[^"]*(?=" src="docs/{name}-)', readme)
        + re.findall(rf"image}} (?:\.\./)?{name}-\w+\.png\n:alt: (.*)", index + panels)
        for name in pictures.NAMES
    }
    for name, found in captions_of.items():
        assert len(found) >= len(pictures.THEMES)
        assert set(found) == {captions[name]}
