"""Masked messages, their ids and their counts."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.analysis.masking import mask
from llama_batches_nb.analysis.patterns import (
    MAX_PATTERN_LENGTH,
    PATTERN_COLUMNS,
    error_patterns,
    pattern_ids,
)
from llama_batches_nb.sandbox_server.state import error_messages
from llama_batches_nb.tables import records
from llama_batches_nb.tables.schema import JOBS, STRING_DTYPE
from tests.strategies import (
    batches,
    job_frames,
    outcome_frames,
    result_frames,
    results_of,
    some,
)

UUID = "550e8400-e29b-41d4-a716-446655440000"
NAMES = [
    "INV-2026-00012.pdf",
    "Brouwer & Zonen invoice 4711.pdf",
    "O'Neil's lease, signed (2).pdf",
    "年次報告書 2026 3.pdf",
    "Formulario de admisión 7 Évora",
]


def jobs(*result: str | None, status: str = "FAILED", **columns: Any) -> pd.DataFrame:
    """Return jobs that failed with these messages."""
    failed = [
        {"id": f"pjb-{n}", "status": status, "error_message": message}
        for n, message in enumerate(result)
    ]
    return records.to_pandas(JOBS, failed).assign(**columns)


def files(*result: str | None, **batch: Any) -> pd.DataFrame:
    """Return results of one batch whose files could not be mapped, for these reasons."""
    mappings = [
        {"source_directory_file_id": f"dfl-{n}", "error_message": message}
        for n, message in enumerate(result)
    ]
    return results_of({"id": "bat-1", "status": "COMPLETED", "results": mappings, **batch})


def counts(patterns: pd.DataFrame) -> dict[str, int]:
    return dict(zip(patterns["pattern"], patterns["count"], strict=True))


# --- masks --------------------------------------------------------------------------------------

ALIKE = [
    # numbers
    ("Page <n> of <n>", ["Page 3 of 12", "Page 1,024 of 20000"]),
    ("took <time>", ["took 1 s", "took 12.75 s", "took 1.5e10 s", "took 3e-7 s"]),
    ("offset <n>: <n>%", ["offset -5: 12%", "offset 7: 99.5%", "offset −0.5: 0%"]),
    ("part <n>", ["part 3/4", "part 12/20"]),
    ("<host> refused", ["10.0.0.1:8080 refused", "192.168.1.20 refused"]),
    ("limit is <size>", ["limit is 12 MB", "limit is 1.5GiB", "limit is 900 kB", "limit is 8 B"]),
    ("after <size>", ["after 1 byte", "after 51200 bytes", "after 1,024 bytes"]),
    ("parse-worker-<n> is full", ["parse-worker-3 is full", "parse-worker-12 is full"]),
    ("page <n> has no text", ["pages 3 have no text", "pages 3, 4, 17 have no text"]),
    # ids
    ("job <id> failed", [f"job {UUID} failed", f"job pjb-{UUID} failed", "job ejb-1a2b failed"]),
    ("file <id>", ["file dfl-0", "file dfl-9f", f"file {UUID.upper()}", "file cfg-PARSE_AGENTIC"]),
    ("hash <n>", ["hash d41d8cd98f00b204", "hash 20260801", "hash ffffffff", "hash a1b2c3d"]),
    ("marker <n>", ["marker 0xff", "marker 0x1F", "marker 0x00"]),
    ("token <n> expired", ["token k29PqZab expired", "token 7Hx2 expired"]),
    # times
    (
        "since <time>",
        ["since 2026-08-01", "since 2026-08-01T10:00:00.123Z", "since 2026-08-01 10:00:00+02:00"],
    ),
    # URLs and paths
    ("GET <url>: 404", ["GET https://a.b/c?x=1&y=%20: 404", "GET http://127.0.0.1:80/: 404"]),
    ("<url> is gone", ["s3://bucket/a/b is gone", "gs://x is gone"]),
    (
        "cannot open <path>: locked",
        [
            r"cannot open C:\Users\Bob Smith\O'Neil's file.pdf: locked",
            r"cannot open \\server\share\x: locked",
            "cannot open D:/in/a.txt: locked",
            "cannot open /var/in/scan_001.pdf: locked",
            "cannot open ~/年次報告書.pdf: locked",
            "cannot open ../out/b: locked",
            "cannot open uploads/2026/08/Müller: locked",
            "cannot open Rechnung_12_Contoso.PDF: locked",
            "cannot open /data/Lease Århus 12 (signed).pdf: locked",
        ],
    ),
    # names
    ("<name> is no PDF", [f"'{name}' is no PDF" for name in NAMES]),
    ("file <name> isn't a PDF", [f'file "{name}" isn\'t a PDF' for name in NAMES]),
    (
        "no <name>, it's lost",
        ["no `a 1`, it's lost", "no “a/b”, it's lost", "no «b.pdf», it's lost"],
    ),
    # white space
    ("out of memory", ["out of memory", " out  of\n\tmemory\r\n"]),
    ("(no message)", ["", " \n"]),
]


@pytest.mark.parametrize(("pattern", "alike"), ALIKE)
def test_similar_messages_have_one_pattern(pattern: str, alike: list[str]) -> None:
    assert {message: mask(message) for message in alike} == dict.fromkeys(alike, pattern)


@pytest.mark.parametrize(
    "words",
    [
        "the files' owner isn't known",
        "neither and/or nor n/a",
        "<b>bold</b> & <script>alert()</script><br/>",
        "null \x00 and \x1b[m stay",
        "e.g. a module such as a.b",
        "rate_limit_exceeded",
        "the org-wide limit of the dir-level cache",
    ],
)
def test_mask_keeps_words(words: str) -> None:
    assert mask(words) == words


def test_mask_replaces_digits_beside_words() -> None:
    assert mask("no utf8 in S3, HTTP/1.1, parse_v2") == "no <n> in <n>, HTTP/<n>, parse_<n>"


@given(st.text(), st.text(alphabet="0a.,'\"/\\ :-<b~"))
@some
def test_mask_leaves_no_digit(anything: str, awkward: str) -> None:
    for message in (anything, awkward):
        assert not re.search(r"\d", mask(message))


TEMPLATES = [
    *error_messages.PARSE_ERRORS,
    *error_messages.EXTRACT_ERRORS,
    error_messages.DRIFT_ERROR,
    *error_messages.MAPPING_ERRORS,
]
TEMPLATES += [error_messages.UNSUPPORTED_FILE_ERROR]


@given(st.randoms(use_true_random=False), st.sampled_from(TEMPLATES))
@some
def test_sandbox_messages_have_pattern_of_their_template(draw: Random, template: str) -> None:
    one, other = (
        error_messages.format_message(template, draw, draw.choice(NAMES), 30, f"dfl-{UUID}")
        for _ in "ab"
    )
    assert mask(one) == mask(other)


def test_sandbox_templates_have_distinct_patterns() -> None:
    draw = Random(0)
    result = {
        t: mask(error_messages.format_message(t, draw, NAMES[2], 30, f"dfl-{UUID}"))
        for t in TEMPLATES
    }
    assert len(set(result.values())) == len(result)


PIECES = [
    "0", "a", "-", "~", "/", '"', "'", "'a ", "‘a ", "a.a", "/a", "./", "a/", "\\a", "a:\\", "é.",
    "1a", "1.1", "1,", "a-1", "1 ", "a b ", "aa_", "=a", "x://", "pjb-", "<n>, ", "a.pdf ",
    "0-", "a0_", "failed 000 ", "(0", "A000: ",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_mask_of_long_messages_is_fast(piece: str) -> None:
    assert mask(piece * 20_000)  # a search that is not linear outlasts the suite's time limit


# --- what is counted ----------------------------------------------------------------------------


def test_patterns_are_sorted_by_count_with_share_and_example() -> None:
    result = error_patterns(jobs("b", "Page 9 is blank", None, "a", "Page 10 is blank"))
    assert result.columns.tolist() == PATTERN_COLUMNS
    assert result["pattern"].tolist() == ["Page <n> is blank", "(no message)", "a", "b"]
    assert result["count"].tolist() == [2, 1, 1, 1]
    assert result["share"].tolist() == [0.4, 0.2, 0.2, 0.2]
    assert result["example"].fillna("-").tolist() == ["Page 10 is blank", "-", "a", "b"]
    assert result["layer"].tolist() == ["job"] * 4
    assert result.index.tolist() == [0, 1, 2, 3]


def test_failed_results_are_counted_by_message() -> None:
    result = error_patterns(files("no such file", "", None, " "))
    assert counts(result) == {"(no message)": 1, "no such file": 1}
    assert result["layer"].tolist() == ["mapping"] * 2


def test_failed_jobs_are_counted_by_message() -> None:
    both = pd.concat([jobs("bad", ""), jobs("odd", status="COMPLETED"), jobs("on", status="NEW")])
    assert counts(error_patterns(both)) == {"(no message)": 1, "bad": 1}


def outcomes() -> pd.DataFrame:
    """Return files of which two failed in their mapping, two in their job."""
    words = ["mapping_error", "job_failed", "succeeded", "mapping_error", "job_failed"]
    of_mapping = ["full", None, "odd", "lost", "full"]
    of_job = ["odd", "full", "odd", None, None]
    return pd.DataFrame(
        {"outcome": words, "error_message": of_mapping, "job_error_message": of_job}
    )


def test_each_layer_counts_its_own_messages() -> None:
    result = error_patterns(outcomes())
    rows = result[["pattern", "layer", "count"]].to_numpy().tolist()
    assert rows == [
        ["(no message)", "job", 1],
        ["full", "mapping", 1],
        ["full", "job", 1],
        ["lost", "mapping", 1],
    ]
    assert result["pattern_id"].nunique() == 3


def test_outcomes_without_job_messages_have_patterns() -> None:
    result = error_patterns(outcomes().drop(columns="job_error_message"))
    assert counts(result) == {"(no message)": 2, "full": 1, "lost": 1}


def test_files_of_failed_batches_are_excluded() -> None:
    both = pd.concat([files("a"), files("b", id="bat-2", status="FAILED")])
    for result in (error_patterns(both), error_patterns(lb.outcomes(both))):
        assert counts(result) == {"a": 1}


FAILURES = st.one_of(result_frames(), outcome_frames(), job_frames())


@given(FAILURES, st.sampled_from([None, "job_type", ["job_type", "job_id"]]))
@some
def test_pattern_counts_add_up_to_failures(result: pd.DataFrame, by: Any) -> None:
    patterns = error_patterns(result, by=by)
    assert_exact_dtypes(patterns)
    assert patterns["count"].min() > 0 or patterns.empty
    rates = lb.failure_rates(result, by=by)
    failed = rates[rates.failed > 0]
    keys = [by] if isinstance(by, str) else by
    if keys is None:
        assert patterns["count"].sum() == rates.failed[0]
        assert patterns["share"].sum() == pytest.approx(1 if len(failed) else 0)
        return
    groups = patterns.groupby(keys, dropna=False, observed=True)
    assert groups["count"].sum().tolist() == failed.failed.tolist()
    assert groups["share"].sum().tolist() == pytest.approx([1] * len(failed))
    assert not patterns.duplicated([*keys, "pattern_id", "layer"]).any()


@given(FAILURES)
@some
def test_pattern_ids_match_error_patterns(result: pd.DataFrame) -> None:
    ids = pattern_ids(result)
    pd.testing.assert_index_equal(ids.index, result.index)
    assert ids.dtype == STRING_DTYPE
    patterns = error_patterns(result)
    expected = patterns.groupby("pattern_id")["count"].sum().to_dict()
    assert ids.value_counts().to_dict() == expected


@given(FAILURES)
@some
def test_pattern_ids_of_messages_are_those_of_the_frame(result: pd.DataFrame) -> None:
    failed = result[pattern_ids(result).notna().to_numpy()]
    column = "job_error_message" if "job_error_message" in failed else "error_message"
    if "outcome" in failed:
        failed = failed[failed["outcome"].eq("job_failed").to_numpy()]
    messages = failed[column].fillna("")
    pd.testing.assert_series_equal(pattern_ids(messages), pattern_ids(failed))


MESSAGES = ["Page 3 of 'a.pdf' is blank", None, "Out of memory", "Page 12 of 'b.pdf' is blank", ""]


@pytest.mark.parametrize(
    "column",
    [
        MESSAGES,
        tuple(MESSAGES),
        iter(MESSAGES),
        pd.Series(MESSAGES, dtype=object),
        pd.Series(MESSAGES, dtype="string"),
        pd.Series(MESSAGES, dtype="category"),
        pd.Series(MESSAGES, dtype=pd.ArrowDtype(pa.string())),
        pd.Index(MESSAGES, dtype=object),
        pd.array(MESSAGES, dtype="string"),
        pd.Series(MESSAGES, dtype=object).to_numpy(),
        pl.Series(MESSAGES),
        pl.Series(MESSAGES, dtype=pl.Categorical),
        pa.array(MESSAGES),
        pa.array(MESSAGES).dictionary_encode(),
        pa.chunked_array([MESSAGES[:2], MESSAGES[2:]]),
    ],
    ids=lambda column: f"{type(column).__module__}.{type(column).__name__}",
)
def test_pattern_ids_of_any_column_of_messages(column: Any) -> None:
    page, memory, none = "pat-85f86cd9a3", "pat-9aed18e093", pattern_ids(jobs(None))[0]
    expected = pd.Series([page, pd.NA, memory, page, none], dtype=STRING_DTYPE, name="pattern_id")
    pd.testing.assert_series_equal(pattern_ids(column), expected)


def test_pattern_ids_of_series_keep_its_index() -> None:
    index = pd.MultiIndex.from_tuples([("b", 7), ("a", 7), ("b", 7)], names=["batch", None])
    messages = pd.Series([None, "a 1", "a 2"], index=index, name="error_message")
    ids = pattern_ids(messages)
    pd.testing.assert_index_equal(ids.index, index)
    assert ids.fillna("-").tolist() == ["-", *[pattern_ids(["a 3"])[0]] * 2]


@pytest.mark.parametrize("column", [[], pd.Series([], dtype=object), [None], pl.Series([None])])
def test_pattern_ids_of_no_messages_are_missing(column: Any) -> None:
    ids = pattern_ids(column)
    assert ids.dtype == STRING_DTYPE
    assert ids.isna().tolist() == [True] * len(column)


@pytest.mark.parametrize("value", ["a message", b"x", {"a", "b"}, {"error_message": "a"}, 3, None])
def test_pattern_ids_of_no_column_raise(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^frame_or_messages must be a frame .* or a column"):
        pattern_ids(value)


@pytest.mark.parametrize("column", [[1], ["a", b"b"], pd.Series([1.5]), [{"error_message": "a"}]])
def test_pattern_ids_of_column_without_text_raise(column: Any) -> None:
    with pytest.raises(TypeError, match="each message must be text or missing, not "):
        pattern_ids(column)


@given(FAILURES, st.randoms(use_true_random=False))
@some
def test_patterns_do_not_depend_on_row_order(result: pd.DataFrame, draw: Random) -> None:
    shuffled = result.iloc[draw.sample(range(len(result)), len(result))]
    pd.testing.assert_frame_equal(error_patterns(shuffled), error_patterns(result))


def counts_by_id(patterns: pd.DataFrame) -> Counter[tuple[str, str, str]]:
    names = zip(patterns["pattern_id"], patterns["pattern"], patterns["layer"], strict=True)
    return Counter(dict(zip(names, patterns["count"], strict=True)))


@given(FAILURES, st.integers(0, 8))
@some
def test_pattern_ids_do_not_depend_on_other_rows(result: pd.DataFrame, cut: int) -> None:
    parts = (counts_by_id(error_patterns(part)) for part in (result.iloc[:cut], result.iloc[cut:]))
    assert counts_by_id(error_patterns(result)) == sum(parts, Counter())


def test_pattern_ids_are_stable() -> None:
    result = error_patterns(jobs("Page 3 of 'a.pdf' is blank", "Out of memory"))
    assert sorted(result.pattern_id) == ["pat-85f86cd9a3", "pat-9aed18e093"]


@pytest.mark.slow
def test_many_messages_have_few_patterns() -> None:
    many = [f"Page {n} of 'file {n}.pdf' {'in' if n % 2 else 'out'}" for n in range(100_000)]
    result = error_patterns(jobs(*many))
    assert result["count"].tolist() == [50_000, 50_000]


# --- columns -------------------------------------------------------------------------------------


def assert_exact_dtypes(patterns: pd.DataFrame) -> None:
    assert patterns.columns.tolist()[-len(PATTERN_COLUMNS) :] == PATTERN_COLUMNS
    for name in ("pattern_id", "pattern", "example"):
        assert patterns[name].dtype == STRING_DTYPE
    assert str(patterns["count"].dtype) == "int64"
    assert str(patterns["share"].dtype) == "float64"
    for name in ("first_seen", "last_seen"):
        assert patterns[name].dtype == pd.DatetimeTZDtype("us", "UTC")
    assert patterns["layer"].dtype == pd.CategoricalDtype(["mapping", "job", "page"])


def times(*result: str | None) -> pd.Series[Any]:
    return pd.Series(result, dtype="datetime64[us, UTC]")


SEEN = times("2026-08-03", None, "2026-08-01T12:00", "2026-08-02", None)
DATED = jobs("p 1", "p 2", "p 3", "q", "r", created_at=SEEN)


def seen(patterns: pd.DataFrame) -> list[list[str]]:
    both = patterns[["first_seen", "last_seen"]]
    return [[f"{t:%d %H}" if pd.notna(t) else "-" for t in row] for row in both.itertuples(False)]


EXPECTED = [["01 12", "03 00"], ["02 00", "02 00"], ["-", "-"]]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Etc/GMT+5", "+05:30", None])
def test_first_and_last_seen_are_in_utc(zone: str | None) -> None:
    there = SEEN.dt.tz_convert(zone) if zone else SEEN.dt.tz_localize(None)
    result = error_patterns(DATED.assign(created_at=there))
    assert_exact_dtypes(result)
    assert seen(result) == EXPECTED


def test_pandas_times_may_be_text() -> None:
    text = pd.Series(
        ["2026-08-03", None, "2026-08-01T12:00:00.5Z", "2026-08-02 00:00:00+00:00", None]
    )
    assert seen(error_patterns(DATED.assign(created_at=text))) == EXPECTED


def test_text_times_of_other_engines_raise() -> None:
    text = pl.from_pandas(DATED.drop(columns="created_at")).with_columns(created_at=pl.lit("now"))
    with pytest.raises(ValueError, match="'created_at' must hold times; it holds String"):
        error_patterns(text)


def test_results_are_dated_by_their_batch() -> None:
    result = error_patterns(files("a", created_at="2026-08-05T00:00:00Z"))
    assert seen(result) == [["05 00", "05 00"]]


def test_first_and_last_seen_are_missing_without_times() -> None:
    result = error_patterns(jobs("a").drop(columns="created_at"))
    assert_exact_dtypes(result)
    assert seen(result) == [["-", "-"]]


def test_long_pattern_is_truncated_but_id_hashes_all_of_it() -> None:
    long = "word " * 4000
    result = error_patterns(jobs(long + "one", long + "other"))
    assert result["pattern"].nunique() == 1
    assert len(result["pattern"][0]) == MAX_PATTERN_LENGTH
    assert result["pattern"][0].endswith("…")
    assert result["pattern_id"].nunique() == 2
    assert set(result["example"]) == {long + "one", long + "other"}
    exact = "a" + " b" * (MAX_PATTERN_LENGTH // 2 - 1) + "c"
    assert len(exact) == MAX_PATTERN_LENGTH
    assert error_patterns(jobs(exact))["pattern"].tolist() == [exact]


def test_shares_add_up_to_one_per_group() -> None:
    result = error_patterns(
        jobs("x 1", "x 2", "y", "y", job_type=["b", None, "b", "a"]), by="job_type"
    )
    assert result.columns.tolist() == ["job_type", *PATTERN_COLUMNS]
    assert result["job_type"].fillna("-").tolist() == ["a", "b", "b", "-"]
    assert result["pattern"].tolist() == ["y", "x <n>", "y", "x <n>"]
    assert result["share"].tolist() == [1, 0.5, 0.5, 1]


def test_patterns_group_by_time() -> None:
    result = error_patterns(DATED, by="created_at")
    assert result["created_at"].equals(result["first_seen"])


@pytest.mark.parametrize("by", [None, "job_type", ["job_type", "created_at"]])
@pytest.mark.parametrize(
    "result", [jobs(), jobs("a", status="RUNNING")], ids=["no rows", "no fail"]
)
def test_no_failures_give_no_patterns(result: pd.DataFrame, by: Any) -> None:
    patterns = error_patterns(result, by=by)
    assert len(patterns) == 0
    assert_exact_dtypes(patterns)
    assert pattern_ids(result).isna().all()


def test_patterns_do_not_depend_on_index() -> None:
    result = jobs("a", "a", "b").set_axis([7, 7, 3])
    assert counts(error_patterns(result)) == {"a": 2, "b": 1}
    ids = pattern_ids(result)
    assert ids.index.tolist() == [7, 7, 3]
    assert result[(ids == ids.iloc[0]).to_numpy()].job_id.tolist() == ["pjb-0", "pjb-1"]


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_messages_may_have_any_text_dtype(dtype: Any) -> None:
    result = jobs("a 1", "a 2", None).astype({"error_message": dtype, "status": dtype})
    assert counts(error_patterns(result)) == {"a <n>": 2, "(no message)": 1}
    none = jobs(None, None).astype({"error_message": dtype})
    assert counts(error_patterns(none)) == {"(no message)": 2}


# --- other engines ------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_pattern_times_are_in_utc_in_any_session_zone(zone: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"set timezone = '{zone}'")
        result = error_patterns(connection.from_arrow(pa.Table.from_pandas(DATED)))
    assert seen(result) == EXPECTED


# --- errors -------------------------------------------------------------------------------------


def test_patterns_of_batches_raise() -> None:
    with pytest.raises(ValueError, match=r"Batches have no messages: pass .* fetch_results"):
        error_patterns(batches("FAILED"))


def test_patterns_by_invalid_column_raises() -> None:
    with pytest.raises(ValueError, match="no column 'config'"):
        error_patterns(jobs("a"), by=["status", "config"])
    with pytest.raises(ValueError, match="by='layer'"):
        error_patterns(jobs("a", layer="x"), by="layer")


def test_pattern_ids_of_lazy_frame_raise() -> None:
    with pytest.raises(TypeError, match="collect the frame first"):
        pattern_ids(pl.from_pandas(DATED).lazy())
