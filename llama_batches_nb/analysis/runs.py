"""Keep the first or the last run of each file, of files that ran more than once."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import narwhals as nw

from llama_batches_nb.analysis.frame_kinds import FrameKind
from llama_batches_nb.tables import arguments, engines
from llama_batches_nb.tables.engines import Frame

Runs: TypeAlias = Literal["all", "first", "last"]
"""Which runs of a file are counted."""

_FILE, _NO_TIME = "_file", "_no_time"
_FALLBACK = "source_directory_file_id"  # identifies a file whose stored file is unknown


def select_runs(frame: Frame, kind: FrameKind, runs: Runs) -> Frame:
    """Return the rows of a frame, or one row per file: that of its first or last run.

    A file is identified as by `attempts`, and its runs are in the order of the creation of their
    batches, then of their ids. Runs without a time come last, as in `attempts`.
    """
    arguments.parse_choice("runs", runs, get_args(Runs))
    if runs == "all":
        return frame
    existing = engines.column_names(frame)
    missing = [name for name in ("file_id", kind.time) if name not in existing]
    if missing or kind.noun != "file":
        lacks = f"lacks {' and '.join(map(repr, missing))}" if missing else "has no files"
        raise ValueError(
            f"runs={runs!r} needs to know which rows are runs of the same file, but the frame "
            f"{lacks}: pass attempts(outcomes(results, jobs), files)."
        )
    frame = engines.convert_pandas_times(frame, kind.time)
    no_time = engines.flag(nw.col(kind.time).is_null()).alias(_NO_TIME)
    frame = frame.with_columns(_identity(existing).alias(_FILE), no_time)
    order = [name for name in ("batch_id", _FALLBACK) if name in existing]
    known = frame.filter(~nw.col(_FILE).is_null())
    kept = known.unique(subset=[_FILE], keep=runs, order_by=[_NO_TIME, kind.time, *order])
    if _FALLBACK not in existing:  # rows of unknown files are files of their own
        kept = nw.concat([kept, frame.filter(nw.col(_FILE).is_null())])  # type: ignore[type-var]
    return kept.drop(_FILE, _NO_TIME)


def _identity(existing: list[str]) -> nw.Expr:
    """Return what the runs of a file share: its id and name, where both are known."""
    names = [name for name in ("file_id", "display_name") if name in existing]
    key = nw.concat_str([nw.col(name).cast(nw.String) for name in names], separator="\n")
    if _FALLBACK not in existing:
        return key
    return nw.coalesce(key, nw.col(_FALLBACK).cast(nw.String))
