"""Voila: a notebook as a web page."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

from tests.browser import notebooks
from tests.browser.serving import Process, free_port

SETTINGS = Path(__file__).parents[2] / "notebooks" / "voila.json"  # nothing from a CDN
Theme = Literal["light", "dark"]


class Voila(Process):
    """A Voila server for the notebooks of a folder."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.root = folder / "notebooks"
        self.root.mkdir()
        self._token = secrets.token_hex(16)
        port = free_port()
        settings = {"token": self._token, **json.loads(SETTINGS.read_text())["Voila"]}
        (folder / "voila.json").write_text(json.dumps({"Voila": settings}))
        super().__init__(
            [
                *(sys.executable, "-m", "voila", str(self.root), "--no-browser"),
                *("--Voila.ip=127.0.0.1", f"--port={port}", "--Voila.port_retries=0"),
            ],
            port=port,
            token=self._token,
            folder=folder,
            env={**env, "JUPYTER_CONFIG_DIR": str(folder), "IPYTHONDIR": str(folder / "ipython")},
        )
        self.wait_until_it_answers("/voila/tree")

    def open(self, page: Page, *cells: str, theme: Theme = "light") -> None:
        """Write a notebook of these cells and open it as a page."""
        notebooks.write(self.root / "notebook.ipynb", cells)
        self.show(page, "notebook", theme=theme)

    def show(self, page: Page, name: str, *, theme: Theme = "light") -> None:
        """Open a notebook of its folder, `self.root`, as a page."""
        address = f"{self.url}/voila/render/{name}.ipynb?theme={theme}&token={self._token}"
        page.goto(address)
