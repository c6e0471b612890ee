"""The browser is found if it runs; without one the tests are skipped, but not in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import chromium

STUB = "#!/bin/sh\necho 'requires the chromium snap to be installed' >&2\nexit 1\n"
BROWSER = "#!/bin/sh\necho 'Chromium 1.2.3'\n"


def place(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(script)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))


def test_find_returns_none_without_a_browser() -> None:
    assert chromium.find() is None


def test_a_stub_that_only_speaks_of_a_snap_is_passed_over(tmp_path: Path) -> None:
    place(tmp_path, "chromium-browser", STUB)
    chrome = place(tmp_path, "google-chrome", BROWSER)
    assert chromium.find() == chrome


@pytest.mark.parametrize(
    ("ci", "what"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_missing_browser_fails_only_in_ci(
    ci: str, what: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(what, match="make browser"):
        chromium.do_without()
