"""Validate and normalize user arguments: times, statuses, ids, numbers and column names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Set
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from llama_batches_nb.messages import agree, did_you_mean, format_count
from llama_batches_nb.types import Ids, TimeLike

ISO_TIME = re.compile(r"\d{4}-?(\d{2}-?\d{2}|W\d{2}(-?\d)?)([T ].+)?", re.ASCII)
"""ISO 8601: `datetime.fromisoformat` takes any separator, and pandas reads "05.10.2026" as May."""


def format_time(name: str, value: TimeLike | None) -> str | None:
    """Format a time in UTC as the API writes it; a time without a zone is UTC.

    Text is ISO 8601: a month, a date, or a date and a time with or without an offset.
    """
    if value is None:
        return None
    if not isinstance(value, str | date | np.datetime64):
        raise TypeError(f"{name} must be text, a date or a datetime, not {value!r}.")
    try:
        time = _parse_iso_time(value) if isinstance(value, str) else _to_datetime(value)
        in_utc = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{name}={value!r} is not a time: write ISO 8601, like '2026-08-01' or "
            "'2026-08-01 14:00+02:00'."
        ) from error
    return in_utc.isoformat().replace("+00:00", "Z")


def check_time_order(start_name: str, start: str | None, end_name: str, end: str | None) -> None:
    """Raise `ValueError` if a period, as formatted by `format_time`, ends before it starts."""
    if start and end and datetime.fromisoformat(start) > datetime.fromisoformat(end):
        raise ValueError(f"{start_name}={start} is later than {end_name}={end}: swap them.")


def _parse_iso_time(text: str) -> datetime:
    text = text.strip().upper()
    if re.fullmatch(r"\d{4}-\d{2}", text):
        text += "-01"
    if not ISO_TIME.fullmatch(text):
        raise ValueError("not ISO 8601")
    return datetime.fromisoformat(text)


def _to_datetime(value: date | np.datetime64) -> datetime:
    stamp = pd.Timestamp(value)
    if pd.isna(stamp):
        raise ValueError("not a time")
    time: datetime = stamp.to_pydatetime(warn=False)
    return time


def parse_choices(
    name: str, value: str | Iterable[str] | None, known: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return one or more of the known values, in their order, ignoring case."""
    if value is None:
        return None
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be one or more of {', '.join(known)}, not {value!r}.")
    values = [value] if isinstance(value, str) else list(value)
    if not values:
        raise ValueError(f"{name} is empty: omit it for all, or pass one or more of {known}.")
    spelling = {choice.casefold(): choice for choice in known}
    chosen = set()
    for item in values:
        if not isinstance(item, str) or item.strip().casefold() not in spelling:
            hint = did_you_mean(item, known)
            raise ValueError(f"{name}={item!r:.80} is not one of {', '.join(known)}.{hint}")
        chosen.add(spelling[item.strip().casefold()])
    return tuple(choice for choice in known if choice in chosen)


def parse_choice(name: str, value: str, known: tuple[str, ...]) -> str:
    """Return the value if it is one of the known ones."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"{name}={value!r:.80} must be one of {', '.join(map(repr, known))}."
            f"{did_you_mean(value, known)}"
        )
    return value


def parse_int(name: str, value: int | None, *, minimum: int = 1) -> int | None:
    """Return an integer that is at least `minimum`."""
    if value is None:
        return None
    if isinstance(value, bool | type) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}.")
    if value.__index__() < minimum:
        raise ValueError(f"{name}={value!r} must be at least {minimum}.")
    return value.__index__()


def parse_seconds(
    name: str, value: float | timedelta | None, *, positive: bool = False
) -> float | None:
    """Return a duration in seconds, which is not negative."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not _is_number(value):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}.")
    if not value >= 0 or (positive and value == 0):
        raise ValueError(f"{name}={value!r} must be {'more than' if positive else 'at least'} 0.")
    return float(value)


def parse_share(name: str, value: float, example: float) -> float:
    """Return a number between 0 and 1, such as a confidence level."""
    if not _is_number(value):
        raise TypeError(f"{name} must be a number such as {example}, not {value!r:.80}.")
    if not 0 < value < 1:
        raise ValueError(f"{name}={value!r} must be between 0 and 1, such as {example}.")
    return float(value)


def _is_number(value: object) -> bool:
    is_single = hasattr(value, "__float__") and not isinstance(value, bool | type)
    return is_single and not hasattr(value, "__len__")


def parse_text(name: str, value: str | None) -> str | None:
    """Return text that can be sent."""
    if not isinstance(value, str | None):
        raise TypeError(f"{name} must be text, not {value!r:.80}.")
    if value is not None and _has_surrogates(value):
        raise ValueError(f"{name}={value!r:.80} has an unpaired surrogate, which cannot be sent.")
    return value


def _has_surrogates(text: str) -> bool:
    return any(unicodedata.category(char) == "Cs" for char in text)


def parse_bool(name: str, value: bool) -> bool:
    """Return True or False, or raise `TypeError` for any other value."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r:.80}.")
    return value


def format_bool(name: str, value: bool | None) -> str | None:
    """Format a bool for the query of a URL."""
    if value is None:
        return None
    return "true" if parse_bool(name, value) else "false"


def parse_id(name: str, value: object) -> str:
    """Return an id, or raise an error if it cannot be part of a URL."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {value!r}.")
    if not is_id(value):
        raise ValueError(f"{name}={value!r} is not an id: copy it from a frame or the web page.")
    return value


def is_id(value: str) -> bool:
    """Whether text can be an id: part of a URL, without invisible characters."""
    has_control_chars = any(unicodedata.category(char)[0] == "C" for char in value)
    return not has_control_chars and value.strip() not in ("", ".", "..")


def parse_ids(column: str, value: Ids) -> list[str]:
    """Return the ids in the argument without duplicates, in order.

    The argument is an id, an iterable of ids, a frame with the column or index level `column`, or
    a row of such a frame.
    """
    return list(dict.fromkeys(parse_id(column, item) for item in _iter_ids(column, value)))


def parse_single_id(column: str, value: Ids) -> str:
    """Return the id in the argument, which is as for `parse_ids` but has exactly one."""
    ids = parse_ids(column, value)
    if len(ids) != 1:
        raise ValueError(f"Expected one {column}, got {len(ids)}.")
    return ids[0]


def parse_column_names(name: str, value: str | Iterable[str] | None) -> list[str]:
    """Return one or more column names without duplicates."""
    if not isinstance(value, Iterable | None):
        raise TypeError(f"{name} must be a column name or several, not {value!r}.")
    names: list[Any] = [value] if isinstance(value, str) else [] if value is None else list(value)
    for item in names:
        if not isinstance(item, Hashable):
            raise TypeError(f"{name} must be a column name or several, not {value!r:.80}.")
    return list(dict.fromkeys(names))


def parse_group_columns(by: str | Iterable[str] | None, *, reserved: Iterable[str]) -> list[str]:
    """Return the names of the columns to group by, none of which is a column of the result."""
    keys = parse_column_names("by", by)
    if not set(reserved).isdisjoint(keys):
        raise ValueError(f"by={by!r} conflicts with a result column; rename your column.")
    return keys


def parse_messages(name: str, value: object) -> pd.Series[Any]:
    """Return a column of messages as pandas text with its index; a missing message is None."""
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Iterable):
        raise TypeError(
            f"{name} must be a frame (pandas, Polars, PyArrow, DuckDB, Dask or PySpark) or a "
            f"column of messages (a Series, an array or a list), not {value!r:.80}."
        )
    index = value.index if isinstance(value, pd.Series) else None
    messages = pd.Series(_list_items(value), index=index, dtype=object)
    messages = messages.where(messages.notna(), None)
    texts = []
    for message in messages:
        if not isinstance(message, str | None):
            raise TypeError(f"{name}: each message must be text or missing, not {message!r:.80}.")
        texts.append(message and message.encode(errors="replace").decode())
    return pd.Series(texts, index=messages.index, dtype=object)


def _iter_ids(column: str, value: Any) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, pd.Series) and column in value.index:
        return [value[column]]
    from llama_batches_nb.tables import engines  # a request without ids needs no frames

    frame = engines.try_wrap(value)
    if frame is not None:
        ids = engines.select_to_pandas(frame, column)[column]
        if n := int(ids.isna().sum()):
            raise ValueError(
                f"{format_count(n, 'row')} of the frame {agree(n, 'has')} no {column}."
            )
        return ids.tolist()
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(
            f"{column}: pass an id, several ids, or a frame with the column {column!r}, "
            f"not {value!r:.80}."
        )
    return _list_items(value)


def _list_items(value: Any) -> list[Any]:
    import narwhals as nw

    series = nw.from_native(value, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):  # of Arrow, whose own items are no text
        return series.to_list()
    return value.to_pylist() if isinstance(value, pa.Array) else list(value)
