"""The best hand-written query in DuckDB for the answer of each function."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd

_DECIDED = "outcome in ('succeeded', 'mapped', 'job_failed', 'mapping_error')"
_FAILED = "outcome in ('job_failed', 'mapping_error')"
_OUTCOME = """
    case when r.error_message <> '' then 'mapping_error' when r.job_id is null then 'no_job'
    when j.status = 'COMPLETED' then 'succeeded' when j.status = 'FAILED' then 'job_failed'
    when j.status = 'CANCELLED' then 'job_cancelled' when j.status is null then 'job_unknown'
    else 'job_running' end as outcome
"""
_JOINED = "'{results}' r left join '{jobs}' j using (job_id)"
_LATEST = """'{results}' r left join (
    from '{jobs}' qualify row_number() over (partition by job_id order by updated_at desc) = 1
) j using (job_id)"""
_WITH_FILES = "'{outcomes}' r left join '{files}' f using (source_directory_file_id)"

SQL = {
    "failure_rates": f"""
        with per_batch as (
            select configuration_id, batch_id, count(*) as total,
                date_trunc('week', batch_created_at at time zone 'UTC') as week,
                sum(({_DECIDED})::int) as n, sum(({_FAILED})::int) as k
            from '{{outcomes}}' where batch_status <> 'FAILED' group by all
        )
        select configuration_id, week, sum(total) as total, sum(n) as decided, sum(k) as failed,
            count(*) as batches, sum(n * n) as squares, sum(k * k / n) as failed_squares
        from per_batch group by all order by all""",
    "ledger": """
        select configuration_id, outcome, count(*) as rows,
            sum((batch_status = 'FAILED')::int) as in_failed_batches
        from '{outcomes}' group by all""",
    "outcomes, counted": f"""
        with files as (select {_OUTCOME} from {_LATEST})
        select outcome, count(*) as total from files group by all""",
    "outcomes, all rows": f"""
        select r.*, {_OUTCOME}, j.error_message as job_error_message, j.credits from {_LATEST}""",
    "error_patterns": f"""
        select outcome, error_message, job_error_message, count(*) as count,
            min(batch_created_at) as first_seen, max(batch_created_at) as last_seen
        from '{{outcomes}}' where {_FAILED} and batch_status <> 'FAILED' group by all""",
    "summarize": f"""
        with files as (select r.batch_id, r.job_id, j.credits, {_OUTCOME} from {_JOINED}),
        counts as (
            select batch_id, count(*) as n_files, sum(({_DECIDED})::int) as n_decided,
                sum(({_FAILED})::int) as n_failed
            from files group by all
        ),
        per_job as (
            select min(batch_id) as batch_id, max(credits) as credits, min(outcome) as outcome
            from files where job_id is not null group by job_id
        ),
        costs as (
            select batch_id, sum(credits) as credits,
                sum(credits) filter (where {_FAILED}) as credits_on_failed
            from per_job group by all
        )
        select b.*, counts.* exclude (batch_id), costs.* exclude (batch_id) from '{{batches}}' b
        left join counts on b.batch_id = counts.batch_id and b.status <> 'FAILED'
        left join costs on b.batch_id = costs.batch_id""",
    "attempts": f"""
        select r.*, f.file_id, f.display_name, dense_rank() over (
            partition by f.file_id, f.display_name order by batch_created_at, batch_id) as attempt
        from {_WITH_FILES}""",
    "final_outcomes": f"""
        select f.file_id, f.display_name, count(distinct r.batch_id) as runs,
            arg_max({{{{outcome: outcome, batch_id: batch_id, job_id: job_id,
                configuration_id: configuration_id, batch_status: batch_status,
                message: coalesce(r.error_message, r.job_error_message),
                source_directory_file_id: source_directory_file_id}}}},
                (batch_status <> 'FAILED', outcome in ('succeeded', 'mapped'), batch_created_at)
            ) as last, sum(credits) as credits
        from {_WITH_FILES} group by all""",
    "compare_configurations": f"""
        with firsts as (
            select source_directory_file_id, configuration_id,
                arg_min(batch_id, batch_created_at) as batch_id,
                arg_min({_FAILED}, batch_created_at) as failed
            from '{{outcomes}}' where configuration_id in ('cfg-0', 'cfg-1')
                and batch_status <> 'FAILED' and {_DECIDED}
            group by all
        )
        select a.batch_id, b.batch_id, a.failed, b.failed, count(*) as n_pairs
        from firsts a join firsts b using (source_directory_file_id)
        where a.configuration_id = 'cfg-0' and b.configuration_id = 'cfg-1' group by all""",
}


def run(name: str, folder: Path) -> pd.DataFrame:
    """Run a query on the Parquet files of a folder and return its answer as pandas."""
    paths = {path.stem: path for path in folder.glob("*.parquet")}
    with duckdb.connect() as connection:
        answer: pd.DataFrame = connection.execute(SQL[name].format(**paths)).df()
    return answer
