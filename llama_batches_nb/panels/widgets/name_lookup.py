"""The names behind ids: what a person may choose from, or type."""

from __future__ import annotations

import difflib
from collections import Counter

import pandas as pd


class NameIndex:
    """Ids by name, and names by id. Names that could mean several ids are told apart by the id."""

    def __init__(self, what: str, prefix: str, frame: pd.DataFrame | None = None) -> None:
        self._what, self._prefix = what, prefix
        self.loaded = frame is not None
        self.by_id: dict[str, str] = {}
        if frame is not None:
            ids, names = frame.iloc[:, 0], frame["name"].str.strip()
            told_apart = [f"{name} ({one})" for one, name in zip(ids, names, strict=True)]
            meanings = Counter([*ids, *names.dropna(), *told_apart])
            for one, name, longer in zip(ids, names, told_apart, strict=True):
                if pd.isna(name) or not name:
                    self.by_id[one] = one
                else:
                    self.by_id[one] = name if meanings[name] == 1 else longer

    @property
    def choices(self) -> list[str]:
        """What to choose from, in order."""
        return sorted(set(self.by_id.values()), key=str.casefold)

    def id_of(self, given: str) -> str | None:
        """Return the id that a person means by a name or an id; None if nothing was given."""
        given = given.strip()
        if not given:
            return None
        by_name = {name: one for one, name in self.by_id.items()}
        if given in by_name:
            return by_name[given]
        if not self.loaded or given in self.by_id or given.startswith(self._prefix):
            return given
        folded = {name.casefold(): one for name, one in by_name.items()}
        if given.casefold() in folded:
            return folded[given.casefold()]
        near = difflib.get_close_matches(given, self.choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"No {self._what} is called {given!r}.{hint} Choose one from the list, or type its id "
            f"({self._prefix}…)."
        )
