"""save_outputs: one file per source file, safe, and only what is missing or changed."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import textwrap
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

import llama_batches_nb as lb
from llama_batches_nb.dataset.saved_files import JOURNAL, MANIFEST, SavedFile, SavedFiles
from llama_batches_nb.tables.schema import OUTPUTS
from tests.conftest import Serve
from tests.dataset.checks import full_disk
from tests.output_api import OutputApi, failed_page, markdown_page
from tests.servers import Server, page


class Api(OutputApi):
    """Also serves the lists of jobs, and the files of one directory."""

    file_names: dict[str, str]

    def __call__(self, request: Any) -> Any:
        if request.path.endswith("/files"):
            files = [{"id": i, "display_name": n} for i, n in self.file_names.items()]
            return page(files)
        if request.path in ("/api/v2/parse", "/api/v2/extract"):
            is_parse = request.path.endswith("parse")
            ids = request.query["job_ids"]
            found: list[Any] = (
                [self.parse_jobs[i]["job"] for i in ids if i in self.parse_jobs]
                if is_parse
                else [self.extract_jobs[i] for i in ids if i in self.extract_jobs]
            )
            return page(found)
        return super().__call__(request)


@pytest.fixture
def api() -> Api:
    api = Api()
    api.file_names = {}
    return api


@pytest.fixture
def server(api: Api, serve: Serve) -> Server:
    server = serve(api, max_retries=0, max_workers=4)
    api.url = server.url
    return server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def outcomes_of(api: Api, n: int, *pages: Any) -> pd.DataFrame:
    """Return the outcomes of files that were parsed."""
    for i in range(n):
        api.add_parse_job(f"pjb-{i}", *(pages or (markdown_page(1, f"# File {i}"),)))
    return pd.DataFrame(
        {
            "source_directory_file_id": [f"dfl-{i}" for i in range(n)],
            "display_name": [f"file {i}.pdf" for i in range(n)],
            "job_id": [f"pjb-{i}" for i in range(n)],
            "job_type": "parse_v2",
            "outcome": "succeeded",
        }
    )


def files_in(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir() if p.suffix in (".md", ".txt", ".json")}


def test_each_file_is_written_and_listed_in_the_manifest(
    api: Api, server: Server, folder: Path
) -> None:
    files = outcomes_of(api, 2, markdown_page(1, "# A"), markdown_page(2, "B ж"))
    saved = lb.save_outputs(files, folder)
    assert files_in(folder) == {"file 0.md": "# A\n\nB ж", "file 1.md": "# A\n\nB ж"}
    assert saved.columns.tolist() == OUTPUTS.names
    assert saved.path.tolist() == ["file 0.md", "file 1.md"]
    assert saved.pages.tolist() == [2, 2]
    assert saved.failed_pages.tolist() == [0, 0]
    assert saved.sha256[0] == sha256((folder / "file 0.md").read_bytes()).hexdigest()
    pd.testing.assert_frame_equal(lb.read_parquet(folder / MANIFEST), saved)
    assert sorted(p.name for p in folder.iterdir()) == ["file 0.md", "file 1.md", MANIFEST]


def test_second_call_fetches_only_what_is_missing_or_changed(
    api: Api, server: Server, folder: Path
) -> None:
    files = outcomes_of(api, 4)
    first = lb.save_outputs(files, folder)
    before = files_in(folder)
    server.requests.clear()
    pd.testing.assert_frame_equal(lb.save_outputs(files, folder), first)
    assert not server.requests
    (folder / "file 1.md").unlink()
    (folder / "file 2.md").write_text("damaged")
    pd.testing.assert_frame_equal(lb.save_outputs(files, folder), first)
    assert files_in(folder) == before
    assert sorted(server.paths()) == ["/api/v2/parse/pjb-1", "/api/v2/parse/pjb-2"]


def test_file_with_a_newer_job_is_replaced(api: Api, server: Server, folder: Path) -> None:
    files = outcomes_of(api, 2)
    lb.save_outputs(files, folder)
    api.add_parse_job("pjb-retry", markdown_page(1, "better"))
    retried = pd.concat([files, files.tail(1).assign(job_id="pjb-retry")])
    saved = lb.save_outputs(retried, folder)
    assert files_in(folder) == {"file 0.md": "# File 0", "file 1.md": "better"}
    assert saved.job_id.tolist() == ["pjb-0", "pjb-retry"]


def test_latest_job_that_has_an_output_is_saved(api: Api, server: Server, folder: Path) -> None:
    api.add_parse_job("pjb-old", markdown_page(1, "old"))
    api.add_parse_job("pjb-mid", markdown_page(1, "mid"))
    api.add_parse_job("pjb-new", status="FAILED")
    results = pd.DataFrame(
        {
            "source_directory_file_id": "dfl-1",
            "display_name": "a.pdf",
            "job_id": ["pjb-new", "pjb-mid", "pjb-old"],
            "job_type": "parse_v2",
            "batch_created_at": pd.to_datetime(
                ["2026-08-03", "2026-08-02", "2026-08-01"], utc=True
            ),
        }
    )
    assert lb.save_outputs(results, folder).job_id.tolist() == ["pjb-mid"]
    assert files_in(folder) == {"a.md": "mid"}


def test_each_content_has_its_suffix(api: Api, server: Server, folder: Path) -> None:
    items = {"pages": [{"page_number": 1, "page_width": 612.0, "success": True, "items": []}]}
    text = {"pages": [{"page_number": 1, "text": "plain"}]}
    api.add_parse_job("pjb-1", markdown_page(1, "# A"), text=text, items=items)
    result = {"total": 1.10, "id": 12345678901234567890, "vendor": "ж"}
    api.add_extract_job("ejb-1", result)
    files = pd.DataFrame(
        {
            "source_directory_file_id": "dfl-1",
            "display_name": "a.pdf",
            "job_id": ["pjb-1", "ejb-1"],
            "job_type": ["parse_v2", "extract_v2"],
        }
    )
    parsed = files.head(1)
    lb.save_outputs(parsed, folder)
    lb.save_outputs(parsed, folder, content="text")
    lb.save_outputs(parsed, folder, content="items")
    saved = lb.save_outputs(files.tail(1), folder)
    found = files_in(folder)
    assert found["a.md"] == "# A"
    assert found["a.txt"] == "plain"
    assert json.loads(found["a.json"]) == items
    assert json.loads(found["a-2.json"]) == result
    assert saved.content.tolist() == ["markdown", "text", "items", "extraction"]
    assert saved.pages.tolist() == [1, 1, 1, pd.NA]


def test_names_are_looked_up(api: Api, server: Server, folder: Path) -> None:
    api.file_names = {"dfl-0": "Bericht März.docx"}
    files = outcomes_of(api, 2).drop(columns="display_name").assign(source_directory_id="dir-1")
    saved = lb.save_outputs(files, folder)
    assert saved.path.tolist() == ["Bericht März.md", "dfl-1.md"]
    server.requests.clear()
    assert lb.save_outputs(files, folder).equals(saved)
    assert not server.requests


def test_unknown_job_types_are_looked_up(api: Api, server: Server, folder: Path) -> None:
    """As in `final_outcomes`."""
    api.add_parse_job("pjb-1", markdown_page(1, "# A"))
    api.add_extract_job("ejb-1", {"a": 1})
    files = pd.DataFrame(
        {"file_id": ["f-1", "f-2"], "display_name": ["a", "b"], "job_id": ["pjb-1", "ejb-1"]}
    )
    assert lb.save_outputs(pl.from_pandas(files), folder).path.tolist() == ["a.md", "b.json"]


def test_frame_of_jobs_uses_their_names_else_ids(api: Api, server: Server, folder: Path) -> None:
    jobs = outcomes_of(api, 2)[["job_id", "job_type"]].assign(
        name=pd.Series(["report.pdf", None]), status="COMPLETED"
    )
    assert lb.save_outputs(jobs.set_index("job_id"), folder).path.tolist() == [
        "report.md",
        "pjb-1.md",
    ]


def test_hostile_names_stay_in_the_folder(api: Api, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    names = [
        "../../x.pdf",
        "/x.pdf",
        "..",
        "con.pdf",
        "x" * 400,
        "a\0b",
        "A.PDF",
        "a.pdf",
        "\ud800",
    ]
    files = outcomes_of(api, len(names))
    files["display_name"] = pd.Series(names, dtype=object)
    saved = lb.save_outputs(files, folder)
    assert len(files_in(folder)) == len(names)
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == set(folder.iterdir())
    assert len({path.casefold() for path in saved.path}) == len(names)
    assert lb.save_outputs(files, folder).path.tolist() == saved.path.tolist()


def test_second_call_at_the_same_time_is_refused(api: Api, serve: Serve, folder: Path) -> None:
    files = outcomes_of(api, 2).assign(display_name="same.pdf")
    refused: list[lb.DatasetLockedError] = []

    def script(request: Any) -> Any:
        if not refused:  # while the first call waits for this response
            with pytest.raises(lb.DatasetLockedError, match="Wait until it has finished") as caught:
                lb.save_outputs(files.tail(1), folder)
            refused.append(caught.value)
        return api(request)

    serve(script, max_workers=1)
    lb.save_outputs(files.head(1), folder)
    assert refused
    saved = lb.save_outputs(files.tail(1), folder)
    assert saved.path.tolist() == ["same.md", "same-2.md"]
    assert files_in(folder) == {"same.md": "# File 0", "same-2.md": "# File 1"}


def test_other_files_of_the_folder_are_kept(api: Api, server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "File 0.MD").write_text("mine")
    assert lb.save_outputs(outcomes_of(api, 1), folder).path.tolist() == ["file 0-2.md"]
    assert (folder / "File 0.MD").read_text() == "mine"


def test_names_stay_the_same_after_the_manifest_is_deleted(
    api: Api, server: Server, folder: Path
) -> None:
    files = outcomes_of(api, 5)
    files["display_name"] = ["same.pdf", "same.pdf", "same.pdf", "a-2.pdf", "a.pdf"]
    api.add_parse_job("pjb-1", markdown_page(1, "# File 0"))  # as the first one
    before = lb.save_outputs(files, folder)
    assert before.path.tolist() == ["same.md", "same-2.md", "same-3.md", "a-2.md", "a.md"]
    written = {path.name: path.stat().st_ino for path in folder.glob("*.md")}
    (folder / MANIFEST).unlink()
    after = lb.save_outputs(files, folder)
    assert after.path[2:].tolist() == before.path[2:].tolist()
    assert set(after.path[:2]) == set(before.path[:2])
    assert after.sha256.tolist() == before.sha256.tolist()
    assert {path.name: path.stat().st_ino for path in folder.glob("*.md")} == written
    server.requests.clear()
    assert lb.save_outputs(files, folder).equals(after)
    assert not server.requests


def test_changed_file_without_a_manifest_is_not_overwritten(
    api: Api, server: Server, folder: Path
) -> None:
    files = outcomes_of(api, 2)
    lb.save_outputs(files, folder)
    (folder / MANIFEST).unlink()
    (folder / "file 1.md").write_text("# FILE 1")  # of the same size
    assert lb.save_outputs(files, folder).path.tolist() == ["file 0.md", "file 1-2.md"]
    assert files_in(folder) == {
        "file 0.md": "# File 0",
        "file 1.md": "# FILE 1",
        "file 1-2.md": "# File 1",
    }


def test_failed_pages_are_counted_and_warned_of(api: Api, server: Server, folder: Path) -> None:
    files = outcomes_of(api, 2, markdown_page(1, "A"), failed_page(2), markdown_page(3, "C"))
    with pytest.warns(UserWarning, match="2 failed pages are missing from 2 of"):
        saved = lb.save_outputs(files, folder)
    assert saved.failed_pages.tolist() == [1, 1]
    assert files_in(folder)["file 0.md"] == "A\n\nC"


def test_files_without_output_are_left_out(api: Api, server: Server, folder: Path) -> None:
    files = outcomes_of(api, 5)
    files["outcome"] = ["succeeded", "job_failed", "mapping_error", "mapped", "mapped"]
    files.loc[2, "job_id"] = None
    files.loc[4, "job_type"] = "split_v1"
    api.add_parse_job("pjb-3", status="RUNNING")
    with pytest.warns(UserWarning, match="4 jobs are left out") as caught:
        assert len(lb.save_outputs(files, folder)) == 1
    for reason in ("without a job", "job_failed", "RUNNING", "of type split_v1"):
        assert reason in str(caught[0].message)
    assert list(files_in(folder)) == ["file 0.md"]


def test_expired_job_raises_and_what_was_saved_is_kept(
    api: Api, server: Server, folder: Path
) -> None:
    files = outcomes_of(api, 3)
    lb.save_outputs(files.head(1), folder)
    del api.parse_jobs["pjb-2"]
    with pytest.raises(lb.NotFoundError, match="48 hours") as caught:
        lb.save_outputs(files, folder)
    assert caught.value.partial is not None
    assert "file 0.md" in caught.value.partial.path.tolist()
    with pytest.warns(
        UserWarning, match="1 file could not be fetched and is left out: 'file 2.pdf'"
    ):
        saved = lb.save_outputs(files, folder, errors="warn")
    assert saved.path.tolist() == ["file 0.md", "file 1.md"]


def test_folder_that_is_no_path_raises(api: Api, server: Server) -> None:
    with pytest.raises(TypeError, match="must be a string or a path object, not 5"):
        lb.save_outputs(outcomes_of(api, 1), 5)  # type: ignore[arg-type]
    assert not server.requests


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"content": "pdf"}, "content='pdf' must be one of"),
        ({"errors": "no"}, "errors='no' must be one of"),
        ({"folder": ""}, "The path is empty"),
        ({"folder": "s3://bucket/out"}, "local folder"),
        ({"files": pd.DataFrame({"id": [1]})}, "no column 'job_id'"),
    ],
)
def test_invalid_argument_sends_no_request(
    server: Server, folder: Path, arguments: dict[str, Any], error: str
) -> None:
    files = pd.DataFrame({"job_id": ["pjb-1"]})
    with pytest.raises(ValueError, match=error):
        lb.save_outputs(**{"files": files, "folder": folder, **arguments})
    assert not server.requests


def test_folder_that_cannot_be_written_sends_no_request(
    api: Api, server: Server, tmp_path: Path
) -> None:
    files = outcomes_of(api, 1)
    occupied = tmp_path / "file"
    occupied.write_text("")
    for folder in (occupied, occupied / "below", Path("/proc/out")):
        with pytest.raises(OSError, match="Cannot write to the folder"):
            lb.save_outputs(files, folder)
    assert not server.requests


def test_foreign_manifest_is_refused(api: Api, server: Server, folder: Path) -> None:
    folder.mkdir()
    lb.export_parquet(pd.DataFrame({"a": [1]}), folder / MANIFEST)
    with pytest.raises(lb.DatasetError, match="save_outputs did not write it"):
        lb.save_outputs(outcomes_of(api, 1), folder)


def test_path_outside_the_folder_in_a_manifest_is_ignored(
    api: Api, server: Server, folder: Path
) -> None:
    files = outcomes_of(api, 1)
    saved = lb.save_outputs(files, folder)
    lb.export_parquet(saved.assign(path="../outside.md", sha256="0"), folder / MANIFEST)
    lb.save_outputs(files, folder)
    assert not (folder.parent / "outside.md").exists()


def test_too_large_a_file_for_the_disk_keeps_the_others(
    api: Api, server: Server, folder: Path
) -> None:
    files = outcomes_of(api, 3)
    api.add_parse_job("pjb-1", markdown_page(1, "x" * 200_000))
    with pytest.raises(OSError, match="call save_outputs again") as caught, full_disk(100_000):
        lb.save_outputs(files, folder)
    assert caught.value.errno == errno.EFBIG
    assert "file 1.pdf" in str(caught.value)
    assert not [p for p in folder.iterdir() if p.name.endswith(".tmp")]
    kept = set(files_in(folder))
    server.requests.clear()
    assert lb.save_outputs(files, folder).path.nunique() == 3
    assert len(server.requests) == 3 - len(kept)


SCRIPT = """
import sys
import pandas as pd
import llama_batches_nb as lb

url, folder, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
files = pd.DataFrame({
    "source_directory_file_id": [f"dfl-{i}" for i in range(n)],
    "display_name": [f"file {i % 50}.pdf" for i in range(n)],
    "job_id": [f"pjb-{i}" for i in range(n)],
    "job_type": "parse_v2",
})
lb.connect("llx-secret", base_url=url, max_workers=4)
print("start", flush=True)
lb.save_outputs(files, folder, progress=False)
"""


@pytest.mark.slow
def test_killed_process_loses_nothing(api: Api, serve: Serve, folder: Path) -> None:
    n = 120

    def slow(request: Any) -> Any:
        time.sleep(0.01)
        return api(request)

    server = serve(slow)
    files = outcomes_of(api, n)
    files["display_name"] = [f"file {i % 50}.pdf" for i in range(n)]
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), server.url, str(folder), str(n)]
    n_runs = 0
    while len(files_in(folder) if folder.exists() else ()) < n:
        n_runs += 1
        assert n_runs < 20
        process = subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        before, started = len(server.requests), time.monotonic()
        while process.poll() is None and len(server.requests) < before + 40:
            assert time.monotonic() < started + 60
            time.sleep(0.001)
        process.kill()
        process.wait()
        process.stdout.close()
        for path in folder.glob("*.md"):
            assert re.fullmatch(r"# File \d+", path.read_text())
    in_flight = 4 * n_runs  # requests at the time of a kill
    assert n <= len(server.requests) <= n + in_flight
    saved = lb.save_outputs(files, folder)
    assert len(saved) == len(files_in(folder)) == n
    contents = dict(zip(saved.job_id, saved.path, strict=True))
    for i in range(n):
        assert (folder / contents[f"pjb-{i}"]).read_text() == f"# File {i}"
    assert not (folder / JOURNAL).exists()


def test_record_that_a_kill_cut_short_costs_no_other_record(tmp_path: Path) -> None:
    first, second, third = (SavedFile(f"dfl-{n}", "markdown", f"{n}.md") for n in range(3))
    SavedFiles(tmp_path).plan([first, second])
    whole = (tmp_path / JOURNAL).read_bytes()
    for size in range(len(whole) // 2 + 2, len(whole)):
        (tmp_path / JOURNAL).write_bytes(whole[:size])
        SavedFiles(tmp_path).plan([third])
        later = SavedFiles(tmp_path)
        assert later.find(("dfl-0", "markdown")) == first
        assert later.find(("dfl-1", "markdown")) is None
        assert later.find(("dfl-2", "markdown")) == third
