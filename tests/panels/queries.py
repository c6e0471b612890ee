"""Example queries, the batches that match them, and checks of a panel's code."""

from __future__ import annotations

import ast
from datetime import date
from typing import Any

import pandas as pd
from pandas.testing import assert_frame_equal

import llama_batches_nb as lb
from llama_batches_nb.panels.browse.filter_panel import FilterPanel
from llama_batches_nb.panels.browse.query import Query

A_DAY = date(2026, 4, 27)

QUERIES = {
    "all": Query(),
    "a status": Query(status=("FAILED",)),
    "several": Query(status=("COMPLETED", "CANCELLED")),
    "a directory": Query(source_directory_id="Invoices 2026"),
    "a configuration": Query(configuration_id="cfg-PARSE_AGENTIC"),
    "a job type": Query(job_type="extract_v2"),
    "dates": Query(since=date(2026, 4, 20), until=date(2026, 7, 3)),
    "a day": Query(since=A_DAY, until=A_DAY),
    "a limit": Query(limit=7),
    "a limit of a filter that is ours": Query(job_type="parse_v2", limit=3),
    "all at once": Query(
        status=("COMPLETED", "FAILED"),
        configuration_id="cfg-PARSE_AGENTIC",
        job_type="parse_v2",
        since=date(2026, 4, 20),
        until=date(2026, 7, 31),
        limit=4,
    ),
    "nothing": Query(since=date(1999, 1, 1), until=date(1999, 1, 2)),
}


def with_ids(query: Query, directories: pd.DataFrame) -> Query:
    """Return a query with the id of its directory."""
    ids = dict(zip(directories["name"], directories["source_directory_id"], strict=True))
    given = vars(query) | {"source_directory_id": ids.get(query.source_directory_id)}
    return Query(**given)


def matching(query: Query, batches: pd.DataFrame) -> pd.DataFrame:
    """Return the batches that match a query."""
    days = batches["created_at"].dt.date
    keep = pd.Series(True, batches.index)
    if query.status:
        keep &= batches["status"].isin(query.status)
    for name in ("source_directory_id", "configuration_id", "job_type"):
        if getattr(query, name):
            keep &= batches[name] == getattr(query, name)
    if query.since:
        keep &= days >= query.since
    if query.until:
        keep &= days <= query.until
    return batches[keep].head(query.limit or len(batches)).reset_index(drop=True)


def as_arguments(query: Query) -> dict[str, Any]:
    """Return the arguments of `filter_panel` for a query."""
    return {
        "status": query.status or None,
        "source_directory_id": query.source_directory_id,
        "configuration_id": query.configuration_id,
        "job_type": query.job_type,
        "created_at_on_or_after": query.since,
        "created_at_on_or_before": query.until,
        "limit": query.limit,
    }


def run(code: str, **names: Any) -> dict[str, Any]:
    """Run code as a cell does."""
    exec(compile(code, "a cell", "exec"), names)
    return names


def assert_only_public_names(code: str) -> None:
    """Check that code imports only `lb` and pandas, and uses only `lb.__all__`."""
    imports, attributes = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imports |= {(alias.name, alias.asname) for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "lb":
            attributes.add(node.attr)
        else:
            assert not isinstance(node, ast.ImportFrom), ast.unparse(node)
    assert imports <= {("llama_batches_nb", "lb"), ("pandas", "pd")}
    assert ("llama_batches_nb", "lb") in imports
    assert attributes <= set(lb.__all__)


def check_code(panel: FilterPanel, **names: Any) -> dict[str, Any]:
    """Run the panel's code, which must use public names and return the panel's frames only."""
    assert_only_public_names(panel.code)
    given = run(panel.code, **names)
    for name in ("batches", "results", "jobs"):
        frame = getattr(panel, name)
        if frame is None:
            assert name not in given
        else:
            assert_frame_equal(given[name], frame)
    if panel.results is not None:
        assert_frame_equal(given["files"].iloc[:, :9], panel.results.loc[given["files"].index])
    assert given["lb"] is lb
    return given
