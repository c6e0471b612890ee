"""Search the rows of a frame for words, in the text that its table shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from llama_batches_nb.panels.widgets.table_cells import TableColumn

TIME_LENGTH = len("2026-08-01 14:03")


class SearchIndex:
    """The text of a frame's columns, without case, as Arrow strings.

    Parameters
    ----------
    columns
        The columns to search; those of numbers have no text.
    frame
        The rows to search.
    """

    def __init__(self, columns: Sequence[TableColumn], frame: pd.DataFrame) -> None:
        present = [column for column in columns if column.name in frame]
        texts = [_text(column, frame[column.name]) for column in present]
        self._texts = [text for text in texts if text is not None]
        self._n_rows = len(frame)

    def rows_with(self, words: str) -> Any:
        """Return an array of which rows contain all words, each in any column."""
        found = pa.repeat(True, self._n_rows)
        for word in words.casefold().split():
            found = pc.and_(found, self._rows_with_word(word))
        return found.to_numpy(zero_copy_only=False)

    def _rows_with_word(self, word: str) -> Any:
        found = pa.repeat(False, self._n_rows)
        for text in self._texts:
            found = pc.or_(found, pc.fill_null(pc.match_substring(text, word), False))
        return found


def _text(column: TableColumn, values: pd.Series[Any]) -> Any:
    """Return the text of each value that a search looks at; None if there is none."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        seconds = values.dt.tz_convert(None).astype("datetime64[s]")
        return pc.utf8_slice_codeunits(pa.array(seconds).cast(pa.string()), 0, TIME_LENGTH)
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        return None
    if column.search is not None:
        codes, known = pd.factorize(values)
        shown = pa.array([f"{column.search(value)} {value}" for value in known], pa.string())
        return _without_case(shown).take(pa.array(codes, mask=codes < 0))
    text = pa.array(values.astype("string[pyarrow]"))
    return _without_case(text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text)


def _without_case(text: Any) -> Any:
    """Return `str.casefold` of each text."""
    if pc.all(pc.string_is_ascii(text)).as_py() is not False:
        return pc.ascii_lower(text)
    return pa.array([each and each.casefold() for each in text.to_pylist()], text.type)
