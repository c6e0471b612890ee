"""Read frames of any engine through Narwhals.

A public function wraps each of its frame arguments once with `wrap_frame`; the other functions
take the wrapped frame.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from llama_batches_nb.messages import did_you_mean, format_list
from llama_batches_nb.tables import schema

Frame: TypeAlias = nw.DataFrame[Any] | nw.LazyFrame[Any]
FrameT = TypeVar("FrameT", nw.DataFrame[Any], nw.LazyFrame[Any], Frame)


def wrap_frame(argument: str, value: object, *, keep_types: bool = False) -> Frame:
    """Wrap a frame for Narwhals, or raise `TypeError` naming the argument if it is no frame.

    With `keep_types`, columns of Arrow stay as they are, also those that kernels refuse.
    """
    frame = try_wrap(value, keep_types=keep_types)
    if frame is None:
        raise TypeError(
            f"{argument} must be a frame (pandas, Polars, PyArrow, DuckDB, Dask or PySpark), "
            f"not {value!r:.80}."
        )
    return frame


def try_wrap(value: Any, *, keep_types: bool = False) -> Frame | None:
    """Wrap a frame for Narwhals; return None for any other value."""
    value = nw.to_native(value, pass_through=True)
    if isinstance(value, pa.RecordBatch):
        value = pa.Table.from_batches([value])
    elif isinstance(value, pa.RecordBatchReader):  # of DuckDB
        value = value.read_all()
    if isinstance(value, pd.DataFrame):
        value = _index_to_columns(value)
        _check_unique(value.columns.tolist())
    elif isinstance(value, pa.Table):
        _check_unique(value.column_names)
        value = value if keep_types else _plain_text(value)
    if nw.dependencies.is_dask_dataframe(value):
        with warnings.catch_warnings():  # a notice for authors of packages, not for their users
            warnings.filterwarnings("ignore", "Dask support is moving", FutureWarning)
            return nw.from_native(value)
    frame = nw.from_native(value, pass_through=True)
    return frame if isinstance(frame, nw.DataFrame | nw.LazyFrame) else None


def _plain_text(table: pa.Table) -> pa.Table:
    """Return a table without dictionaries and views of text, which few of Arrow's kernels take."""
    for index, field in enumerate(table.schema):
        plain = field.type
        if pa.types.is_dictionary(plain):
            plain = plain.value_type
        if pa.types.is_string_view(plain):
            plain = pa.large_string()
        if plain != field.type:
            text = pa.chunked_array(
                [_decoded(chunk).cast(plain) for chunk in table[index].chunks], plain
            )
            table = table.set_column(index, field.with_type(plain), text)
    return table


def _decoded(array: pa.Array) -> pa.Array:
    """Return an array without a dictionary, as Arrow cannot take views of text out of one."""
    if not pa.types.is_dictionary(array.type):
        return array
    values = array.dictionary
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(array.indices, values).dictionary_decode()


def _check_unique(names: list[Any]) -> None:
    twice = [str(name) for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ValueError(f"The frame has several columns named {format_list(twice)}; keep one.")


def _index_to_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the named levels of its index as columns, as after `set_index`."""
    names = [name for name in frame.index.names if name is not None]
    if not names:
        return frame
    new = [name for name in names if name not in frame.columns]
    kept = frame.reset_index(level=new) if new else frame
    # pandas refuses to group by a name that is both a column and an index level
    return kept.set_axis(kept.index.set_names([None] * kept.index.nlevels))


def restore_index(result: pd.DataFrame, original: pd.DataFrame) -> pd.DataFrame:
    """Give a result the index of the frame whose rows it has, in the same order."""
    added = [name for name in original.index.names if name is not None]
    result = result.drop(columns=[name for name in added if name not in original.columns])
    result.index = original.index
    return result


def column_names(frame: Frame) -> list[str]:
    """Return the names of the columns, which may be other objects than text in pandas."""
    return frame.collect_schema().names()


def check_columns(frame: Frame, *names: str) -> None:
    """Raise `ValueError` if the frame lacks one of the columns."""
    existing = column_names(frame)
    missing = [name for name in names if name not in existing]
    if missing:
        raise ValueError(
            f"The frame has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, existing)) or 'none'}.{did_you_mean(missing[0], existing)}"
        )


def select_to_pandas(frame: Frame, *names: str) -> pd.DataFrame:
    """Return some columns as pandas, with the dtypes that the engine chooses."""
    check_columns(frame, *names)
    selected = frame.select(*names)
    collected = selected.collect() if isinstance(selected, nw.LazyFrame) else selected
    result: pd.DataFrame = collected.to_pandas()
    return result


def frame_to_pandas(frame: Frame) -> pd.DataFrame:
    """Return all columns as pandas; a pandas frame is not copied."""
    native = frame.to_native()
    if isinstance(native, pd.DataFrame):
        return native
    return select_to_pandas(frame, *column_names(frame))


def collect_to_pandas(frame: Frame) -> pd.DataFrame:
    """Compute a result and return it as pandas, with the same dtypes for every engine."""
    collected = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    result: pd.DataFrame = collected.to_pandas()
    return schema.normalize_dtypes(result, is_pandas=frame.implementation.is_pandas())


def from_pandas(frame: pd.DataFrame) -> Frame:
    """Wrap a frame that was computed, as opposed to an argument."""
    return nw.from_native(frame)


def aggregate(
    frame: Frame, keys: list[str], *counts: nw.Expr, floats: Sequence[str] = ()
) -> pd.DataFrame:
    """Count per group in the engine and return the result as pandas.

    The keys come first and sort the rows; the counts follow as int64, or float64 for `floats`.
    """
    grouped = frame.group_by(*keys).agg(*counts) if keys else frame.select(*counts)
    result = collect_to_pandas(grouped).reset_index(drop=True).rename_axis(columns=None)
    names = [str(name) for name in result if name not in keys]
    dtypes = {name: "float64" if name in floats else "int64" for name in names}
    result[names] = result[names].fillna(0).astype(dtypes)
    if keys:
        result = result.sort_values(keys, na_position="last", ignore_index=True)
    return result[[*keys, *names]]


def flag(condition: nw.Expr) -> nw.Expr:
    """Return 1 where the condition holds and 0 elsewhere, which every engine can sum."""
    return nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int64)


def is_one_of(frame: Frame, name: str, values: Sequence[str]) -> nw.Expr:
    """Return whether a column of text or categories has one of the values.

    pandas compares categories by their codes, much faster than as text.
    """
    native = frame.to_native()
    if isinstance(native, pd.DataFrame) and isinstance(native[name].dtype, pd.CategoricalDtype):
        return nw.col(name).is_in(values)
    return nw.col(name).cast(nw.String).is_in(values)


def is_distinct(frame: Frame, name: str) -> bool:
    """Return whether no value of a column occurs twice; missing values may."""
    values = frame.select(name).filter(~nw.col(name).is_null())
    if values.implementation.is_dask():  # it has no count of distinct values
        return False
    counts = values.select(nw.len().alias("rows"), nw.col(name).n_unique().alias("distinct"))
    collected = counts.collect() if isinstance(counts, nw.LazyFrame) else counts
    return bool(collected["rows"][0] == collected["distinct"][0])


def order_categories(frame: Frame, columns: Sequence[str]) -> Frame:
    """Convert columns of a pandas frame to ordered categories, which group faster than text.

    Frames of other engines are returned unchanged.
    """
    native = frame.to_native()
    if not isinstance(native, pd.DataFrame):
        return frame
    ordered = {name: native[name].astype("category").cat.as_ordered() for name in columns}
    return add_pandas_columns(frame, pd.DataFrame(ordered, index=native.index))


def has_text(name: str) -> nw.Expr:
    """Return whether a column has a value; empty text, as after a CSV file, is none.

    After a CSV file, a column without any value holds numbers.
    """
    return ~nw.col(name).is_null() & (nw.col(name).cast(nw.String) != "")


def to_utc(values: pd.Series[Any]) -> pd.Series[pd.Timestamp]:
    """Return times in UTC; text is ISO 8601, and a time without a zone is UTC."""
    try:
        in_utc = pd.to_datetime(values, utc=True, format="ISO8601")
    except ValueError as error:
        raise ValueError(f"The column {values.name!r} must hold times: {error}") from error
    return in_utc.astype("datetime64[us, UTC]")


def convert_pandas_times(frame: Frame, column: str) -> Frame:
    """Convert a column of a pandas frame to UTC; it may hold text or zones unknown to Narwhals.

    Frames of other engines are returned unchanged.
    """
    native = frame.to_native()
    if not isinstance(native, pd.DataFrame):
        return frame
    return add_pandas_columns(frame, to_utc(native[column]).to_frame())


def convert_objects(frame: Frame, dtype: Literal["boolean", "Float64"], *columns: str) -> Frame:
    """Convert columns of objects in a pandas frame, and numbers that any engine has as text.

    Narwhals cannot cast or test ``pd.NA``. Empty text, as after a CSV file, is missing.
    """
    native = frame.to_native()
    if isinstance(native, pd.DataFrame):
        objects = {name: native[name] for name in columns if native[name].dtype == object}
        converted = {name: clear_empty(values).astype(dtype) for name, values in objects.items()}
        if converted:
            frame = add_pandas_columns(frame, pd.DataFrame(converted, index=native.index))
    types = frame.collect_schema()
    texts = [name for name in columns if dtype == "Float64" and types[name] == nw.String]
    numbers = (nw.when(has_text(n)).then(nw.col(n)).cast(nw.Float64).alias(n) for n in texts)
    return frame.with_columns(*numbers) if texts else frame


def clear_empty(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column without empty text, which is missing, as after a CSV file."""
    is_empty = values.isin([""])
    if values.dtype == object:
        return values.where(values.notna() & ~is_empty, None)
    return values.mask(is_empty) if is_empty.any() else values


def take_pandas_rows(
    frame: pd.DataFrame, rows: npt.NDArray[np.int64], index: pd.Index[Any]
) -> pd.DataFrame:
    """Return rows by their positions, with another index; values are missing at -1.

    `reindex` takes twice as long.
    """
    arrays: dict[Any, Any] = {
        name: column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array
        for name, column in frame.items()
    }
    taken = {}
    for name, array in arrays.items():
        values = pd.api.extensions.take(array, rows, allow_fill=True)
        taken[name] = pd.Series(values, index, dtype=values.dtype)  # objects stay objects
    return pd.DataFrame(taken, index)


def add_pandas_columns(frame: FrameT, columns: pd.DataFrame) -> FrameT:
    """Add or replace columns of a pandas frame by those of another with the same index."""
    added = (nw.from_native(values, series_only=True) for _, values in columns.items())
    return frame.with_columns(*added)
