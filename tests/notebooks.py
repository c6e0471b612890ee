"""Execute the notebooks that are saved with their outputs: `python -m tests.notebooks`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent.parent / "notebooks"
ARTICLES = tuple(FOLDER / f"{name}.ipynb" for name in ("tour", "operate", "outputs"))
TIMEOUT = 120  # seconds for one cell


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run a notebook in a fresh kernel whose working directory is `folder`."""
    NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,  # the number of stream outputs depends on the load
    ).execute()


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    """Return all outputs of a notebook, in order."""
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def save_with_outputs(path: Path) -> None:
    """Execute a notebook and save it with its outputs, without widget state or versions."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, Path(folder))
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for article in ARTICLES:
        save_with_outputs(article)
        print(article.name)
