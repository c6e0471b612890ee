"""The browser: an installed Chromium or Chrome, else playwright's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ANSWER_TIME = 60.0  # seconds to print its version
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
MISSING = (
    "No Chromium or Chrome is found that runs. `make browser` installs one where it can; else "
    "install Debian's chromium or google-chrome, or `python -m playwright install chromium`."
)


def find() -> Path | None:
    """Return the path of a browser that runs."""
    return next(filter(_runs, _places()), None)


def flags() -> list[str]:
    """Return the command line flags; as root, Chromium needs `--no-sandbox`."""
    return [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def do_without() -> NoReturn:
    """Skip the test; in CI, where a browser is required, fail it."""
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


def _places() -> Iterator[Path]:
    """Yield candidates on PATH, then playwright's own browser."""
    yield from map(Path, filter(None, map(shutil.which, NAMES)))
    ask = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as playwright: print(playwright.chromium.executable_path)"
    )
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    yield Path(answer.stdout.strip())


def _runs(path: Path) -> bool:
    """Return whether it prints its version, which Ubuntu's stub for a missing snap does not."""
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, timeout=ANSWER_TIME)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
