"""Write small notebooks for tests."""

from __future__ import annotations

import json
from pathlib import Path

PYTHON = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def write(path: Path, cells: tuple[str, ...]) -> None:
    """Write a notebook of these code cells."""
    content = {
        "cells": [_cell(n, source) for n, source in enumerate(cells)],
        "metadata": {"kernelspec": PYTHON},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))


def touch(path: Path) -> None:
    """Modify a notebook, so that Jupyter no longer trusts it."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"metadata": content["metadata"] | {"changed": True}}))


def _cell(n: int, source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "id": f"cell-{n}",
        "source": source,
        "metadata": {},
        "execution_count": None,
        "outputs": [],
    }
