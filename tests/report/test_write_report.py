"""The report: one page whose numbers are those of the functions, and which nothing can forge."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import llama_batches_nb as lb
from llama_batches_nb.__main__ import main
from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.cli.check import UNREADABLE
from tests.conftest import Serve
from tests.fake_api import START, FakeApi

KEY = "llx-AbCdEf0123456789"
HOSTILE = f"\x1b</td></svg><script src='https://evil.test/x.js'></script><b>&\u202e{KEY}"


class Outline(HTMLParser):
    """The tags, links and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def outcomes_of_batches(
    n_batches: int = 30, files_per_batch: int = 20, **columns: Any
) -> pd.DataFrame:
    """Return outcomes of batches, two a week, of which the last third fails more often."""
    n = n_batches * files_per_batch
    rng = np.random.default_rng(7)
    batch = np.repeat(np.arange(n_batches), files_per_batch)
    rate = np.where(batch >= 2 * n_batches // 3, 0.5, 0.1)
    failed = rng.random(n) < rate
    created = pd.Timestamp("2026-05-04", tz="UTC") + pd.to_timedelta(batch * 84, unit="h")
    return pd.DataFrame(
        {
            "batch_id": [f"bat-{b}" for b in batch],
            "batch_status": "COMPLETED",
            "batch_created_at": created.astype("datetime64[us, UTC]"),
            "configuration_id": "cfg-1",
            "source_directory_id": "dir-1",
            "source_directory_file_id": [f"dfl-{i}" for i in range(n)],
            "job_id": [f"pjb-{i}" for i in range(n)],
            "error_message": pd.array([None] * n, "string"),
            "outcome": np.where(failed, "job_failed", "succeeded"),
            "job_error_message": ["Page 3 is blank" if each else None for each in failed],
            "credits": pd.array(np.where(failed, 1.0, 2.0), "Float64"),
        }
    )


def _write(source: Any, folder: Path, **options: Any) -> Outline:
    lb.write_report(source, folder / "report.html", **options)
    return Outline((folder / "report.html").read_text("utf-8"))


@pytest.mark.parametrize("engine", [lambda f: f, pl.from_pandas, pa.Table.from_pandas])
def test_numbers_are_those_of_the_functions(
    engine: Callable[[pd.DataFrame], Any], tmp_path: Path
) -> None:
    files = outcomes_of_batches()
    text = _write(engine(files), tmp_path, title="Invoices").text
    rate = lb.failure_rates(files).iloc[0]
    assert f"Failure rate: {format_rate(rate)}." in text
    n_failing = int(lb.final_outcomes(files).outcome.eq("job_failed").sum())
    assert f"Still failing after all runs: {n_failing} of 600 different files." in text
    (change,) = lb.rate_changes(files, by="configuration_id").itertuples()
    before = f"{change.rate_before:.1%}".replace("%", " %")
    assert f"{before} before {change.since:%d %B %Y}" in text
    assert f"{files.credits.sum():,.0f} credits, of which {n_failing:,} on failed files" in text
    assert "Page 3 is blank" in text
    assert "cfg-1" in text


def test_page_is_complete_without_network_or_scripts(tmp_path: Path) -> None:
    page = _write(outcomes_of_batches(), tmp_path)
    assert page.tags[:2] == ["html", "head"]
    assert page.tags.count("svg") == page.tags.count("h1") == page.tags.count("main") == 1
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.links == []
    assert page.tags.count("table") == page.tags.count("caption") == page.tags.count("thead") == 5


def test_everything_from_outside_is_escaped(tmp_path: Path) -> None:
    columns = dict.fromkeys(("configuration", "display_name", "file_id"), HOSTILE)
    files = outcomes_of_batches().assign(**columns)
    messages = files.job_error_message.where(files.outcome != "job_failed", HOSTILE)
    page = _write(files.assign(job_error_message=messages), tmp_path, title=f"{HOSTILE}\ud800")
    raw = (tmp_path / "report.html").read_text("utf-8")
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert page.links == []
    assert KEY not in raw
    assert not re.search("[\x00-\x08\x0b-\x1f]", raw)
    assert page.text.count("<script src=") >= 4  # as text: title, configuration, pattern, file


@pytest.mark.parametrize(
    ("dropped", "sentence"),
    [
        (["credits"], "Credits: not known"),
        (["batch_created_at"], "The creation times are not known."),
        (["error_message", "source_directory_file_id"], "The error messages are not known."),
        (["source_directory_file_id"], "Not known: no source_directory_file_id."),
        (["configuration_id"], "All files"),
    ],
)
def test_what_the_frame_lacks_is_not_known(
    dropped: list[str], sentence: str, tmp_path: Path
) -> None:
    assert sentence in _write(outcomes_of_batches().drop(columns=dropped), tmp_path).text


def test_unknown_credits_are_counted_and_not_zero(tmp_path: Path) -> None:
    files = outcomes_of_batches()
    files.loc[::2, "credits"] = pd.NA
    assert "The credits of 300 of 600 jobs are not known" in _write(files, tmp_path).text
    assert (
        "Credits: not known"
        in _write(files.assign(credits=pd.array([pd.NA] * 600, "Float64")), tmp_path).text
    )


@pytest.mark.parametrize("outcome", [None, "job_running", "succeeded"])
def test_frames_without_failures_or_decided_files(outcome: str | None, tmp_path: Path) -> None:
    files = (
        outcomes_of_batches().iloc[: 0 if outcome is None else 40].assign(job_error_message=None)
    )
    text = _write(files.assign(outcome=outcome), tmp_path).text
    assert "No file failed." in text
    assert ("No file is decided" in text) == (outcome != "succeeded")
    assert "nan" not in text.lower()


def test_undecided_and_unreliable_runs_are_named(tmp_path: Path) -> None:
    files = outcomes_of_batches(n_batches=4)
    files.loc[:9, "outcome"] = "job_running"
    files.loc[60:, "batch_status"] = "FAILED"
    text = _write(files, tmp_path).text
    assert "10 runs of 60 are undecided" in text
    assert "20 more runs are in FAILED batches" in text
    assert "There are few batches" in text


def test_report_of_5_000_batches_is_small(tmp_path: Path) -> None:
    files = outcomes_of_batches(
        5_000, 2, display_name=[f"Rechnung {i} äöü.pdf" for i in range(10_000)]
    )
    configurations = np.array([f"cfg-{i:036d}" for i in range(60)])
    files["configuration_id"] = configurations[np.arange(len(files)) % 60]
    messages = pd.Series(
        [f"word{chr(97 + i % 26)}{chr(97 + i // 26 % 26)} " * 60 for i in files.index]
    )
    files["job_error_message"] = messages.where(files.outcome == "job_failed", None)
    page = _write(files, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert "and 40 more configurations." in page.text
    assert re.search(r"and [\d,]+ more files\.", page.text)


def test_dataset_report_and_command_line(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api = FakeApi()
    for status in ("COMPLETED", "FAILED", "COMPLETED"):
        api.add(status)
    serve(api)
    lb.sync_dataset(tmp_path / "history", jobs=True)
    out = tmp_path / "new" / "report.html"
    before = datetime.now(UTC)
    assert main(["report", str(tmp_path / "history"), "--out", str(out), "--title", "Monday"]) == 0
    assert capsys.readouterr().out == f"Wrote {out}.\n"
    page = Outline(out.read_text("utf-8"))
    results, jobs = (lb.read_dataset(tmp_path / "history", name) for name in ("results", "jobs"))
    rate = lb.failure_rates(lb.outcomes(results, jobs)).iloc[0]
    assert format_rate(rate) in page.text
    assert "Dataset history" in page.text
    assert str(tmp_path) not in out.read_text("utf-8")
    assert f"Written {before:%Y-%m-%d}" in page.text
    since = (START + timedelta(hours=2)).isoformat()
    assert main(["report", str(tmp_path / "history"), "--out", str(out), "--since", since]) == 0
    text = Outline(out.read_text("utf-8")).text
    assert "Filter batches created since 2" in text
    assert "Runs of files 3 " in text  # of the last of three batches
    capsys.readouterr()
    assert main(["report", str(tmp_path / "nothing"), "--out", str(out)]) == UNREADABLE
    assert "No dataset in" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "history"), "--out", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_report_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("No space left")))
    with pytest.raises(OSError, match="No space left"):
        lb.write_report(outcomes_of_batches(4), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_report_to_url() -> None:
    lb.write_report(outcomes_of_batches(4), "memory://reports/monday.html")
    content = fsspec.filesystem("memory").cat_file("/reports/monday.html")
    assert content.startswith(b"<!DOCTYPE html>")


def test_invalid_arguments_raise(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column 'outcome'"):
        lb.write_report(outcomes_of_batches().drop(columns="outcome"), tmp_path / "r.html")
    with pytest.raises(TypeError, match="title must be text, not 3"):
        lb.write_report(outcomes_of_batches(), tmp_path / "r.html", title=3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="No dataset in"):
        lb.write_report(tmp_path / "nothing", tmp_path / "r.html")
    assert not list(tmp_path.iterdir())
