"""Write a report of a frame of outcomes or of a dataset."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from llama_batches_nb.analysis.outcomes import add_outcomes
from llama_batches_nb.dataset.atomic import atomic_write
from llama_batches_nb.dataset.outcomes import read_outcomes
from llama_batches_nb.dataset.storage import local_path, make_parent, open_filesystem, path_text
from llama_batches_nb.report.content import Content, Facts, compute_content
from llama_batches_nb.report.page import format_page
from llama_batches_nb.tables import engines
from llama_batches_nb.types import IntoFrame, PathLike

DEFAULT_TITLE = "Batch report"


def write_report(source: IntoFrame | PathLike, path: PathLike, *, title: str | None = None) -> None:
    """Write failure rates, changes, causes, cost and failing files to one HTML file.

    The page needs no network and has no scripts. It suits light and dark displays, phones and
    paper, and holds neither an API key nor a URL of the service.

    Parameters
    ----------
    source
        A frame of `outcomes`, of any engine that Narwhals supports, or the path of a dataset that
        `sync_dataset` wrote. Names are shown where the frame has the columns of `add_names`.
    path
        File to write: a local path, or a URL that fsspec supports. It is replaced at once when the
        page is complete; missing folders are created.
    title
        Heading of the page. By default "Batch report".

    Raises
    ------
    FileNotFoundError, DatasetError
        If there is no dataset at the path, or it is damaged; as `read_dataset`.
    IsADirectoryError
        If `path` is a folder.
    ValueError
        If the frame has no column ``outcome``.
    TypeError
        If `source` is neither a frame nor a path, or `title` is not text.

    See Also
    --------
    failure_rates, rate_changes, error_patterns, final_outcomes : the numbers of the report.

    Notes
    -----
    Each part is present only as far as the data goes: without credits the cost is "not known".
    Lists are limited, and end with the number of the rows that are left out. Of a dataset, "as of"
    is the latest change of a batch or job in it; of a frame, the newest batch.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> from pathlib import Path
    >>> results = lb.fetch_results(status="COMPLETED", limit=5)
    >>> files = lb.outcomes(results, lb.fetch_jobs(results))
    >>> lb.write_report(lb.add_names(files), "report.html", title="Invoices")
    >>> "<title>Invoices</title>" in Path("report.html").read_text("utf-8")
    True
    """
    title = _parse_title(title)
    local, target = _parse_target(path)
    if isinstance(source, str | os.PathLike):
        content = dataset_content(source)
    else:
        frame = engines.wrap_frame("source", source)
        has_jobs = "job_error_message" in engines.column_names(frame)
        content = compute_content(frame, Facts(pd.Timestamp.now("UTC"), has_jobs=has_jobs))
    _write(local, target, format_page(content, title).encode())


def dataset_content(path: PathLike, since: pd.Timestamp | None = None) -> Content:
    """Return the content of the report of a dataset; raise the errors of `read_dataset`.

    With `since`, only files of batches created since then are in it.
    """
    dataset = read_outcomes(path)
    rows = dataset.files
    if since is not None:
        rows = rows[rows["batch_created_at"] >= since]
    files = engines.from_pandas(rows)
    costs = None
    if dataset.jobs is not None:
        costs = add_outcomes(files, engines.from_pandas(dataset.jobs), cost_parts=True)
    facts = Facts(
        written=pd.Timestamp.now("UTC"),
        as_of=dataset.as_of,
        since=since,
        dataset=re.split(r"[/\\]", path_text(path).rstrip("/\\"))[-1],  # its folder may be private
        projects=sorted(dataset.batches["project_id"].dropna().unique()),
        has_jobs=dataset.jobs is not None,
    )
    return compute_content(files, facts, costs)


def write_page(content: Content, path: PathLike, title: str | None) -> None:
    """Write a content that was computed before, as `write_report` does."""
    title = _parse_title(title)
    local, target = _parse_target(path)
    _write(local, target, format_page(content, title).encode())


def _parse_title(title: str | None) -> str:
    if not isinstance(title, str | None):
        raise TypeError(f"title must be text, not {title!r:.80}.")
    return title or DEFAULT_TITLE


def _parse_target(path: PathLike) -> tuple[Path | None, str]:
    """Return the local path, if it is one, and the path or URL to write."""
    target = path_text(path, to_write=True)
    local = local_path(target)
    if local is not None and local.is_dir():
        raise IsADirectoryError(f"{target!r} is a folder. Pass the name of a file in it.")
    return local, target


def _write(local: Path | None, target: str, content: bytes) -> None:
    if local is not None:
        atomic_write(local, content)
        return
    filesystem, path = open_filesystem(target)
    make_parent(filesystem, path)
    filesystem.pipe_file(path, content)
