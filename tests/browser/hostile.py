"""A sandbox whose names and messages would run script in a page that does not escape them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

NAME = """<img src=x onerror="document.title='pwned'">"""
CONFIGURATION = "cfg-PARSE_AGENTIC"
A_DAY = 86_400.0  # seconds; no batch takes longer


@contextmanager
def sandbox(folder: Path) -> Iterator[Server]:
    """Serve a directory, files and error messages that contain markup."""
    unmapped, broken = folder / NAME, folder / f"2{NAME}"
    unmapped.write_text("")
    broken.write_text("corrupt")
    options = Options(batches=3, files=(1, 5), speed=0)
    with Server.start(options, thread=True) as server:
        with lb.connect(server.api_key, base_url=server.url):
            lb.upload_files([unmapped, broken], name=NAME).pipe(lb.create_batch, CONFIGURATION)
        server.advance(A_DAY)
        yield server


def connecting(server: Server) -> str:
    """Return the code of a cell that connects to the server."""
    return f"import llama_batches_nb as lb\nlb.connect({server.api_key!r}, base_url={server.url!r})"
