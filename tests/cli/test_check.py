"""The command `check`: its exit codes, and output that no name from a server can forge."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.__main__ import main
from llama_batches_nb.cli.argument_types import parse_rate, parse_since
from llama_batches_nb.cli.check import ALERT, FINE, INVALID_ARGUMENTS, UNREADABLE
from llama_batches_nb.cli.check_output import escape_markdown
from llama_batches_nb.messages import escape_line
from tests.conftest import Serve
from tests.servers import Request, batch, mapping, page

NOW = datetime.now(UTC)
HOSTILE = "cfg\n::error::forged ##[error]x\r\x1b[2J\u2028| a | <script> `b` [c](http://d.test)"


def _batches(failed: list[int], *, files: int = 40, **fields: Any) -> list[dict[str, Any]]:
    """Return batches, the oldest first and 3 days apart, each with so many failed files."""
    made = []
    for n, n_failed in enumerate(failed):
        mappings = [
            mapping(f"dfl-{i}", None, "No such file")
            if i < n_failed
            else mapping(f"dfl-{i}", f"pjb-{fields.get('name', '')}{n}-{i}")
            for i in range(files)
        ]
        created = (NOW - timedelta(days=3 * (len(failed) - n), hours=-1)).isoformat()
        made.append(
            batch(
                f"bat-{fields.get('name', '')}{n}",
                results=mappings,
                created_at=created,
                updated_at=created,
                config={"job": {"type": "parse_v2", "configuration_id": fields.get("config")}},
                **fields.get("more", {}),
            )
        )
    return made


def _sync(serve: Serve, path: Path, *batches: dict[str, Any], jobs: bool = False) -> Path:
    def script(request: Request) -> Any:
        name = request.path.rsplit("/", 1)[1]
        if name == "batches":
            return page([{**one, "results": None} for one in batches])
        if name == "parse":
            return page([{"id": i, "status": "COMPLETED"} for i in request.query["job_ids"]])
        if name in ("directories", "configurations", "files"):
            return page([])
        return next(one for one in batches if one["id"] == name)

    serve(script)
    lb.sync_dataset(path, jobs=jobs)
    return path


@pytest.fixture
def bad_and_good(serve: Serve, tmp_path: Path) -> Path:
    bad = _batches([10, 8, 9, 12, 10, 9], name="x", config="cfg-bad")
    good = _batches([0, 1, 0, 2, 0, 1], name="y", config="cfg-good")
    return _sync(serve, tmp_path / "dataset", *bad, *good)


def test_alert_needs_whole_interval_above_limit(
    bad_and_good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", str(bad_and_good), "--by", "configuration_id", "--max-failure-rate"]
    assert main([*command, "5%"]) == ALERT
    first, bad, good, *notes = capsys.readouterr().out.splitlines()
    assert first.startswith("Alert in 1 of 2 groups.")
    assert re.fullmatch(
        r"  ALERT   configuration_id=cfg-bad: 24\.2 % \(58 of 240 files in 6 batches; "
        r"[\d.]+–[\d.]+\): above 5 %",
        bad,
    )
    assert good.startswith("  ok      configuration_id=cfg-good: 1.7 % (4 of 240 files")
    assert any("has no jobs" in note for note in notes)
    assert main([*command, "0.2"]) == FINE  # the rate is above, its interval is not
    assert capsys.readouterr().out.startswith("No alert in 2 groups.")


def test_json_has_numbers_and_reasons(
    bad_and_good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", str(bad_and_good), "--max-failure-rate", "5%", "--json", "--since", "99w"]
    assert main([*command, "--by", "configuration_id"]) == ALERT
    result = json.loads(capsys.readouterr().out)
    assert (result["status"], result["max_failure_rate"], result["jobs"]) == ("alert", 0.05, False)
    bad, good = result["groups"]
    assert (bad["keys"], bad["alert"]) == ({"configuration_id": "cfg-bad"}, True)
    assert bad["failure_rate"] == pytest.approx(58 / 240)
    assert (good["alert"], good["reasons"]) == (False, [])


def test_since_leaves_out_older_batches(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _sync(serve, tmp_path / "dataset", *_batches([20] * 6 + [0] * 4))
    assert main(["check", str(path), "--max-failure-rate", "10%"]) == ALERT
    assert main(["check", str(path), "--max-failure-rate", "10%", "--since", "12d"]) == FINE
    assert "0.0 % (0 of 160 files in 4 batches" in capsys.readouterr().out


def test_rise_alerts_though_rate_is_below_limit(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steady = [2, 1, 2, 3, 2, 1] * 6
    path = _sync(serve, tmp_path / "dataset", *_batches([*steady, *[8, 9, 8, 10, 9, 8]]))
    assert main(["check", str(path), "--max-failure-rate", "50%"]) == FINE
    assert main(["check", str(path), "--rising"]) == ALERT
    assert ": rising since 20" in capsys.readouterr().out
    assert main(["check", str(path), "--rising", "--since", "1h"]) == FINE  # nothing that recent


def test_steady_rate_is_not_rising(serve: Serve, tmp_path: Path) -> None:
    path = _sync(serve, tmp_path / "dataset", *_batches([2, 1, 2, 3, 2, 1] * 6))
    assert main(["check", str(path), "--rising"]) == FINE


@pytest.mark.parametrize("by", [[], ["--by", "configuration_id", "job_type"]])
def test_dataset_without_decided_files_gives_a_message_and_no_alert(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str], by: list[str]
) -> None:
    path = _sync(serve, tmp_path / "dataset")
    for options in (["--max-failure-rate", "0%"], ["--rising"]):
        assert main(["check", str(path), *options, *by]) == FINE
        assert "no file is decided" in capsys.readouterr().out
        main(["check", str(path), *options, *by, "--json"])
        assert json.loads(capsys.readouterr().out)["status"] == "no_data"


def test_undecided_and_unreliable_files_are_named(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"status": "FAILED"}
    batches = [*_batches([1, 2], files=9), *_batches([3], files=7, name="f", more=failed)]
    path = _sync(serve, tmp_path / "dataset", *batches, jobs=True)
    assert main(["check", str(path), "--max-failure-rate", "60%"]) == FINE
    output = capsys.readouterr().out
    assert "(3 of 18 files in 2 batches" in output
    assert "without 7 in FAILED batches" in output
    assert "There are few batches" in output
    assert "has no jobs" not in output


@pytest.mark.parametrize("damage", ["missing", "file", "damaged", "other files"])
def test_unreadable_dataset_has_its_own_code(
    bad_and_good: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bad_and_good
    if damage == "missing":
        path = tmp_path / "nothing"
    elif damage == "file":
        path = tmp_path / "file"
        path.write_text("x")
    elif damage == "other files":
        path = tmp_path / "folder"
        path.mkdir()
        (path / "notes.txt").write_text("x")
    else:
        for part in path.rglob("*.parquet"):
            part.write_bytes(part.read_bytes()[:-20])
    assert main(["check", str(path), "--max-failure-rate", "5%"]) == UNREADABLE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"check: \w+Error: .+\n", captured.err)
    assert path.exists() == (damage != "missing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pass --max-failure-rate or --rising"),
        (["--rising", "--by", "configuraton_id"], "Did you mean 'configuration_id'?"),
        (["--rising", "--by", "batch_created_at"], "both group by"),
        (["--max-failure-rate", "5"], "For 5 percent write 5%"),
        (["--max-failure-rate", "5%", "--since", "yesterday"], "neither an age such as 7d"),
        (["--rising", "--since", "2999-01-01"], "not before the current time"),
    ],
)
def test_wrong_usage_exits_2(
    bad_and_good: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        code = main(["check", str(bad_and_good), *arguments])
    except SystemExit as stop:  # argparse
        code = int(str(stop.code))
    assert code == INVALID_ARGUMENTS
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "rate"), [("5%", 0.05), ("0.05", 0.05), (" 2.5 % ", 0.025), ("0", 0), ("99.9%", 0.999)]
)
def test_rate_is_a_percentage_or_a_fraction(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "%", "5", "100%", "-1%", "nan", "inf%", "5%%", "a%", "1_0%"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate from 0 to less than 100 %"):
        parse_rate(text)


def test_since_is_an_age_or_a_time() -> None:
    now = datetime(2026, 8, 8, tzinfo=UTC)
    assert parse_since("7d", now) == parse_since("1w", now) == datetime(2026, 8, 1, tzinfo=UTC)
    assert parse_since("12H", now) == datetime(2026, 8, 7, 12, tzinfo=UTC)
    assert parse_since("2026-08-01T02:00+02:00", now) == datetime(2026, 8, 1, tzinfo=UTC)
    assert parse_since("999999d", now).year == 1
    for text in ("0d", "-1d", "7", "7 days ago", "٧d", "1.5h", "2026-08-09", ""):
        with pytest.raises(ValueError, match=r"neither an age|not before"):
            parse_since(text, now)


def test_names_from_the_server_forge_no_line_command_or_markup(
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    path = _sync(serve, tmp_path / "dataset", *_batches([9] * 6, config=HOSTILE))
    command = ["check", str(path), "--max-failure-rate", "5%", "--by", "configuration_id"]
    assert main(command) == ALERT
    output = capsys.readouterr().out
    assert len(output.splitlines()) == len(output.strip("\n").split("\n")) == 4
    assert not re.search(r"(?m)^\s*::|##\[|[\x00-\x09\x0b-\x1f]", output)
    before, heading, *table = summary.read_text("utf-8").split("\n")
    assert (before, heading) == ("before", r"### Failure rates: Alert in 1 of 1 group\.")
    (row,) = [line for line in table if "forged" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert not re.search(r"(?<!\\)[<`\[]", row)
    assert main([*command, "--json"]) == ALERT
    output = capsys.readouterr().out
    assert output.isascii()
    assert "##[" not in output
    assert json.loads(output)["groups"][0]["keys"] == {"configuration_id": HOSTILE}


def test_unwritable_summary_does_not_change_the_exit_code(
    bad_and_good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(bad_and_good))  # a folder
    assert main(["check", str(bad_and_good), "--max-failure-rate", "99%"]) == FINE
    assert "Cannot write to $GITHUB_STEP_SUMMARY" in capsys.readouterr().err


@given(st.text())
def test_escaped_text_is_one_line_without_commands(text: str) -> None:
    line = escape_line(text)
    assert len(f"{line}.".splitlines()) == 1
    assert "##[" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>`*_\[\]]", escape_markdown(text))
