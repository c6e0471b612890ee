"""Screenshots of pages and panels, saved for review."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import Locator, Page

FOLDER = Path(os.environ.get("SCREENSHOTS") or Path(__file__).with_name("screenshots"))


def shoot(what: Page | Locator, name: str) -> Path:
    """Save a screenshot of a page or an element as NAME.png."""
    plain = re.sub(r"[^\w-]+", "-", name).strip("-")
    path = FOLDER / f"{plain}.png"
    what.screenshot(path=path, animations="disabled")
    return path
