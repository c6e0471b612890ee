"""Loose at the door: whatever a person passes as a time, a status or a set of ids becomes exact."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, timedelta
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from llama_batches_nb.tables.engines import select_to_pandas, wrap_frame
from llama_batches_nb.types import Ids, TimeLike


def format_time(name: str, value: TimeLike | None) -> str | None:
    """Return a time as the API writes it, in UTC; one without a zone is UTC already."""
    if value is None:
        return None
    if not isinstance(value, str | date | np.datetime64):
        raise TypeError(f"{name} must be text, a date or a datetime, not {value!r}.")
    try:
        stamp = pd.Timestamp(value)
        if pd.isna(stamp):
            raise ValueError("not a time")
        time = stamp.to_pydatetime(warn=False)  # pandas 2.2 loses the ",5" of a second in UTC
        in_utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{name}={value!r} is not a time: write it as '2026-08-01 14:00'."
        ) from error
    return in_utc.isoformat().replace("+00:00", "Z")


def parse_choices(
    name: str, value: str | Iterable[str] | None, known: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return one or several of the API's words, in its order; None stands for no filter."""
    if value is None:
        return None
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be one or several of {', '.join(known)}, not {value!r}.")
    given = [value] if isinstance(value, str) else list(value)
    if not given:
        raise ValueError(f"{name} is empty: leave it out for all, or name some of {known}.")
    spelled = {word.casefold(): word for word in known}
    found = set()
    for word in given:
        if not isinstance(word, str) or word.strip().casefold() not in spelled:
            near = difflib.get_close_matches(str(word).casefold(), spelled, n=1)
            hint = f" Did you mean {spelled[near[0]]!r}?" if near else ""
            raise ValueError(f"{name}={word!r} is none of {', '.join(known)}.{hint}")
        found.add(spelled[word.strip().casefold()])
    return tuple(word for word in known if word in found)


def parse_int(name: str, value: int | None, *, minimum: int = 1) -> int | None:
    """Return a number of rows, which is at least `minimum`."""
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, not {value!r}.")
    if value.__index__() < minimum:
        raise ValueError(f"{name}={value!r} must be at least {minimum}.")
    return value.__index__()


def parse_seconds(
    name: str, value: float | timedelta | None, *, positive: bool = False
) -> float | None:
    """Return a number of seconds, which is not negative."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}.")
    if not value >= 0 or (positive and value == 0):
        raise ValueError(f"{name}={value!r} must be {'more than' if positive else 'at least'} 0.")
    return float(value)


def parse_confidence(value: float) -> float:
    """Return the confidence of an interval, which is between 0 and 1."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"confidence must be a number such as 0.95, not {value!r}.")
    if not 0 < value < 1:
        raise ValueError(f"confidence={value!r} must be between 0 and 1, such as 0.95.")
    return float(value)


def format_bool(name: str, value: bool | None) -> str | None:
    """Return yes or no as JSON writes it."""
    if value is None:
        return None
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}.")
    return "true" if value else "false"


def parse_choice(name: str, value: str, known: tuple[str, ...]) -> str:
    """Return one of a few words."""
    if value not in known:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, known))}.")
    return value


def parse_id(name: str, value: Any) -> str:
    """Return one id, or say what is wrong with it before it becomes part of a URL."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {value!r}.")
    odd = any(unicodedata.category(c)[0] == "C" for c in value)
    if odd or value.strip() in ("", ".", ".."):
        raise ValueError(
            f"{name}={value!r} is not an id: copy it from a frame or from the web page."
        )
    return value


def parse_ids(column: str, value: Ids) -> list[str]:
    """Return the ids that a person means, each once, in order.

    A frame gives its `column`, or the level of its index that has this name, as groupby and
    set_index leave it; and so does one row of a frame.
    """
    return list(dict.fromkeys(parse_id(column, one) for one in _iter_ids(column, value)))


def parse_single_id(column: str, value: Ids) -> str:
    """Return the one id in a text or a frame."""
    ids = parse_ids(column, value)
    if len(ids) != 1:
        raise ValueError(f"One {column} is needed here, and {len(ids)} were given.")
    return ids[0]


def parse_column_names(name: str, value: str | Iterable[str] | None) -> list[str]:
    """Return the names of one column or of several, each once; None stands for none."""
    if not isinstance(value, Iterable | None):
        raise TypeError(f"{name} must be a column's name or several of them, not {value!r}.")
    given = [value] if isinstance(value, str) else () if value is None else value
    return list(dict.fromkeys(given))


def _iter_ids(column: str, value: Ids) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, pd.Series) and column in value.index:
        return [value[column]]
    if isinstance(value, pd.DataFrame) and column not in value and column in value.index.names:
        value = value.index.to_frame(index=False)
    if isinstance(wrap_frame(value), nw.DataFrame | nw.LazyFrame):
        ids = select_to_pandas(value, column)[column]
        if ids.isna().any():
            raise ValueError(f"{int(ids.isna().sum())} rows of the frame have no {column}.")
        return ids.tolist()
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(
            f"{column}: pass an id, several ids, or a frame with the column {column!r}, "
            f"not {value!r:.80}."
        )
    return list(value)
