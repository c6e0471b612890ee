"""Group failures by error pattern: the message without its numbers, names and ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2s
from typing import Any

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoSeries

from llama_batches_nb.analysis.frame_kinds import (
    BATCHES_KIND,
    OUTCOMES_KIND,
    FrameKind,
    detect_kind,
    select_failures,
)
from llama_batches_nb.analysis.masking import NO_MESSAGE, mask_all
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import Frame
from llama_batches_nb.tables.schema import STRING_DTYPE
from llama_batches_nb.types import IntoFrame

PATTERN_COLUMNS = [
    *("pattern_id", "pattern", "count", "share", "example", "first_seen", "last_seen", "layer")
]
LAYERS = ["mapping", "job", "page"]
MAX_PATTERN_LENGTH = 300  # characters; the id is computed from the whole pattern
ID_BYTES = 5  # among 10,000 patterns, two share an id with a probability of 0.005 %
_PATTERN, _MESSAGE, _TIME, _ROW = "_pattern", "_message", "_time", "_row"


def error_patterns(frame: IntoFrame, *, by: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Count failures by error pattern, most frequent first.

    Two messages have the same pattern if they are equal once numbers, ids, times, sizes, hosts,
    paths, URLs and quoted names are masked: ``Page 3 of 'a.pdf' is blank`` has the pattern
    ``Page <n> of <name> is blank``. HTTP statuses, exit codes and other numbers that say what went
    wrong are kept, and so are the keys and the text of JSON.

    Parameters
    ----------
    frame
        Failures are the rows that `failure_rates` counts as failed, so the counts add up to its
        column ``failed``; files of a ``FAILED`` batch are excluded here too:

        - results (``job_id``, ``error_message``): files without a job;
        - outcomes (``outcome``): ``mapping_error`` by ``error_message``, ``job_failed`` by
          ``job_error_message``;
        - jobs (``status``): ``FAILED`` by ``error_message``.

        The frame may be of any engine that Narwhals supports; equal messages are counted there.
    by
        One or more columns to group by. Rows without a value form a group of their own.

    Returns
    -------
    pandas.DataFrame
        One row per pattern and layer, in each group of `by`; sorted by the group's keys, then by
        descending count, then by pattern. The keys, then

        ========== ======== =====================================================================
        pattern_id string   hash of the pattern: the same in every call
        pattern    string   the masked message, its first 300 characters; ``(no message)`` for a
                            failure without a message
        count      int64    failures
        share      float64  of all failures of the frame, or of the group
        example    string   one of the messages, unmasked: the first in alphabetical order
        first_seen time     earliest creation time of a result's batch, or of a job
        last_seen  time     latest one; both are missing if the frame has no such column
        layer      category ``mapping`` (no job was created for the file), ``job`` or ``page``
        ========== ======== =====================================================================

    Raises
    ------
    ValueError
        If the frame is of none of these kinds, or lacks a column.
    TypeError
        If `frame` is not a frame.

    See Also
    --------
    failure_rates : how many of the files fail.
    pattern_ids : the pattern of each row.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> jobs = pd.DataFrame({"job_id": ["pjb-1", "pjb-2", "pjb-3"], "status": "FAILED",
    ...                      "error_message": ["Page 3 of 'a.pdf' is blank", "Out of memory",
    ...                                        "Page 12 of 'b (2).pdf' is blank"]})
    >>> lb.error_patterns(jobs)[["pattern_id", "pattern", "count"]]
           pattern_id                     pattern  count
    0  pat-85f86cd9a3  Page <n> of <name> is blank      2
    1  pat-9aed18e093                Out of memory      1
    """
    keys = arguments.parse_group_columns(by, reserved=PATTERN_COLUMNS)
    failures = _select_failures(engines.wrap_frame("frame", frame), keys)
    messages = _count_messages(failures, keys)
    messages[_PATTERN] = _mask_messages(messages[_MESSAGE])
    patterns = messages.groupby(
        [*keys, "layer", _PATTERN], dropna=False, observed=True, as_index=False
    ).agg(
        count=("count", "sum"),
        example=(_MESSAGE, "min"),
        first_seen=("first_seen", "min"),
        last_seen=("last_seen", "max"),
    )
    order = [*keys, "count", _PATTERN, "layer"]
    patterns = patterns.sort_values(
        order, ascending=[name != "count" for name in order], na_position="last", ignore_index=True
    )
    return _add_derived_columns(patterns, keys)[[*keys, *PATTERN_COLUMNS]]


def pattern_ids(
    frame_or_messages: IntoFrame | IntoSeries | Iterable[str | None],
) -> pd.Series[Any]:
    """Return the ``pattern_id`` of each row or message, to select those of a pattern.

    Parameters
    ----------
    frame_or_messages
        A frame as for `error_patterns`, but not lazy. Or a column of messages: a Series of pandas
        or Polars, an Arrow array, or an iterable of texts.

    Returns
    -------
    pandas.Series
        One string per row; missing if the row of a frame is not a failure, or if the message of
        a column is missing. It has the index of the frame or Series if that is pandas.

    Raises
    ------
    ValueError
        If the frame is of none of the kinds that `error_patterns` takes, or lacks a column.
    TypeError
        If the argument is neither a frame nor a column of text, or is a lazy frame, whose rows
        have no order.

    See Also
    --------
    error_patterns : the patterns and how often they occur.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> jobs = pd.DataFrame({"job_id": ["pjb-1", "pjb-2"], "status": ["COMPLETED", "FAILED"],
    ...                      "error_message": [None, "Out of memory"]})
    >>> most_frequent = lb.error_patterns(jobs).pattern_id[0]
    >>> jobs[lb.pattern_ids(jobs) == most_frequent].job_id.tolist()
    ['pjb-2']
    >>> lb.pattern_ids(["Out of memory", "Page 3 is blank"]).tolist()
    ['pat-9aed18e093', 'pat-aac3fcdacf']
    """
    rows = engines.try_wrap(frame_or_messages)
    if rows is None:
        column = arguments.parse_messages("frame_or_messages", frame_or_messages)
        index, positions = column.index, column.notna().to_numpy()
        messages = column[positions]
    elif isinstance(rows, nw.LazyFrame):
        raise TypeError("The rows of a lazy frame have no order: collect the frame first.")
    else:
        index = pd.RangeIndex(len(rows))
        if isinstance(frame_or_messages, pd.DataFrame):
            index = frame_or_messages.index
        failures = engines.frame_to_pandas(_select_failures(rows.with_row_index(_ROW), [_ROW]))
        messages, positions = failures[_MESSAGE], failures[_ROW].to_numpy()
    ids = pd.Series(pd.NA, index=range(len(index)), dtype=STRING_DTYPE)
    ids[positions] = _hash_patterns(_mask_messages(messages)).to_numpy()
    return ids.set_axis(index).rename("pattern_id")


def _select_failures(frame: Frame, kept: Sequence[str]) -> Frame:
    """Return the layer, message and time of each failure, and the columns `kept`."""
    kind = detect_kind(frame)
    if kind is BATCHES_KIND:
        raise ValueError(
            "Batches have no messages: pass the frame of fetch_results, outcomes or fetch_jobs."
        )
    engines.check_columns(frame, "error_message", *kept)
    names = engines.column_names(frame)
    failed = select_failures(frame, kind, *kept, "error_message", "job_error_message", kind.time)
    if kind.time in names:
        failed = engines.convert_pandas_times(failed, kind.time)
    layer, message = _layer_and_message(failed, kind)
    time = _time(kind.time, failed.collect_schema().get(kind.time))
    return failed.select(*kept, layer=layer, **{_MESSAGE: message, _TIME: time})


def _layer_and_message(failed: Frame, kind: FrameKind) -> tuple[nw.Expr, nw.Expr]:
    message = _text("error_message")
    if kind is not OUTCOMES_KIND:
        return nw.lit(kind.layer), message
    has_job_message = "job_error_message" in engines.column_names(failed)
    job_message = _text("job_error_message") if has_job_message else nw.lit("")
    is_unmapped = engines.is_one_of(failed, kind.column, ["mapping_error"])
    return (
        nw.when(is_unmapped).then(nw.lit("mapping")).otherwise(nw.lit("job")),
        nw.when(is_unmapped).then(message).otherwise(job_message),
    )


def _text(name: str) -> nw.Expr:
    """Return a column as text, empty where missing: engines write a missing value differently."""
    column = nw.col(name)
    return nw.when(column.is_null()).then(nw.lit("")).otherwise(column.cast(nw.String))


def _time(name: str, dtype: nw.dtypes.DType | None) -> nw.Expr:
    if dtype is None or dtype == nw.Unknown:  # no such column, or no value in it
        return nw.lit(None, nw.Datetime("us"))
    if dtype not in (nw.Datetime, nw.Date):
        raise ValueError(f"The column {name!r} must hold times; it holds {dtype}.")
    return nw.col(name)


def _count_messages(failures: Frame, keys: list[str]) -> pd.DataFrame:
    """Count equal messages in the engine, with the same dtypes for every engine."""
    time = nw.col(_TIME)
    grouped = failures.group_by(*keys, "layer", _MESSAGE).agg(
        nw.len().alias("count"), time.min().alias("first_seen"), time.max().alias("last_seen")
    )
    messages = engines.collect_to_pandas(grouped)
    for name in ("first_seen", "last_seen"):
        messages[name] = engines.to_utc(messages[name])
    return messages.astype({"layer": pd.CategoricalDtype(LAYERS), "count": "int64"})


def _mask_messages(messages: pd.Series[Any]) -> pd.Series[Any]:
    distinct = messages.unique()
    masks = dict(zip(distinct, mask_all(distinct), strict=True))
    return messages.map(masks).astype(STRING_DTYPE)


def _hash_patterns(patterns: pd.Series[Any]) -> pd.Series[Any]:
    ids = {pattern: _hash_pattern(pattern) for pattern in patterns.unique()}
    return patterns.map(ids).astype(STRING_DTYPE)


def _hash_pattern(pattern: str) -> str:
    return (
        "pat-" + blake2s(pattern.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).hexdigest()
    )


def _add_derived_columns(patterns: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add the columns that follow from the counts and the whole patterns."""
    count, whole = patterns["count"], patterns[_PATTERN]
    groups = patterns.groupby(keys, dropna=False, observed=True)["count"] if keys else None
    failures = count.sum() if groups is None else groups.transform("sum")
    truncated = whole.str.slice(0, MAX_PATTERN_LENGTH - 1) + "…"
    return patterns.assign(
        pattern_id=_hash_patterns(whole),
        pattern=whole.where(whole.str.len() <= MAX_PATTERN_LENGTH, truncated),
        share=count / failures,
        example=patterns["example"].astype(STRING_DTYPE).where(whole != NO_MESSAGE),
    )
