from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from llama_cloud import BaseModel, DefaultHttpxClient, LlamaCloud

from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

if TYPE_CHECKING:
    from llama_cloud.types import BatchCreateResponse

END = datetime(2026, 8, 1, 12, tzinfo=UTC)

Start = Callable[..., tuple[Server, LlamaCloud]]


def connect(server: Server) -> LlamaCloud:
    return LlamaCloud(
        api_key=server.api_key,
        base_url=server.url,
        max_retries=0,
        http_client=DefaultHttpxClient(verify=False),  # no certificates to read for plain HTTP
        timeout=10,
        _strict_response_validation=True,
    )


def total(page: BaseModel) -> object:
    """The `total_size` of a page, which the SDK keeps but does not declare."""
    return page.to_dict()["total_size"]


def new_batch(api: LlamaCloud, name: str = "Insurance claims") -> BatchCreateResponse:
    """A new batch over a directory, by its name."""
    directory = api.beta.directories.list(name=name).items[0]
    return api.batches.create(
        source_directory_id=directory.id,
        config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
    )


def still(**options: Any) -> Options:
    """Options of a sandbox whose clock is only stepped."""
    chosen: dict[str, Any] = {"now": END, "speed": 0} | options
    return Options(**chosen)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start sandboxes, small ones unless told otherwise, each with a client."""
    with ExitStack() as stack:

        def started(**options: Any) -> tuple[Server, LlamaCloud]:
            chosen = still(**({"batches": 24, "files": (1, 60)} | options))
            server = stack.enter_context(Server.start(chosen, thread=True))
            return server, stack.enter_context(connect(server))

        yield started


@pytest.fixture(scope="session")
def api() -> Iterator[LlamaCloud]:
    """A client of a sandbox with the default history, for tests that change nothing."""
    with Server.start(still(), thread=True) as server, connect(server) as client:
        yield client
