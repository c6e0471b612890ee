from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from llama_cloud import BaseModel, DefaultHttpxClient, LlamaCloud

from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
from tests.sandbox_options import SETTLED

if TYPE_CHECKING:
    from llama_cloud.types import BatchCreateResponse

END = datetime(2026, 8, 1, 12, tzinfo=UTC)

Start = Callable[..., tuple[Server, LlamaCloud]]


def connect(server: Server) -> LlamaCloud:
    return LlamaCloud(
        api_key=server.api_key,
        base_url=server.url,
        max_retries=0,
        http_client=DefaultHttpxClient(verify=False),  # skip loading certificates
        timeout=10,
        _strict_response_validation=True,
    )


def total(page: BaseModel) -> object:
    """Return the `total_size` of a page, which the SDK does not declare."""
    return page.to_dict()["total_size"]


def new_batch(api: LlamaCloud, name: str = "Insurance claims") -> BatchCreateResponse:
    """Create a batch from the directory with this name."""
    directory = api.beta.directories.list(name=name).items[0]
    return api.batches.create(
        source_directory_id=directory.id,
        config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
    )


def stopped_clock_options(**options: Any) -> Options:
    """Return options of a sandbox whose clock only moves by `advance`."""
    defaults: dict[str, Any] = {"now": END, "speed": 0} | SETTLED
    return Options(**defaults | options)


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a small sandbox and connects an SDK client to it."""
    with ExitStack() as stack:

        def start_sandbox(**options: Any) -> tuple[Server, LlamaCloud]:
            sandbox_options = stopped_clock_options(**({"batches": 24, "files": (1, 60)} | options))
            server = stack.enter_context(Server.start(sandbox_options, thread=True))
            return server, stack.enter_context(connect(server))

        yield start_sandbox


@pytest.fixture(scope="session")
def api() -> Iterator[LlamaCloud]:
    """Return a client of a sandbox with the default history, for tests that do not change it."""
    with Server.start(stopped_clock_options(), thread=True) as server, connect(server) as client:
        yield client
