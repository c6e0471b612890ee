"""Pictures of pages and panels, kept to be looked at."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.sync_api import Locator, Page

FOLDER = Path(os.environ.get("SCREENSHOTS") or Path(__file__).with_name("screenshots"))


def shoot(what: Page | Locator, name: str) -> Path:
    """Take a picture of a page, or of one thing in it, as NAME.png."""
    plain = re.sub(r"[^\w-]+", "-", name).strip("-")
    path = FOLDER / f"{plain}.png"
    what.screenshot(path=path, animations="disabled")
    return path
