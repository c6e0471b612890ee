"""The endpoints, one module per resource."""

from fastapi import Depends, FastAPI

from llama_batches_nb.sandbox_server.app.account import check_account
from llama_batches_nb.sandbox_server.app.error_responses import (
    BEARER,
    COMMON_STATUSES,
    add_error_handlers,
    error_docs,
)
from llama_batches_nb.sandbox_server.app.routes import (
    batches,
    clock,
    configurations,
    directories,
    files,
    job_changes,
    jobs,
    projects,
    storage,
)
from llama_batches_nb.sandbox_server.app.serializers import ResultsCache
from llama_batches_nb.sandbox_server.app.webhooks import WebhookSender
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

MODULES = (
    batches,
    jobs,
    job_changes,
    directories,
    files,
    configurations,
    projects,
    clock,
    storage,
)
ROUTERS = [module.router for module in MODULES]


def create_app(state: SandboxState) -> FastAPI:
    """Return the API for a state, without access checks and without faults."""
    app = FastAPI(
        title="LlamaCloud sandbox",
        docs_url=None,
        redoc_url=None,
        responses=error_docs(*COMMON_STATUSES),
        dependencies=[Depends(BEARER), Depends(check_account)],
    )
    app.state.sandbox = state
    app.state.results_cache = ResultsCache(state)
    app.state.webhook_sender = WebhookSender(state)
    for router in ROUTERS:
        app.include_router(router)
    add_error_handlers(app, ROUTERS)
    return app
