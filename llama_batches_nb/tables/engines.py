"""Read data frames of any engine through Narwhals."""

from __future__ import annotations

import warnings
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.tables import schema


def to_utc(values: pd.Series[Any]) -> pd.Series[pd.Timestamp]:
    """Return times of any zone as UTC's; text is ISO 8601, and one without a zone is UTC."""
    try:
        in_utc = pd.to_datetime(values, utc=True, format="ISO8601")
    except ValueError as error:
        raise ValueError(f"The column {values.name!r} must hold times: {error}") from error
    return in_utc.astype("datetime64[us, UTC]")


def wrap_frame(value: Any) -> Any:
    """Return any frame as Narwhals', whose questions its engine answers; another value as it is."""
    if isinstance(value, pd.DataFrame) and not set(value.columns).isdisjoint(value.index.names):
        value = value.set_axis(value.index.set_names([None] * value.index.nlevels))
    if not nw.dependencies.is_dask_dataframe(value):
        return nw.from_native(value, pass_through=True)
    with warnings.catch_warnings():  # it tells us, not our users, of a package that is to come
        warnings.filterwarnings("ignore", "Dask support is moving", FutureWarning)
        return nw.from_native(value)


def column_names(value: Any) -> list[str]:
    """Return the names of any frame's columns."""
    given = wrap_frame(value)
    if not isinstance(given, nw.DataFrame | nw.LazyFrame):
        raise TypeError(f"A frame is needed, not {value!r:.80}.")
    return given.collect_schema().names()


def check_columns(value: Any, *names: str) -> None:
    """Raise `ValueError` if a frame lacks one of the columns."""
    there = column_names(value)
    missing = [name for name in names if name not in there]
    if missing:
        raise ValueError(
            f"The frame has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, there)) or 'none'}."
        )


def select_to_pandas(value: Any, *names: str) -> pd.DataFrame:
    """Return some columns of any frame, as pandas."""
    check_columns(value, *names)
    chosen = wrap_frame(value).select(*names)
    found: pd.DataFrame = (
        chosen.collect() if isinstance(chosen, nw.LazyFrame) else chosen
    ).to_pandas()
    return found


def frame_to_pandas(value: Any) -> pd.DataFrame:
    """Return any frame as pandas; a pandas one as it is."""
    return (
        value if isinstance(value, pd.DataFrame) else select_to_pandas(value, *column_names(value))
    )


def aggregate(frame: Any, keys: list[str], *counts: nw.Expr) -> pd.DataFrame:
    """Count per group in the engine, and return the small answer in one form whatever the engine.

    The keys come first, sorted by them; then the counts as int64, in the order given.
    """
    grouped = frame.group_by(*keys).agg(*counts) if keys else frame.select(*counts)
    answer = collect_to_pandas(grouped).reset_index(drop=True).rename_axis(columns=None)
    names = [str(name) for name in answer if name not in keys]
    answer[names] = answer[names].fillna(0).astype("int64")
    if keys:
        answer = answer.sort_values(keys, na_position="last", ignore_index=True)
    return answer[[*keys, *names]]


def collect_to_pandas(frame: Any) -> pd.DataFrame:
    """Return what an engine answers as pandas, with the same dtypes whatever the engine."""
    answer = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    found: pd.DataFrame = answer.to_pandas()
    return schema.normalize_dtypes(found, of_pandas=frame.implementation.is_pandas())
