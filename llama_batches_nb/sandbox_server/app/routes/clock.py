"""The simulated clock. These endpoints are not part of the API."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from llama_batches_nb.sandbox_server.app.dependencies import StateDep, json_response
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute
from llama_batches_nb.sandbox_server.state.clock import format_time
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

PREFIX = "/sandbox"
MAX_SECONDS = 10 * 366 * 86400.0

router = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=StrictRoute)


class AdvanceRequest(BaseModel):
    """How far to move the clock forward."""

    seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]


def clock_response(state: SandboxState) -> Response:
    """Return the time and the speed."""
    return json_response({"now": format_time(state.clock.now()), "speed": state.clock.speed})


@router.get("/clock")
async def get_clock(state: StateDep) -> Response:
    """Get the simulated time."""
    return clock_response(state)


@router.post("/advance")
async def advance(state: StateDep, body: AdvanceRequest) -> Response:
    """Move the clock forward."""
    state.clock.advance(body.seconds)
    return clock_response(state)
