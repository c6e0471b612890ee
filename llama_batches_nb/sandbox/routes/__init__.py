"""The endpoints, one module for each resource."""

from fastapi import Depends, FastAPI

from llama_batches_nb.sandbox.rendering import Expanded
from llama_batches_nb.sandbox.routes import batches, clock, configurations, directories, files, jobs
from llama_batches_nb.sandbox.routes.refusals import ALWAYS, BEARER, documented, refuse_alike
from llama_batches_nb.sandbox.world import World

ROUTERS = [part.router for part in (batches, jobs, directories, files, configurations, clock)]


def application(world: World) -> FastAPI:
    """Return the API over a world; it asks for no key and has no faults."""
    app = FastAPI(
        title="LlamaCloud sandbox",
        docs_url=None,
        redoc_url=None,
        responses=documented(*ALWAYS),
        dependencies=[Depends(BEARER)],
    )
    app.state.world = world
    app.state.expanded = Expanded(world)
    for router in ROUTERS:
        app.include_router(router)
    refuse_alike(app, ROUTERS)
    return app
