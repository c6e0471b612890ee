"""Failures by the kind of their message, whatever numbers and names it carries. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2s
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb.analysis import rates
from llama_batches_nb.analysis.masking import NO_MESSAGE, mask
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.schema import STRING_DTYPE

PATTERN_COLUMNS = [
    "pattern_id",
    "pattern",
    "count",
    "share",
    "example",
    "first_seen",
    "last_seen",
    "layer",
]
LAYERS = ["mapping", "job"]
MAX_PATTERN_LENGTH = 300  # characters of a pattern that are shown; its id is that of all of them
ID_BYTES = 5  # among 10,000 patterns, two share an id with a probability of 0.005 %
_WHOLE, _MESSAGE, _TIME, _ROW = "_whole", "_message", "_time", "_row"


def error_patterns(frame: Any, *, by: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Return the kinds of message that failures carry, the commonest first.

    Messages are of one kind if they read alike once numbers, ids, times, paths, URLs and quoted
    names are masked: ``Page 3 of 'a.pdf' is blank`` is one of ``Page <n> of <name> is blank``.

    Parameters
    ----------
    frame
        Failures are the rows that `failure_rates` counts as failed, so that the counts here add up
        to them, and files of a ``FAILED`` batch are left out here too:

        - results (``job_id``, ``error_message``): files that got no job;
        - outcomes (``outcome``): ``mapping_error`` by ``error_message``, ``job_failed`` by
          ``job_error_message``;
        - jobs (``status``): ``FAILED`` by ``error_message``.

        It may be pandas, or what else Narwhals takes: equal messages are counted there.
    by
        A column or several to group by. Rows without a value form a group of their own.

    Returns
    -------
    pandas.DataFrame
        One row per pattern and layer, in each group of `by`; sorted by the keys of the groups,
        then by count, most first, then by pattern. The keys, then

        ========== ======== =====================================================================
        pattern_id string   the same for the same pattern, whenever and among whatever else
        pattern    string   the masked message, its first 300 characters; ``(no message)`` for a
                            failure that has none
        count      int64    failures
        share      float64  of all failures of the frame, or of the group
        example    string   one of the messages, whole: the first in the order of text
        first_seen time     when the first was created: a result's batch, or a job
        last_seen  time     and the last; both missing if the frame has no such column
        layer      category ``mapping`` (no job could be made for a file) or ``job``
        ========== ======== =====================================================================

    Raises
    ------
    ValueError
        If the frame is none of these kinds, or lacks a column.

    See Also
    --------
    failure_rates : how many of the files fail.

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
    keys = arguments.parse_column_names("by", by)
    if not set(PATTERN_COLUMNS).isdisjoint(keys):
        raise ValueError(f"by={by!r}: the answer has a column of that name too, so rename yours.")
    messages = _count_messages(_failures(frame, keys), keys)
    messages[_WHOLE] = _mask_all(messages[_MESSAGE])
    patterns = messages.groupby(
        [*keys, "layer", _WHOLE], dropna=False, observed=True, as_index=False
    ).agg(
        count=("count", "sum"),
        example=(_MESSAGE, "min"),
        first_seen=("first_seen", "min"),
        last_seen=("last_seen", "max"),
    )
    order = [*keys, "count", _WHOLE, "layer"]
    patterns = patterns.sort_values(
        order, ascending=[name != "count" for name in order], na_position="last", ignore_index=True
    )
    return _add_derived_columns(patterns, keys)[[*keys, *PATTERN_COLUMNS]]


def pattern_ids(frame: Any) -> pd.Series[Any]:
    """Return the `pattern_id` of each row, to choose the rows of a pattern.

    Parameters
    ----------
    frame
        As for `error_patterns`, but not lazy.

    Returns
    -------
    pandas.Series
        Text; missing where a row is no failure. With the index of the frame, if it is pandas.

    Raises
    ------
    TypeError
        If the frame is lazy: its rows have no order.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import pandas as pd
    >>> jobs = pd.DataFrame({"job_id": ["pjb-1", "pjb-2"], "status": ["COMPLETED", "FAILED"],
    ...                      "error_message": [None, "Out of memory"]})
    >>> jobs[lb.pattern_ids(jobs) == "pat-9aed18e093"].job_id.tolist()
    ['pjb-2']
    """
    engines.column_names(frame)
    rows = engines.wrap_frame(frame)
    if isinstance(rows, nw.LazyFrame):
        raise TypeError("The rows of a lazy frame have no order: collect it first.")
    index = frame.index if isinstance(frame, pd.DataFrame) else pd.RangeIndex(len(rows))
    failures = _failures(rows.with_row_index(_ROW).to_native(), [_ROW]).to_pandas()
    ids = pd.Series(pd.NA, index=range(len(rows)), dtype=STRING_DTYPE)
    ids[failures[_ROW].to_numpy()] = _ids(_mask_all(failures[_MESSAGE])).to_numpy()
    return ids.set_axis(index).rename("pattern_id")


def _failures(frame: Any, kept: Sequence[str]) -> Any:
    """Return the layer, message and time of each failure, beside the columns to be kept."""
    kind = rates.detect_kind(frame)
    if kind is rates.BATCHES_KIND:
        raise ValueError(
            "Batches have no messages: pass the frame of fetch_results, outcomes or fetch_jobs."
        )
    engines.check_columns(frame, "error_message", *kept)
    if isinstance(frame, pd.DataFrame) and kind.time in frame:  # may be text, or of any zone
        frame = frame.assign(**{kind.time: engines.to_utc(frame[kind.time])})
    rows = engines.wrap_frame(frame)
    told = ("error_message", "job_error_message", kind.time)
    failed = rates.flag_failures(rows, kind, *kept, *told).filter(nw.col("_failed") == 1)
    layer, message = _layer_and_message(kind, rows.collect_schema().names())
    time = _time(kind.time, rows.collect_schema().get(kind.time))
    return failed.select(*kept, layer=layer, **{_MESSAGE: message, _TIME: time})


def _layer_and_message(kind: rates.FrameKind, names: list[str]) -> tuple[nw.Expr, nw.Expr]:
    message = _text("error_message")
    if kind is not rates.OUTCOMES_KIND:
        return nw.lit(kind.layer), message
    of_job = _text("job_error_message") if "job_error_message" in names else nw.lit("")
    unmapped = nw.col(kind.column).cast(nw.String) == "mapping_error"
    return (
        nw.when(unmapped).then(nw.lit("mapping")).otherwise(nw.lit("job")),
        nw.when(unmapped).then(message).otherwise(of_job),
    )


def _text(name: str) -> nw.Expr:
    """Return a column as text; a missing one is empty, not what the engine calls it."""
    given = nw.col(name)
    return nw.when(given.is_null()).then(nw.lit("")).otherwise(given.cast(nw.String))


def _time(name: str, dtype: nw.dtypes.DType | None) -> nw.Expr:
    if dtype is None or dtype == nw.Unknown:  # no such column, or nothing in it
        return nw.lit(None, nw.Datetime("us"))
    if dtype not in (nw.Datetime, nw.Date):
        raise ValueError(f"The column {name!r} must hold times; it holds {dtype}.")
    return nw.col(name)


def _count_messages(failures: Any, keys: list[str]) -> pd.DataFrame:
    """Count equal messages in the engine; the answer has one form whatever the engine."""
    time = nw.col(_TIME)
    equal = failures.group_by(*keys, "layer", _MESSAGE).agg(
        nw.len().alias("count"), time.min().alias("first_seen"), time.max().alias("last_seen")
    )
    counted = engines.collect_to_pandas(equal)
    for seen in ("first_seen", "last_seen"):
        counted[seen] = engines.to_utc(counted[seen])
    return counted.astype({"layer": pd.CategoricalDtype(LAYERS), "count": "int64"})


def _mask_all(messages: pd.Series[Any]) -> pd.Series[Any]:
    masks = {message: mask(message) for message in messages.unique()}
    return messages.map(masks).astype(STRING_DTYPE)


def _ids(patterns: pd.Series[Any]) -> pd.Series[Any]:
    ids = {pattern: _id(pattern) for pattern in patterns.unique()}
    return patterns.map(ids).astype(STRING_DTYPE)


def _id(pattern: str) -> str:
    return "pat-" + blake2s(pattern.encode(), digest_size=ID_BYTES).hexdigest()


def _add_derived_columns(patterns: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add what follows from the counts and the whole patterns."""
    count, whole = patterns["count"], patterns[_WHOLE]
    groups = patterns.groupby(keys, dropna=False, observed=True)["count"] if keys else None
    failures = count.sum() if groups is None else groups.transform("sum")
    cut = whole.str.slice(0, MAX_PATTERN_LENGTH - 1) + "…"
    return patterns.assign(
        pattern_id=_ids(whole),
        pattern=whole.where(whole.str.len() <= MAX_PATTERN_LENGTH, cut),
        share=count / failures,
        example=patterns["example"].astype(STRING_DTYPE).where(whole != NO_MESSAGE),
    )
