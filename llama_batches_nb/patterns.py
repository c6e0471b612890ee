"""Failures by the kind of their message, whatever numbers and names it carries. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2s
from typing import Any

import narwhals as nw
import pandas as pd

from llama_batches_nb import inputs, rates
from llama_batches_nb.schema import TEXT

COLUMNS = ["pattern_id", "pattern", "count", "share", "example", "first_seen", "last_seen", "layer"]
LAYERS = ["mapping", "job"]
NO_MESSAGE = "(no message)"
LONGEST = 300  # characters of a pattern that are shown; its id is that of all of them
ID_BYTES = 5  # among 10,000 patterns, two share an id with a probability of 0.005 %
_WHOLE, _MESSAGE, _TIME, _ROW = "_whole", "_message", "_time", "_row"

_ENDING = (
    r"\.(?i:pdf|docx?|xlsx?|pptx?|od[tsp]|rtf|txt|md|csv|tsv|jsonl?|xml|ya?ml|html?|epub|eml|msg"
    r"|jpe?g|png|gif|tiff?|webp|heic|bmp|svg|mp[34]|wav|zip|gz|log)\b"
)
_LAST = rf"""(?: [^/\\"<>|:*?,;]{{0,80}}? {_ENDING} | [^\s/\\"<>|:*?,;]*\w )?"""

# What is masked, in this order: the mark, a sign that a message may have such a thing (quickly
# looked for), and its form. Forms are possessive (`*+`) or bounded (`{0,80}`) where the search of a
# message of many kilobytes could take hours.
_MASKS = (
    (
        "<name>",  # the apostrophe of O'Neil neither opens nor closes
        r"""['"`“„«‘]""",
        r"""'(?<!\w').{0,300}?'(?!\w) | ‘.{0,300}?’(?!\w) | "[^"]*" | `[^`]*`
        | “[^”]{0,300}” | „[^“”]{0,300}[“”] | «[^»]{0,300}»""",
    ),
    ("<url>", "://", r"""\b[A-Za-z][\w+.-]{0,20}://[^\s'"<>]*[^\s'"<>.,;:!?)\]}]"""),
    (
        "<path>",  # of Windows, with spaces in folders; from the root or from here; a/b/c
        r"[/\\]",
        rf"""(?: \b[A-Za-z]:[\\/] | \\\\ ) (?: [^/\\"<>|:*?,;]*[\\/] )*+ {_LAST}
        | (?<![\w<>/]) [~.]{{0,2}}/(?=[^\s/]) (?: [^\s/"<>|:*?,;]+/ )*+ {_LAST}
        | \b[^\W\d][\w.-]{{0,80}}/ (?: [^\s/"<>|:*?,;]+/ )++ {_LAST}""",
    ),
    ("<path>", r"\.[A-Za-z]", rf"""(?<![^\s(\[=:]) [^\s"<>(\[=:]+ {_ENDING}"""),
    (
        "<time>",
        r"\d-\d",
        r"\d{4}-\d\d-\d\d (?: [T ]\d\d:\d\d[\d:.]* (?: [ ]?(?: Z\b | UTC\b | [+-]\d\d:?\d\d ))? )?",
    ),
    (
        "<id>",
        "-",
        r"""\b(?:[a-z]{2,6}[-_])? [0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
        | \b(?:bat|cfg|dfl|dir|ejb|org|pjb|prj)-(?=[\w-]{0,40}[\dA-Z])\w[\w-]*""",
    ),
    (
        "<size>",
        r"\d ?[kKMGTmgBb]",
        r"\d(?<!\d\d)(?<!\d[.,]\d)\d*+(?:[.,]\d++)*+ [ ]?(?: [kKMGTmgt]i?[bB] | B | [bB]ytes? )\b",
    ),
    (
        "<n>",  # hexadecimal digits, and what else has letters and digits by turns
        r"\d[^\W\d]|[^\W\d]\d|[a-fA-F]{8}",
        r"""\b(?<!\d[.,])(?: 0x[0-9a-fA-F]+ | (?=\w{8})\d*[a-fA-F][0-9a-fA-F]*
        | (?=[^\W\d]*+\d) \w*(?: [^\W\d]\d+[^\W\d] | \d[^\W\d]+\d )\w* )\b""",
    ),
    ("<n>", r"\d", r"(?: [-+−](?<!\w.) )? \d+(?:[.,:/]\d+)* (?: [eE][-+]?\d+\b )?"),
)
_RULES = [(mark, re.compile(sign), re.compile(form, re.VERBOSE)) for mark, sign, form in _MASKS]
_LIST = re.compile(r"(<\w+>)(?:, \1)+")


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
    keys = inputs.as_names("by", by)
    if not set(COLUMNS).isdisjoint(keys):
        raise ValueError(f"by={by!r}: the answer has a column of that name too, so rename yours.")
    messages = _counted(_failures(frame, keys), keys)
    messages[_WHOLE] = _masked(messages[_MESSAGE])
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
    return _finished(patterns, keys)[[*keys, *COLUMNS]]


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
    >>> import pandas as pd
    >>> from llama_batches_nb.patterns import pattern_ids
    >>> jobs = pd.DataFrame({"job_id": ["pjb-1", "pjb-2"], "status": ["COMPLETED", "FAILED"],
    ...                      "error_message": [None, "Out of memory"]})
    >>> jobs[pattern_ids(jobs) == "pat-9aed18e093"].job_id.tolist()
    ['pjb-2']
    """
    inputs.column_names(frame)
    rows = inputs.as_frame(frame)
    if isinstance(rows, nw.LazyFrame):
        raise TypeError("The rows of a lazy frame have no order: collect it first.")
    index = frame.index if isinstance(frame, pd.DataFrame) else pd.RangeIndex(len(rows))
    failures = _failures(rows.with_row_index(_ROW).to_native(), [_ROW]).to_pandas()
    ids = pd.Series(pd.NA, index=range(len(rows)), dtype=TEXT)
    ids[failures[_ROW].to_numpy()] = _ids(_masked(failures[_MESSAGE])).to_numpy()
    return ids.set_axis(index).rename("pattern_id")


def mask(message: str) -> str:
    """Return what a message has in common with others of its kind.

    Examples
    --------
    >>> from llama_batches_nb.patterns import mask
    >>> mask("Timed out after 30 s on page 7 of 'lease (2).pdf'")
    'Timed out after <n> s on page <n> of <name>'
    """
    text = " ".join(message.split())
    for mark, sign, form in _RULES:
        if sign.search(text):
            text = form.sub(mark, text)
    return _LIST.sub(r"\1", text) or NO_MESSAGE


def _failures(frame: Any, kept: Sequence[str]) -> Any:
    """Return the layer, message and time of each failure, beside the columns to be kept."""
    kind = rates.kind_of(frame)
    if kind is rates.BATCHES:
        raise ValueError(
            "Batches have no messages: pass the frame of fetch_results, outcomes or fetch_jobs."
        )
    inputs.check_columns(frame, "error_message", *kept)
    if isinstance(frame, pd.DataFrame) and kind.time in frame:  # may be text, or of any zone
        frame = frame.assign(**{kind.time: inputs.as_times(frame[kind.time])})
    rows = inputs.as_frame(frame)
    told = ("error_message", "job_error_message", kind.time)
    failed = rates.judged(rows, kind, *kept, *told).filter(nw.col("_failed") == 1)
    layer, message = _layer_and_message(kind, rows.collect_schema().names())
    time = _time(kind.time, rows.collect_schema().get(kind.time))
    return failed.select(*kept, layer=layer, **{_MESSAGE: message, _TIME: time})


def _layer_and_message(kind: rates.Kind, names: list[str]) -> tuple[nw.Expr, nw.Expr]:
    message = _text("error_message")
    if kind is not rates.OUTCOMES:
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


def _counted(failures: Any, keys: list[str]) -> pd.DataFrame:
    """Count equal messages in the engine; the answer has one form whatever the engine."""
    time = nw.col(_TIME)
    equal = failures.group_by(*keys, "layer", _MESSAGE).agg(
        nw.len().alias("count"), time.min().alias("first_seen"), time.max().alias("last_seen")
    )
    counted = rates.collected(equal)
    for seen in ("first_seen", "last_seen"):
        counted[seen] = inputs.as_times(counted[seen])
    return counted.astype({"layer": pd.CategoricalDtype(LAYERS), "count": "int64"})


def _masked(messages: pd.Series[Any]) -> pd.Series[Any]:
    masks = {message: mask(message) for message in messages.unique()}
    return messages.map(masks).astype(TEXT)


def _ids(patterns: pd.Series[Any]) -> pd.Series[Any]:
    ids = {pattern: _id(pattern) for pattern in patterns.unique()}
    return patterns.map(ids).astype(TEXT)


def _id(pattern: str) -> str:
    return "pat-" + blake2s(pattern.encode(), digest_size=ID_BYTES).hexdigest()


def _finished(patterns: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add what follows from the counts and the whole patterns."""
    count, whole = patterns["count"], patterns[_WHOLE]
    groups = patterns.groupby(keys, dropna=False, observed=True)["count"] if keys else None
    failures = count.sum() if groups is None else groups.transform("sum")
    cut = whole.str.slice(0, LONGEST - 1) + "…"
    return patterns.assign(
        pattern_id=_ids(whole),
        pattern=whole.where(whole.str.len() <= LONGEST, cut),
        share=count / failures,
        example=patterns["example"].astype(TEXT).where(whole != NO_MESSAGE),
    )
