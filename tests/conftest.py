"""What the tests share: a clean environment, scripted servers, and one sandbox."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import matplotlib as mpl
import pytest

import llama_batches_nb as lb
from llama_batches_nb.http.client import set_default_client
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.sandbox_options import SETTLED
from tests.servers import Script, Server

mpl.use("Agg")

# A shell starts background jobs with SIGINT ignored, and child processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Serve(Protocol):
    """Start a scripted server, and connect to it with these settings."""

    def __call__(self, script: Script, **settings: Any) -> Server: ...


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("LLAMA_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")):
            monkeypatch.delenv(name)
    before = set_default_client(None)
    yield
    set_default_client(before)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a scripted server and connect to it; it is closed after the test."""
    with ExitStack() as stack:

        def start(script: Script, **settings: Any) -> Server:
            server = stack.enter_context(Server(script))
            stack.enter_context(lb.connect("llx-secret", base_url=server.url, **settings))
            return server

        yield start


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    """One sandbox for all tests that only look, or make batches of their own.

    Its history ends at noon, so that it is the same at each time of day.
    """
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    options = Options(
        batches=60, files=(1, 120), speed=200, now=noon - timedelta(days=1), **SETTLED
    )
    with SandboxServer.start(options, thread=True) as server:
        server.advance(3600)  # the last batches of its history still ran
        yield server


@pytest.fixture
def on_sandbox(sandbox_server: SandboxServer) -> Iterator[lb.Client]:
    """Connect to the sandbox."""
    with lb.connect(sandbox_server.api_key, base_url=sandbox_server.url) as client:
        yield client
