"""The endpoints, one module for each resource."""

from fastapi import Depends, FastAPI

from llama_batches_nb.sandbox_server.app.error_responses import (
    ALWAYS,
    BEARER,
    add_error_handlers,
    error_docs,
)
from llama_batches_nb.sandbox_server.app.routes import (
    batches,
    clock,
    configurations,
    directories,
    files,
    jobs,
)
from llama_batches_nb.sandbox_server.app.serializers import ResultsCache
from llama_batches_nb.sandbox_server.state.world import SandboxState

ROUTERS = [part.router for part in (batches, jobs, directories, files, configurations, clock)]


def application(world: SandboxState) -> FastAPI:
    """Return the API over a world; it asks for no key and has no faults."""
    app = FastAPI(
        title="LlamaCloud sandbox",
        docs_url=None,
        redoc_url=None,
        responses=error_docs(*ALWAYS),
        dependencies=[Depends(BEARER)],
    )
    app.state.world = world
    app.state.expanded = ResultsCache(world)
    for router in ROUTERS:
        app.include_router(router)
    add_error_handlers(app, ROUTERS)
    return app
