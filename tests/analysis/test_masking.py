"""Patterns of messages: what one pattern covers, what stays apart, and laws of the masks."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_batches_nb.analysis.masking import NO_MESSAGE, mask, mask_all
from tests.strategies import some

ONE = "550e8400-e29b-41d4-a716-446655440000"
OTHER = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

ONE_PATTERN = [
    [
        "Cannot open Annual Report 2024 (final).pdf: locked",
        "Cannot open invoice.pdf: locked",
        "Cannot open Lease of the house.docx: locked",
        "Cannot open scan_0001.tiff: locked",
        "Cannot open 年次報告書 2026.pdf: locked",
        "Cannot open interview.mp3: locked",
    ],
    [
        "Failed to parse Q3 results.xlsx on page 3",
        "Failed to parse minutes.pdf on page 1",
    ],
    [
        "Annual report 2024.pdf is not a PDF",
        "invoice.pdf is not a PDF",
        "Brouwer & Zonen - invoice 7.pdf is not a PDF",
    ],
    [
        "page 3 of Lease Agreement.pdf has no text",
        "page 12 of a.pdf has no text",
    ],
    [
        "File 'O'Neil's lease.pdf' is encrypted",
        'File "Lease agreement" is encrypted',
        "File 'x' is encrypted",
    ],
    [
        "Conversion of Quarterly Update.pptx to PDF failed",
        "Conversion of a.docx to PDF failed",
    ],
    [
        "Unsupported type application/pdf",
        "Unsupported type image/png",
        "Unsupported type application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "Unsupported type text/html; charset=utf-8",
    ],
    [
        "MIME type 'image/svg+xml' is not supported",
        "MIME type 'text/plain' is not supported",
    ],
    [
        "Timed out after 30s",
        "Timed out after 300ms",
        "Timed out after 1m30s",
        "Timed out after 1.5 s",
        "Timed out after 2 minutes",
        "Timed out after 1 h 5 min",
        "Timed out after 00:01:30",
        "Timed out after 1 minute and 30 seconds",
    ],
    [
        "retry in <1 sec",
        "retry in 3 secs",
    ],
    [
        "1 page has no text",
        "3 pages have no text",
        "1,024 pages have no text",
    ],
    [
        "1 blank page was skipped",
        "12 blank pages were skipped",
    ],
    [
        "Gave up after 1 attempt",
        "Gave up after 5 attempts",
    ],
    [
        "Page 3 is blank",
        "Pages 3, 4 and 17 are blank",
        "Pages 3-5 are blank",
    ],
    [
        "1 required field is missing",
        "4 required fields are missing",
    ],
    [
        "1 table could not be read",
        "2 tables could not be read",
    ],
    [
        "parse-worker-7d9f8b6c5-x2k9p was evicted",
        "parse-worker-6b5f7c9d8-zxqwv was evicted",
        "parse-worker-5c4d7f9b6b-4hj2l was evicted",
    ],
    [
        "No answer from db-7.prod.example.com:5432",
        "No answer from 10.0.3.7:5432",
        "No answer from cache.internal",
        "No answer from fe80::1ff:fe23:4567:890a",
        "No answer from storage.eu-west-1.amazonaws.com",
    ],
    [
        "Interface 00:1b:44:11:3a:b7 is down",
        "Interface 08:00:27:9c:aa:01 is down",
    ],
    [
        "Block blk_-123 is lost",
        "Block blk_456789 is lost",
    ],
    [
        "Licence expired on Sat Jun 18 02:23:10 2005",
        "Licence expired on 2026-08-01",
        "Licence expired on 1 August 2026",
        "Licence expired on Aug 1, 2026",
        "Licence expired on Mon, 01 Aug 2026 10:00:00 GMT",
        "Licence expired on 01.08.2026",
    ],
    [
        f"Job pjb-{ONE} failed",
        f"Job {OTHER} failed",
    ],
    [
        f"File dfl-{ONE} of batch bat-{OTHER} has no pages",
        f"File dfl-{OTHER} of batch bat-{ONE} has no pages",
    ],
    [
        "Page size A4 is too small",
        "Page size B5 is too small",
        "Page size A10 is too small",
    ],
    [
        "Image is 12 MB, more than 10 MB",
        "Image is 1.5GiB, more than 900 kB",
        "Image is 51200 bytes, more than 1 byte",
    ],
    [
        "Parser v2.1.0 crashed",
        "Parser v1.12.3 crashed",
        "Parser v3 crashed",
    ],
    [
        "Checksum 0xdeadbeef differs",
        "Checksum 0x1F differs",
    ],
    [
        "Token k29PqZab expired",
        "Token 7Hx2 expired",
    ],
    [
        "Webhook https://a.example/x?y=1 timed out",
        "Webhook http://127.0.0.1:80/ timed out",
    ],
    [
        "No answer for anna.b@example.com",
        "No answer for x+y@mail.example.org",
    ],
    [
        "Line 3, column 17: unexpected end of input",
        "Line 120, column 4: unexpected end of input",
    ],
    [
        "Confidence 0.31 is below 0.5",
        "Confidence 0.499999 is below 0.50",
    ],
    [
        "Coverage 12% is below 80%",
        "Coverage 7.5% is below 80%",
    ],
    [
        "Cannot read /data/in/7/scan 12.pdf",
        "Cannot read C:\\Users\\Bob Smith\\in\\scan.pdf",
        "Cannot read uploads/2026/08/x.pdf",
    ],
    [
        "Invalid user bob from 10.1.2.3",
        "Invalid user web-admin from 10.1.2.4",
    ],
    [
        "Out of memory: 3 GB needed, 512 MB free",
        "Out of memory: 12.5 GiB needed, 1 GB free",
    ],
    [
        '{"detail":"Page 3 of 7 is blank"}',
        '{"detail":"Page 12 of 40 is blank"}',
    ],
    [
        '{"file":"Lease (2).pdf","error":"The PDF is encrypted"}',
        '{"file":"scan.pdf","error":"The PDF is encrypted"}',
    ],
    [
        "node-27 is down",
        "node-D3 is down",
    ],
    [
        "Request req_8f3k2j1h9 was rejected",
        "Request req_77abc01z2 was rejected",
    ],
    [
        "第3页无法识别",
        "第12页无法识别",
    ],
    [
        "Seite 3 von 12 ist leer",
        "Seite 7 von 120 ist leer",
    ],
    [
        "chunk 3/40 was lost",
        "chunk 17/40 was lost",
    ],
    [
        "at 10:30:05 the renderer stopped",
        "at 23:59:59 the renderer stopped",
    ],
    [
        "row 12: value -5.3 is negative",
        "row 3: value -17 is negative",
    ],
    ["Failed on page 429", "Failed on page 500"],
    ["Processing failed after 429 pages", "Processing failed after 500 pages"],
    ["pages failed: 412", "pages failed: 413"],
    ["Could not parse the invoice (429)", "Could not parse the invoice (500)"],
    ["Worker w12: lost", "Worker w13: lost"],
    ["Retry (2) failed", "Retry (3) failed"],
    [
        "Directory 'Inbox' is empty",
        "Directory 'Incoming mail 2026' is empty",
        'Directory "Scans" is empty',
    ],
    [
        "Unsupported file extension: .heic",
        "Unsupported file extension: .docx",
    ],
]

APART = [
    [
        '{"detail":"You have used all your credits"}',
        '{"detail":"The PDF is encrypted"}',
        '{"detail":"No such file"}',
    ],
    [
        "HTTP 401",
        "HTTP 429",
        "HTTP 500",
        "HTTP 503",
    ],
    [
        "Upstream returned 429",
        "Upstream returned 500",
        "Upstream returned 503",
    ],
    [
        "status code 404",
        "status code 500",
    ],
    [
        "status: 404",
        "status: 502",
    ],
    [
        "Request failed with status 413",
        "Request failed with status 429",
    ],
    [
        "GET https://a.example/x: 503",
        "GET https://a.example/x: 404",
    ],
    [
        "exit code 1",
        "exit code 137",
    ],
    [
        "Worker exited with code 137",
        "Worker exited with code 1",
    ],
    [
        "exited with 139",
        "exited with 1",
    ],
    [
        "[Errno 2] cannot open",
        "[Errno 13] cannot open",
        "[Errno 28] cannot open",
    ],
    [
        "errno=5",
        "errno=11",
    ],
    [
        "error 0x80070005",
        "error 0x80004005",
    ],
    [
        "error 18",
        "error 19",
    ],
    [
        "Error code: E1001",
        "Error code: E1002",
    ],
    [
        "ORA-00942: failed",
        "ORA-12541: failed",
    ],
    [
        "Expected 'string', got 'number'",
        "Expected 'number', got 'string'",
        "Expected 'string', got 'null'",
    ],
    [
        "'total' is required",
        "'due_date' is required",
    ],
    [
        "killed by signal 9",
        "killed by signal 11",
    ],
    [
        '{"code":401,"message":"x"}',
        '{"code":429,"message":"x"}',
    ],
    [
        '{"statusCode": 500}',
        '{"statusCode": 404}',
    ],
    [
        '{"error":{"code":"invalid_api_key"}}',
        '{"error":{"code":"rate_limit_exceeded"}}',
    ],
    [
        '{"error":"Page 3 is blank"}',
        '{"error":"Page 3 is encrypted"}',
    ],
    [
        "{'detail': 'Not found'}",
        "{'detail': 'Unauthorized'}",
    ],
    [
        "401 Unauthorized",
        "403 Forbidden",
    ],
    [
        "500 Server Error",
        "502 Server Error",
    ],
    [
        "HTTP/1.1 404",
        "HTTP/1.1 500",
    ],
    [
        "Parser rejects a.pdf",
        "Tokenizer rejects a.pdf",
    ],
    [
        "Parser crashed on a.pdf",
        "Tokenizer crashed on a.pdf",
    ],
    [
        'Font "Arial" is missing',
        'Table "Arial" is missing',
    ],
    [
        "第3页无法识别",
        "第3页为空",
    ],
    [
        'Parser reported: "Page 3 is blank"',
        'Parser reported: "Page 3 is encrypted"',
    ],
    [
        "The file is encrypted",
        "The file is corrupt",
    ],
    [
        "upload failed",
        "download failed",
    ],
    [
        '["quota exceeded"]',
        '["file too large"]',
    ],
    [
        "error: Parser rejects x.pdf",
        "error: Tokenizer rejects x.pdf",
    ],
    [
        "unknown type 'boolean' in field 'a'",
        "unknown type 'integer' in field 'a'",
    ],
    [
        "java.io.IOException: closed",
        "java.net.SocketException: closed",
    ],
    ["Request failed: 429", "Request failed: 500"],
    ["Upload failed (429)", "Upload failed (500)"],
    ["Request failed with 429", "Request failed with 500"],
    ["Got 401 from server", "Got 403 from server"],
    ["429: slow down", "503: slow down"],
    ["rc=1", "rc=137"],
    ["Converter failed (rc 1)", "Converter failed (rc 2)"],
    ["ffmpeg: ret=-11", "ffmpeg: ret=-6"],
    ["return value 1", "return value 2"],
    ["sqlcode -204", "sqlcode -551"],
    ["curl: (6) Could not connect", "curl: (7) Could not connect"],
    ["(13, 'Cannot open')", "(28, 'Cannot open')"],
    ["TS2304: Cannot find name", "TS2305: Cannot find name"],
    ["Build failed: MSB3021: Unable to copy", "Build failed: MSB3027: Unable to copy"],
    ["SQL0204N name is undefined", "SQL0205N name is undefined"],
    [
        "return code 2",
        "return code 3",
    ],
    [
        "Process finished with exit code -9",
        "Process finished with exit code -11",
    ],
    [
        "grpc status 14",
        "grpc status 4",
    ],
    [
        '{"error":"{\\"detail\\":\\"No such file\\"}"}',
        '{"error":"{\\"detail\\":\\"Out of credits\\"}"}',
    ],
    [
        "Server responded with a status of 503 ()",
        "Server responded with a status of 404 ()",
    ],
    [
        "Error no. 12",
        "Error no. 13",
    ],
    [
        "SQLSTATE[23000]: x",
        "SQLSTATE[42000]: x",
    ],
]

EVERY_MESSAGE = [message for group in [*ONE_PATTERN, *APART] for message in group]


@pytest.mark.parametrize("messages", ONE_PATTERN, ids=lambda messages: messages[0])
def test_messages_of_one_kind_have_one_pattern(messages: list[str]) -> None:
    masked = {message: mask(message) for message in messages}
    assert len(set(masked.values())) == 1, masked


@pytest.mark.parametrize("messages", APART, ids=lambda messages: messages[0])
def test_messages_that_differ_in_meaning_stay_apart(messages: list[str]) -> None:
    masked = {message: mask(message) for message in messages}
    assert len(set(masked.values())) == len(messages), masked


def test_kinds_of_messages_have_distinct_patterns() -> None:
    patterns = Counter(mask(messages[0]) for messages in ONE_PATTERN)
    assert [pattern for pattern, count in patterns.items() if count > 1] == []


def test_catalogue_has_enough_messages() -> None:
    assert len(ONE_PATTERN) >= 40
    assert len(APART) >= 40


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        (
            '{"detail":"Page 3 of \'a.pdf\' is blank"}',
            '{"detail":"Page <n> of <name> is blank"}',
        ),
        ("HTTP/1.1 404 after 3 attempts in 300ms", "HTTP/<n> 404 after <n> attempts in <time>"),
        ("error: 3 pages failed", "error: <n> pages failed"),
        ("error 3 of 12", "error <n> of <n>"),
        ("zip code 10115, bar code 4006381", "zip code <n>, bar code <n>"),
        ("found 404 pages, got 503 rows", "found <n> pages, got <n> rows"),
        ("ssh: host.example.com [10.0.0.1] refused", "ssh: <host> refused"),
        ("Set 'timeout' to 30 s or more", "Set 'timeout' to <time> or more"),
        ("expected \"3\", got '12.5'", "expected \"<n>\", got '<n>'"),
        ("\ufeffout\u200b of memory", "out of memory"),
        ("Formulario E\u0301vora.pdf fehlt", "<path> fehlt"),
        ("٣ of ١٢", "<n> of <n>"),
        ("read a.tif Jun 29 10:48:15 2005", "read <path> <time>"),
    ],
)
def test_pattern_is_readable(message: str, pattern: str) -> None:
    assert mask(message) == pattern


@pytest.mark.parametrize("message", ["", " \t\n", "\u200b", "\ufeff \u2060"])
def test_message_without_visible_text_is_no_message(message: str) -> None:
    assert mask(message) == NO_MESSAGE


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", EVERY_MESSAGE)
def test_mask_of_pattern_is_the_pattern(message: str) -> None:
    pattern = mask(message)
    assert mask(pattern) == pattern


@given(st.lists(st.sampled_from(EVERY_MESSAGE) | st.text(), max_size=30), st.randoms())
@some
def test_pattern_depends_on_its_message_alone(messages: list[str], draw: object) -> None:
    alone = {message: mask(message) for message in messages}
    assert mask_all(messages) == [alone[message] for message in messages]
    assert mask_all(messages[::-1]) == [alone[message] for message in messages[::-1]]


@given(st.sampled_from(EVERY_MESSAGE), st.sampled_from(["\n", "\t", "\u2028", "  ", "\xa0"]))
@some
def test_white_space_changes_no_pattern(message: str, space: str) -> None:
    assert mask(f" {message.replace(' ', space)}{space}") == mask(message)


@given(st.text(st.characters(codec=None)))
@some
def test_any_text_has_a_pattern_on_one_line(text: str) -> None:
    assert mask(text).splitlines() == [mask(text)]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
@some
def test_counts_and_numbers_share_a_pattern(one: int, other: int) -> None:
    assert mask(f"page {one} of {one}") == mask(f"page {other} of {other}")
    assert mask(f"{one} pages are blank") == mask(f"{other} pages are blank")


@pytest.mark.slow
def test_patterns_are_equal_in_another_process() -> None:
    code = (
        "import sys; from llama_batches_nb.analysis.masking import mask;"
        "print(ascii(mask(sys.argv[1])))"
    )
    message = "第3页: Cannot open Lease (2).pdf after 30 s"
    run = subprocess.run(
        [sys.executable, "-c", code, message], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ascii(mask(message))
