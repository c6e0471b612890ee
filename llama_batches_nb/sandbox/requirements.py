"""What the sandbox needs beside the package itself."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("fastapi", "uvicorn", "python_multipart")


def check() -> None:
    """Raise an ImportError that says what to install, if something is missing."""
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise ImportError(
            f"The sandbox needs {' and '.join(lacking)}: pip install 'llama_batches_nb[sandbox]'"
        )
