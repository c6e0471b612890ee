"""The clock of the sandbox, which is no part of the API."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from llama_batches_nb.sandbox_server.app.dependencies import WorldDep, answer
from llama_batches_nb.sandbox_server.app.strict_requests import Route
from llama_batches_nb.sandbox_server.state.clock import iso
from llama_batches_nb.sandbox_server.state.world import SandboxState

PREFIX = "/sandbox"
MAX_SECONDS = 10 * 366 * 86400.0

router = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=Route)


class Step(BaseModel):
    """How far to set the clock forward."""

    seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]


def reading(world: SandboxState) -> Response:
    """Answer with the time and the speed."""
    return answer({"now": iso(world.clock.now()), "speed": world.clock.speed})


@router.get("/clock")
async def get_clock(world: WorldDep) -> Response:
    """Read the clock."""
    return reading(world)


@router.post("/advance")
async def advance(world: WorldDep, body: Step) -> Response:
    """Set the clock forward."""
    world.clock.advance(body.seconds)
    return reading(world)
