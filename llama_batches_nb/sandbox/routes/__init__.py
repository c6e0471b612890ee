"""The endpoints, one module for each resource."""

from fastapi import FastAPI

from llama_batches_nb.sandbox.rendering import Expanded
from llama_batches_nb.sandbox.routes import batches, clock, configurations, directories, files, jobs
from llama_batches_nb.sandbox.world import World


def application(world: World) -> FastAPI:
    """Return the API over a world; it asks for no key and has no faults."""
    app = FastAPI(title="LlamaCloud sandbox", docs_url=None, redoc_url=None)
    app.state.world = world
    app.state.expanded = Expanded(world)
    for part in (batches, jobs, directories, files, configurations, clock):
        app.include_router(part.router)
    return app
