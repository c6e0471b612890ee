"""Refuse requests that the plan or the usage limit of the project does not allow."""

from fastapi import HTTPException, Request

from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

BATCHES = "/api/v2/batches"
NO_CREATES = ("/cancel", "/sandbox/advance")  # ends of paths


async def check_account(request: Request) -> None:
    """Raise a 403 for batches with the free plan, and a 402 for creates above the usage limit."""
    state: SandboxState = request.app.state.sandbox
    path, options = request.url.path, state.options
    if options.plan == "free" and path.startswith(BATCHES):
        raise HTTPException(
            403, "Batches are not available on the free plan. Upgrade to Pro or Enterprise."
        )
    if request.method != "POST" or path.endswith(NO_CREATES):
        return
    if options.usage_limit is not None and state.creates >= options.usage_limit:
        raise HTTPException(
            402, "The monthly usage limit of this project is reached. Upgrade the plan to continue."
        )
    state.creates += 1
