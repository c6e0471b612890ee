"""JupyterLab and Jupyter Notebook in a browser: open, run, save and reopen notebooks."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from playwright.sync_api import Page

from tests.browser import notebooks
from tests.browser.serving import Process, free_port

Theme = Literal["JupyterLab Light", "JupyterLab Dark"]
CELLS = ".jp-Notebook .jp-Cell"
SETTINGS = "@jupyterlab/apputils-extension"

IS_IDLE = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
    return session?.isReady && session.session?.kernel?.status === 'idle';
}"""
RUN_ALL = "() => jupyterapp.commands.execute('notebook:run-all-cells')"
CONTENT = "() => jupyterapp.shell.currentWidget.content.model.toJSON()"
SAVE = "() => jupyterapp.commands.execute('docmanager:save')"
EXECUTE = """async code => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const future = kernel.requestExecute({code, store_history: false, stop_on_error: false});
    let output = '';
    future.onIOPub = message => { output += message.content.text ?? ''; };
    const reply = (await future.done).content;
    return {output, error: reply.status === 'ok' ? null : reply.traceback.join('\\n')};
}"""
CLOSE = "() => jupyterapp.commands.execute('application:close-all')"
OPEN = """async ([path, kernel]) => {  // and do not return the whole widget
    const kernelPreference = {shouldStart: kernel};
    await jupyterapp.commands.execute('docmanager:open', {path, kernelPreference});
}"""


@dataclass(frozen=True)
class Notebook:
    """A notebook open in a page."""

    page: Page
    path: Path

    def run_all(self) -> None:
        """Run all cells and raise if one fails."""
        self.wait_until_idle()
        self.page.evaluate(RUN_ALL)
        self.wait_until_idle()
        errors = [each for each in self.outputs() if each["output_type"] == "error"]
        assert not errors, "\n".join(errors[0]["traceback"])

    def wait_until_idle(self) -> None:
        """Wait until the kernel is idle; threads may still be running."""
        self.page.wait_for_function(IS_IDLE)

    def outputs(self) -> list[dict[str, Any]]:
        """Return the outputs of all cells, as saved in a notebook."""
        cells = self.page.evaluate(CONTENT)["cells"]
        return [output for cell in cells for output in cell.get("outputs", ())]

    def execute(self, code: str) -> str:
        """Run code in the kernel outside the cells; return what it printed."""
        done = self.page.evaluate(EXECUTE, code)
        assert done["error"] is None, done["error"]
        output: str = done["output"]
        return output

    def save(self) -> dict[str, Any]:
        """Save the notebook with the menu command; return the content of the file."""
        self.page.evaluate(SAVE)
        content: dict[str, Any] = json.loads(self.path.read_text())
        return content


class Lab(Process):
    """A JupyterLab server with a separate home folder."""

    module: ClassVar = "jupyterlab"
    app: ClassVar = "LabApp"
    pages: ClassVar = "doc/tree"

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.root = folder / "notebooks"
        self.root.mkdir()
        self._settings = folder / "settings"
        self._token = secrets.token_hex(16)
        port = free_port()
        super().__init__(
            self._command(port),
            port=port,
            token=self._token,
            folder=folder,
            env={**env, **_home(folder, self._settings), "JUPYTER_TOKEN": self._token},
        )
        self._set("notification", {"fetchNews": "false"})
        self.wait_until_it_answers("/api/status")

    def open(
        self,
        page: Page,
        *cells: str,
        name: str = "notebook",
        theme: Theme = "JupyterLab Light",
        run: bool = True,
    ) -> Notebook:
        """Write a notebook of these cells, open it and, by default, run it."""
        self._set("themes", {"theme": theme})
        notebook = Notebook(page, self.root / f"{name}.ipynb")
        notebooks.write(notebook.path, cells)
        page.goto(f"{self.url}/{self.pages}/{notebook.path.name}?reset&token={self._token}")
        page.locator(CELLS).first.wait_for()
        if run:
            notebook.run_all()
        else:
            notebook.wait_until_idle()
        return notebook

    def open_again(self, notebook: Notebook, *, kernel: bool = True, trusted: bool = True) -> None:
        """Open a saved notebook without running it."""
        notebook.page.evaluate(CLOSE)
        self.shut_kernels_down()
        if not trusted:
            notebooks.touch(notebook.path)
        notebook.page.evaluate(OPEN, [notebook.path.name, kernel])
        notebook.page.locator(CELLS).first.wait_for()
        if kernel:
            notebook.wait_until_idle()

    def shut_kernels_down(self) -> None:
        for session in self.ask("GET", "/api/sessions")[1]:
            self.ask("DELETE", f"/api/sessions/{session['id']}")

    def _command(self, port: int) -> list[str]:
        return [
            *(sys.executable, "-m", self.module, "--no-browser"),
            *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
            f"--ServerApp.root_dir={self.root}",
            f"--{self.app}.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            *(["--allow-root"] if os.geteuid() == 0 else []),
        ]

    def _set(self, what: str, values: dict[str, object]) -> None:
        path = self._settings / SETTINGS / f"{what}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


class Classic(Lab):
    """A Jupyter Notebook server, which shows one notebook per page."""

    module = "notebook"
    app = "JupyterNotebookApp"
    pages = "notebooks"


def _home(folder: Path, settings: Path) -> dict[str, str]:
    """Return environment variables that isolate the server from the user's settings."""
    places = {
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_DATA_DIR": folder / "data",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": settings,
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "IPYTHONDIR": folder / "ipython",
    }
    return {name: str(path) for name, path in places.items()}
