"""Conversion of API records to tables."""

from __future__ import annotations

import json
import operator
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.errors import ResponseError
from llama_batches_nb.tables import records, schema
from llama_batches_nb.tables.schema import (
    BATCHES,
    CONFIGURATIONS,
    DIRECTORIES,
    FILES,
    JOBS,
    MAPPINGS,
    RESULTS,
    Table,
)
from llama_batches_nb.types import Record
from tests.strategies import (
    LISTED,
    TABLES,
    api_records,
    at,
    few,
    instants,
    mappings,
    results_of,
    some,
    table_frames,
    zones,
)

HALF = "\ud83d"  # of a pair of surrogates


def assert_exact_dtypes(frame: pd.DataFrame, table: Table) -> None:
    """Check columns and dtypes against the contract, written out here once more."""
    assert frame.columns.tolist() == table.names
    for column in table.columns:
        dtype = frame[column.name].dtype
        if column.type == "category":
            assert isinstance(dtype, pd.CategoricalDtype)
            assert not dtype.ordered
            assert dtype.categories.tolist()[: len(column.categories)] == list(column.categories)
        elif column.type == "time":
            assert dtype == pd.DatetimeTZDtype("us", "UTC")
        elif column.type in ("Float64", "Int64"):
            assert dtype == column.type
        else:
            assert dtype == schema.STRING_DTYPE


def plain(values: pd.Series[Any]) -> list[Any]:
    """Return a column's values, with None for missing ones."""
    return [
        None if missing else value for value, missing in zip(values, values.isna(), strict=True)
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_record_dtypes_without_rows(table: Table) -> None:
    empty = results_of() if table is RESULTS else records.to_pandas(table, [])
    assert len(empty) == 0
    assert_exact_dtypes(empty, table)
    for column in table.columns:
        if column.type == "category":
            assert tuple(empty[column.name].cat.categories) == column.categories


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@given(data=st.data())
@few
def test_record_dtypes_with_any_rows(table: Table, data: st.DataObject) -> None:
    assert_exact_dtypes(data.draw(table_frames(table)), table)


@pytest.mark.parametrize("table", LISTED, ids=lambda table: table.name)
@given(data=st.data())
@few
def test_each_record_becomes_a_row(table: Table, data: st.DataObject) -> None:
    result = data.draw(st.lists(api_records(table), max_size=6))
    frame = records.to_pandas(table, result)
    assert frame.index.tolist() == list(range(len(result)))
    for column in table.columns:
        sent = [at(record, column.path) for record in result]
        if column.other_path:
            others = [at(record, column.other_path) for record in result]
            sent = [b if a is None else a for a, b in zip(sent, others, strict=True)]
        if column.type == "time":
            sent = [text and datetime.fromisoformat(text) for text in sent]
        received = plain(frame[column.name])
        if column.type == "json":
            received = [text and json.loads(text) for text in received]
        assert received == sent


def test_batch_values_are_read_from_api_paths() -> None:
    batch = {
        "id": "bat-1",
        "status": "RUNNING",
        "source_directory_id": "dir-1",
        "project_id": "prj-1",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
        "created_at": "2026-08-01T10:00:00Z",
        "updated_at": "2026-08-01T10:05:00Z",
    }
    (row,) = records.to_pandas(BATCHES, [batch]).to_dict("records")
    assert row == {
        "batch_id": "bat-1",
        "status": "RUNNING",
        "job_type": "parse_v2",
        "configuration_id": "cfg-1",
        "source_directory_id": "dir-1",
        "project_id": "prj-1",
        "created_at": pd.Timestamp("2026-08-01 10:00", tz="UTC"),
        "updated_at": pd.Timestamp("2026-08-01 10:05", tz="UTC"),
    }


@pytest.mark.parametrize(
    ("table", "record", "expected"),
    [
        (JOBS, {"id": "pjb-1", "usage": {"credits": 3}}, {"job_id": "pjb-1", "credits": 3.0}),
        (
            FILES,
            {"id": "dfl-1", "directory_id": "dir-1", "display_name": "a.pdf", "file_id": "f-1"},
            {"source_directory_file_id": "dfl-1", "source_directory_id": "dir-1"},
        ),
        (
            DIRECTORIES,
            {"id": "dir-1", "type": "ephemeral"},
            {"source_directory_id": "dir-1", "type": "ephemeral"},
        ),
        (
            CONFIGURATIONS,
            {"id": "cfg-1", "product_type": "extract_v2", "version": "latest"},
            {"configuration_id": "cfg-1", "job_type": "extract_v2", "version": "latest"},
        ),
        (
            MAPPINGS,
            {"source_directory_file_id": "dfl-1", "job_reference": {"type": "t", "id": "pjb-1"}},
            {"source_directory_file_id": "dfl-1", "job_type": "t", "job_id": "pjb-1"},
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_renamed_columns_are_read_from_api_paths(
    table: Table, record: Record, expected: Record
) -> None:
    row = records.to_pandas(table, [record]).iloc[0]
    assert {name: row[name] for name in expected} == expected


def test_extract_job_has_costs_and_parse_job() -> None:
    job = {
        "id": "ejb-1",
        "usage": {"credits": 8, "extract_credits": 5, "parse_credits": 3.5},
        "metadata": {"usage": {"num_pages_billed": 2, "num_pages_extracted": 1}},
        "file_input": "dfl-1",
        "extract_metadata": {"parse_job_id": "pjb-1", "parse_tier": "fast"},
    }
    (row,) = records.to_pandas(JOBS, [job]).dropna(axis="columns").to_dict("records")
    assert row == {
        "job_id": "ejb-1",
        "tier": "fast",
        "credits": 8.0,
        "extract_credits": 5.0,
        "parse_credits": 3.5,
        "pages_billed": 2,
        "file_input": "dfl-1",
        "parse_job_id": "pjb-1",
    }


def test_own_tier_of_job_comes_before_that_of_its_parse_job() -> None:
    both = {"id": "a", "tier": "agentic", "extract_metadata": {"parse_tier": "fast"}}
    assert records.to_pandas(JOBS, [both]).tier.tolist() == ["agentic"]


def test_json_column_keeps_text_of_any_language_and_lone_surrogates() -> None:
    sent = [{"ключ": "값 😀"}, {"half": HALF}, {}, [1, 2.5, None]]
    frame = records.to_pandas(FILES, [{"id": str(n), "metadata": m} for n, m in enumerate(sent)])
    assert frame.metadata[0] == '{"ключ": "값 😀"}'
    assert [json.loads(text) for text in frame.metadata] == sent


@pytest.mark.parametrize("table", LISTED, ids=lambda table: table.name)
@given(data=st.data())
@few
def test_raw_column_holds_each_record(table: Table, data: st.DataObject) -> None:
    sent = data.draw(st.lists(api_records(table), max_size=4))
    frame = records.to_pandas(schema.with_raw(table), sent)
    assert frame.columns.tolist() == [*table.names, "raw"]
    assert frame["raw"].dtype == schema.STRING_DTYPE
    assert [json.loads(text) for text in frame["raw"]] == sent


# --- tomorrow's words ---------------------------------------------------------------------------


def test_unknown_status_and_job_type_are_kept() -> None:
    result = records.to_pandas(
        BATCHES,
        [{"id": "bat-1", "status": "PAUSED", "config": {"job": {"type": "split_v9"}}}],
    )
    assert result.status.tolist() == ["PAUSED"]
    assert result.job_type.tolist() == ["split_v9"]
    assert result.status.cat.categories.tolist() == [*BATCHES.columns[1].categories, "PAUSED"]


def test_unknown_fields_are_ignored() -> None:
    result = records.to_pandas(BATCHES, [{"id": "bat-1", "tomorrow": {"deep": [1]}}])
    assert result.columns.tolist() == BATCHES.names


# --- times --------------------------------------------------------------------------------------


@given(instants(), zones())
@some
def test_times_in_any_iso_format_are_the_same_instant(instant: datetime, zone: Any) -> None:
    naive = instant.replace(tzinfo=None).isoformat()
    forms = [f"{naive}Z", f"{naive}+00:00", naive, instant.astimezone(zone).isoformat()]
    result = records.to_pandas(
        BATCHES, [{"id": str(n), "created_at": t} for n, t in enumerate(forms)]
    )
    assert [time.to_pydatetime() for time in result.created_at] == [instant] * 4
    assert {time.utcoffset() for time in result.created_at} == {timedelta(0)}


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-08-01T10:00:00Z", datetime(2026, 8, 1, 10, tzinfo=UTC)),
        ("2026-08-01T10:00:00.5Z", datetime(2026, 8, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-08-01T10:00:00.123456789Z", datetime(2026, 8, 1, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-08-01 10:00:00+02:00", datetime(2026, 8, 1, 8, tzinfo=UTC)),
        ("2026-08-01", datetime(2026, 8, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_of_other_precisions(text: str, instant: datetime) -> None:
    result = records.to_pandas(JOBS, [{"id": "pjb-1", "created_at": text}])
    assert result.created_at[0].to_pydatetime() == instant


@pytest.fixture
def _in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine's clock be five hours behind UTC."""
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_new_york")
def test_time_without_zone_is_utc_in_any_local_zone() -> None:
    result = records.to_pandas(JOBS, [{"id": "pjb-1", "created_at": "2026-08-01T10:00:00"}])
    assert result.created_at[0] == pd.Timestamp("2026-08-01 10:00", tz="UTC")


# --- missing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", LISTED, ids=lambda table: table.name)
def test_missing_and_null_are_missing(table: Table) -> None:
    (key,) = table.columns[0].path
    nulls: Record = {column.path[0]: None for column in table.columns} | {key: "b"}
    result = records.to_pandas(table, [{key: "a"}, nulls]).drop(columns=table.key)
    assert result.isna().to_numpy().all()
    assert_exact_dtypes(records.to_pandas(table, [{key: "a"}, nulls]), table)


def test_null_parent_gives_missing_value() -> None:
    configs: list[Any] = [None, {}, {"job": None}, {"job": {}}, {"job": {"type": None}}]
    result = records.to_pandas(
        BATCHES, [{"id": str(n), "config": c} for n, c in enumerate(configs)]
    )
    assert result.job_type.isna().all()
    assert result.configuration_id.isna().all()


def test_text_none_is_not_missing() -> None:
    result = records.to_pandas(BATCHES, [{"id": "None", "project_id": "None", "status": "None"}])
    assert (result.batch_id[0], result.project_id[0], result.status[0]) == ("None",) * 3


# --- not what was promised ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "record", "name"),
    [
        (BATCHES, {"status": 7}, "status"),
        (BATCHES, {"project_id": ["prj-1"]}, "project_id"),
        (BATCHES, {"project_id": True}, "project_id"),
        (BATCHES, {"config": [1]}, "config"),
        (BATCHES, {"config": {"job": "parse_v2"}}, "config.job"),
        (BATCHES, {"created_at": "yesterday"}, "created_at"),
        (BATCHES, {"created_at": 1785578400}, "created_at"),
        (BATCHES, {"created_at": HALF}, "created_at"),
        (BATCHES, {"updated_at": ["2026-08-01"]}, "updated_at"),
        (BATCHES, {"updated_at": "9999-12-31T23:59:59-12:00"}, "updated_at"),
        (JOBS, {"usage": {"credits": "many"}}, "credits"),
        (JOBS, {"usage": {"credits": 10**400}}, "credits"),
        (JOBS, {"usage": 3}, "usage"),
        (JOBS, {"metadata": {"usage": {"num_pages_billed": 2.5}}}, "pages_billed"),
        (JOBS, {"metadata": {"usage": {"num_pages_billed": 2**63}}}, "pages_billed"),
        (JOBS, {"extract_metadata": "none"}, "extract_metadata"),
        (MAPPINGS, {"job_reference": "j"}, "job_reference"),
        (MAPPINGS, {"error_message": {}}, "error_message"),
    ],
)
def test_value_of_another_type_costs_only_itself(table: Table, record: Record, name: str) -> None:
    key = table.columns[0].path[0]
    others: list[Record] = [{key: "first"}, {key: "second", "project_id": "prj-1"}]
    with pytest.warns(UserWarning, match=f"1 value of {name} is missing, because"):
        result = records.to_pandas(table, [*others, {key: "odd"} | record])
    pd.testing.assert_frame_equal(result[:2], records.to_pandas(table, others))
    assert result[table.key].tolist() == ["first", "second", "odd"]
    assert result.iloc[2, 1:].isna().all()
    assert_exact_dtypes(result, table)


@pytest.mark.parametrize("record", [[1], "bat-1", 7, None, {}, {"id": None}, {"id": 7}])
def test_record_without_id_raises(record: Any) -> None:
    with pytest.raises(ResponseError, match="without 'id'"):
        records.to_pandas(BATCHES, [{"id": "good"}, record])


# --- surrogates ---------------------------------------------------------------------------------


@given(st.lists(st.none() | st.text(st.sampled_from([HALF, "\udcff", "é", "😀", "x"]), max_size=5)))
@some
def test_lone_surrogate_becomes_question_mark(texts: list[str | None]) -> None:
    sent = [{"id": str(n), "project_id": text, "status": text} for n, text in enumerate(texts)]
    result = records.to_pandas(BATCHES, sent)
    whole = [None if t is None else re.sub("[\ud800-\udfff]", "?", t) for t in texts]
    assert plain(result.project_id) == whole
    assert plain(result.status) == whole


# --- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [{}, {"results": None}, {"results": []}])
def test_batch_without_results_gives_no_rows(batch: Record) -> None:
    result = results_of({"id": "bat-1", "status": "PENDING", **batch})
    assert len(result) == 0
    assert_exact_dtypes(result, RESULTS)


def test_each_result_has_columns_of_its_batch() -> None:
    result = results_of(
        {"id": "bat-0", "results": None},
        {
            "id": "bat-1",
            "status": "COMPLETED",
            "source_directory_id": "dir-1",
            "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
            "created_at": "2026-08-01T10:00:00Z",
            "results": [
                {
                    "source_directory_file_id": "dfl-1",
                    "job_reference": {"type": "extract_v2", "id": "ejb-1"},
                },
                {"source_directory_file_id": "dfl-2", "error_message": "no such file"},
            ],
        },
    )
    both = {
        "batch_id": "bat-1",
        "batch_status": "COMPLETED",
        "batch_created_at": pd.Timestamp("2026-08-01 10:00", tz="UTC"),
        "configuration_id": "cfg-1",
        "source_directory_id": "dir-1",
    }
    mapped, unmapped = result.to_dict("records")
    assert both.items() <= mapped.items()
    assert both.items() <= unmapped.items()
    assert (mapped["source_directory_file_id"], mapped["job_id"]) == ("dfl-1", "ejb-1")
    assert pd.isna(mapped["error_message"])
    assert (unmapped["source_directory_file_id"], unmapped["error_message"]) == (
        "dfl-2",
        "no such file",
    )
    assert pd.isna(unmapped["job_id"])


@pytest.mark.parametrize(
    ("of_job", "of_batch", "expected"),
    [
        ("extract_v2", "parse_v2", "extract_v2"),
        (None, "parse_v2", "parse_v2"),
        ("split_v9", None, "split_v9"),
        (None, None, None),
    ],
)
def test_job_type_of_mapping_overrides_batch(
    of_job: str | None, of_batch: str | None, expected: str | None
) -> None:
    reference = {"id": "pjb-1", "type": of_job}
    mapping = {"source_directory_file_id": "dfl-1", "job_reference": reference}
    result = results_of(
        {"id": "bat-1", "config": {"job": {"type": of_batch}}, "results": [mapping]}
    )
    assert plain(result.job_type) == [expected]


@given(st.lists(st.lists(mappings(), max_size=4), max_size=5))
@few
def test_results_keep_order_of_batches_and_files(batches: list[list[Record]]) -> None:
    result = results_of(*({"id": f"bat-{n}", "results": m} for n, m in enumerate(batches)))
    assert result.batch_id.tolist() == [
        f"bat-{n}" for n, files in enumerate(batches) for _ in files
    ]
    sent = [mapping for files in batches for mapping in files]
    assert result.source_directory_file_id.tolist() == [m["source_directory_file_id"] for m in sent]
    assert plain(result.job_id) == [at(mapping, ("job_reference", "id")) for mapping in sent]
    assert plain(result.error_message) == [mapping["error_message"] for mapping in sent]


@pytest.mark.parametrize("results", [{"dfl-1": {}}, "none", 7])
def test_results_that_are_not_a_list_raise(results: Any) -> None:
    with pytest.raises(ResponseError, match="bat-1"):
        records.results_from_record({"id": "bat-1", "results": results})


def test_results_of_batch_without_id_raise() -> None:
    with pytest.raises(ResponseError, match="'id'"):
        results_of({"results": []})


# --- the rest -----------------------------------------------------------------------------------


def test_constant_fills_column() -> None:
    jobs = [{"id": "pjb-1", "job_type": "never"}, {"id": "pjb-2"}]
    assert records.to_pandas(JOBS, jobs, job_type="parse_v2").job_type.tolist() == ["parse_v2"] * 2
    assert_exact_dtypes(records.to_pandas(JOBS, [], job_type="parse_v2"), JOBS)


@given(st.lists(st.lists(api_records(JOBS), max_size=3), max_size=4))
@few
def test_concatenated_tables_equal_whole(parts: list[list[Record]]) -> None:
    together = records.concat_to_pandas(JOBS, (records.to_arrow(JOBS, part) for part in parts))
    whole = records.to_pandas(JOBS, [record for part in parts for record in part])
    pd.testing.assert_frame_equal(together, whole)


def test_arrow_rows_have_table_schema() -> None:
    rows = records.to_arrow(BATCHES, [{"id": "bat-1"}])
    assert isinstance(rows, pa.Table)
    assert rows.schema.equals(BATCHES.arrow_schema)


def _read(*bodies: bytes) -> pd.DataFrame:
    """Read batches with their results, each if it is the requested one."""
    for body in bodies:
        batch: Any = json.loads(body)
        records.validate_batch_json(batch["id"] if isinstance(batch, dict) else "", body)
    return records.concat_to_pandas(RESULTS, records.parse_batches_with_results(bodies)[1])


def _expanded() -> st.SearchStrategy[Record]:
    """Batches with their results, as the API sends them."""
    more = {
        "results": st.none() | st.lists(mappings(), max_size=6),
        "colour": st.just({"red": [1]}),
    }
    return st.builds(operator.or_, api_records(BATCHES), st.fixed_dictionaries(more))


@some
@given(st.lists(_expanded(), max_size=4), st.booleans())
def test_arrow_and_python_json_readers_agree(batches: list[Record], ascii_only: bool) -> None:
    bodies = [json.dumps(b, ensure_ascii=ascii_only, indent=1).encode() for b in batches]
    pd.testing.assert_frame_equal(_read(*bodies), results_of(*batches))
    assert [len(part) for part in records.parse_batches_with_results(bodies)[1]] == [
        len(batch["results"] or ()) for batch in batches
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "without 'id'"),
        (b'{"id": null}', "without 'id'"),
        (b'{"id": "b", "results": {}}', "not a list"),
        (b'{"id": "b", "results": [null]}', "without 'source_directory_file_id'"),
        (b'{"id": "b", "results": [5]}', "without 'source_directory_file_id'"),
        (b'{"id": "b", "results": [{"source_directory_file_id": 5}]}', "source_directory_file_id"),
        (b'{"id": 5, "results": []}', "'id'"),
    ],
)
def test_invalid_json_structure_error_names_field(body: bytes, words: str) -> None:
    with pytest.raises(ResponseError, match=words):
        _read(b'{"id": "a"}', body)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"id": "b"} {"id": "c"}', b"\xff", b'{"id": "\xff"}']
)
def test_invalid_json_raises_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        records.validate_batch_json("b", body)


def test_two_batches_in_one_response_raise() -> None:
    with pytest.raises(ValueError, match="Extra data"):
        records.parse_batches_with_results(
            [b'{"id": "b", "results": []} {"id": "c", "results": []}']
        )


def test_lone_surrogate_in_result_becomes_question_mark() -> None:
    frame = _read(b'{"id":"b","results":[{"source_directory_file_id":"a\\ud800"}]}')
    assert frame.source_directory_file_id.tolist() == ["a?"]
