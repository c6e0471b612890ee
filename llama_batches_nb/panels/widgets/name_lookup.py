"""Look up directories and configurations by name."""

from __future__ import annotations

import difflib
from functools import cached_property
from itertools import pairwise, takewhile
from typing import Any

import pandas as pd

from llama_batches_nb.fetch.names import unique_names
from llama_batches_nb.panels import markup

WORD_ENDS = " -_/.,"
MIN_COMMON = 6  # characters: names with a shorter common start are cut at their end
MAX_KEPT = 8  # characters of a common start that are shown before the first different one


class NameIndex:
    """Ids by name and names by id. A name that is not unique, or is also an id, gets its id added.

    Parameters
    ----------
    noun
        What the ids are of, for messages: ``directory``.
    prefix
        What ids start with.
    frame
        Ids in the first column and names in the column ``name``; None until they are loaded.
    """

    def __init__(self, noun: str, prefix: str, frame: pd.DataFrame | None = None) -> None:
        self._noun, self._prefix = noun, prefix
        self.loaded = frame is not None
        self.by_id: dict[str, str] = {}
        if frame is not None:
            names = frame["name"].str.strip()
            known = {
                id_: None if pd.isna(name) else str(name)
                for id_, name in zip(frame.iloc[:, 0], names, strict=True)
            }
            self.by_id = unique_names(known)

    @property
    def choices(self) -> list[str]:
        """The names to choose from, sorted."""
        return sorted(set(self.by_id.values()), key=str.casefold)

    def html(self, id_: Any) -> str:
        """Return the name of an id, which stays different from the others where it is cut off."""
        known = self.by_id.get(str(id_))
        if known is None:
            return markup.short_id(id_)
        name = known.removesuffix(f" ({id_})")
        if name != known:
            return markup.name_with_id(name, id_)
        return markup.cut_name(known, self._common_starts.get(known, 0))

    @cached_property
    def _common_starts(self) -> dict[str, int]:
        """The number of characters with which another name starts too, to the start of a word.

        A long word is cut as well, so that the first different character is always shown.
        """
        found: dict[str, int] = {}
        for one, other in pairwise(sorted(set(self.by_id.values()))):
            same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
            n_same = len(list(same))
            start = max(one.rfind(mark, 0, n_same) for mark in WORD_ENDS) + 1
            n = max(start, n_same - MAX_KEPT)
            if n >= MIN_COMMON:
                for name in (one, other):
                    found[name] = max(n, found.get(name, 0))
        return found

    def id_of(self, text: str) -> str | None:
        """Return the id for a name or an id; None for an empty text.

        Raises
        ------
        ValueError
            If the names are loaded and none matches.
        """
        text = text.strip()
        if not text:
            return None
        by_name = {name: id_ for id_, name in self.by_id.items()}
        if text in by_name:
            return by_name[text]
        if not self.loaded or text in self.by_id or text.startswith(self._prefix):
            return text
        by_folded_name = {name.casefold(): id_ for name, id_ in by_name.items()}
        if text.casefold() in by_folded_name:
            return by_folded_name[text.casefold()]
        close = difflib.get_close_matches(text, self.choices, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"No {self._noun} is named {text!r}.{hint} Choose one from the list or enter its id "
            f"({self._prefix}…)."
        )
