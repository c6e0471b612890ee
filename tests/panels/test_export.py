"""Export controls: copy as code, export to Parquet."""

from __future__ import annotations

import os
import re
from html import unescape
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

import llama_batches_nb as lb
from llama_batches_nb.panels.browse.filter_panel import FilterPanel
from tests.panels.conftest import Keep, alert_of


@pytest.fixture
def panel(on_history: lb.Client, keep: Keep[FilterPanel]) -> FilterPanel:
    panel = keep(lb.filter_panel(status="COMPLETED", limit=3))
    panel.fetch().wait()
    return panel


def test_code_box_opens_and_follows_the_frames(panel: FilterPanel) -> None:
    export = panel._export
    assert export._code_box.layout.display == "none"
    export.code_button.value = True
    assert export._code_box.layout.display is None
    assert export.text.value == panel.code
    panel.filters.limit.value = "2"
    panel.fetch().wait()
    assert "limit=2" in export.text.value
    [copied] = re.findall('data-code="([^"]*)"', export._copy_button.value)
    assert unescape(copied) == panel.code
    export.code_button.value = False
    assert export._code_box.layout.display == "none"


def test_exported_frames_read_back_equal(panel: FilterPanel, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    panel._export.folder.value = f" {folder} "
    panel._export.export_button.click()
    panel.wait()
    assert f"Written to {folder}: batches.parquet (3), " in panel._export._status.value
    assert 'role="status"' in panel._export._status.value
    for name in ("batches", "results", "jobs"):
        assert_frame_equal(lb.read_parquet(folder / f"{name}.parquet"), getattr(panel, name))


def test_failed_export_shows_an_error_and_can_be_retried(
    panel: FilterPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("in the way")
    panel._export.folder.value = os.fspath(tmp_path / "a file")
    panel._export.export_button.click()
    panel.wait()
    assert "a file" in alert_of(panel)
    assert not panel._export._status.value
    panel._export.folder.value = ""
    panel._export.export_button.click()
    panel.wait()
    assert not alert_of(panel)
    assert (tmp_path / "batches.parquet").exists()


def test_export_folder_expands_home(
    panel: FilterPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    panel._export.folder.value = "~/taken"
    panel._export.export_button.click()
    panel.wait()
    assert (tmp_path / "taken" / "batches.parquet").exists()


def test_export_folder_name_is_escaped(panel: FilterPanel, tmp_path: Path) -> None:
    panel._export.folder.value = os.fspath(tmp_path / "<img src=x>")
    panel._export.export_button.click()
    panel.wait()
    assert "&lt;img src=x&gt;" in panel._export._status.value


def test_export_folder_may_be_a_url(
    panel: FilterPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    panel._export.folder.value = "memory://taken/away/"
    panel._export.export_button.click()
    panel.wait()
    assert "Written to memory://taken/away: batches.parquet (3), " in panel._export._status.value
    assert_frame_equal(lb.read_parquet("memory://taken/away/batches.parquet"), panel.batches)
    assert not list(tmp_path.iterdir())
