"""Outcomes of a dataset, as `check` and `report` read them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import llama_batches_nb as lb
from llama_batches_nb.__main__ import main
from llama_batches_nb.dataset.outcomes import read_outcomes

NAMES = ["directory", "configuration", "display_name"]


@pytest.mark.usefixtures("on_sandbox")
def test_dataset_has_the_names_of_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lb.sync_dataset(tmp_path / "kept", progress=False)
    files = read_outcomes(tmp_path / "kept").files
    pd.testing.assert_frame_equal(files[NAMES], lb.add_names(files.drop(columns=NAMES))[NAMES])
    known = lb.fetch_files(files).set_index("source_directory_file_id").file_id
    assert files.file_id.equals(files.source_directory_file_id.map(known))
    assert files.file_id.notna().any()
    arguments = ["--max-failure-rate", "99%", "--by", "configuration"]
    assert main(["check", str(tmp_path / "kept"), *arguments]) == 0
    assert "configuration=Cost effective: " in capsys.readouterr().out
    assert main(["report", str(tmp_path / "kept"), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Cost effective" in page
    assert "cfg-" not in page


@pytest.mark.usefixtures("on_sandbox")
def test_names_that_were_not_synced_are_ids(tmp_path: Path) -> None:
    lb.sync_dataset(tmp_path / "kept", names=False, progress=False)
    files = read_outcomes(tmp_path / "kept").files
    assert files.directory.equals(files.source_directory_id.rename("directory"))
    assert files.configuration.equals(files.configuration_id.rename("configuration"))
    assert files.file_id.isna().all()
