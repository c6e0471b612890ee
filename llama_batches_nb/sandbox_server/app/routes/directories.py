"""Directories: create, list, get."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    PageDep,
    Text,
    WorldDep,
    after_token,
    answer,
    missing,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.strict_requests import Route
from llama_batches_nb.sandbox_server.state.models import DirectoryType

router = APIRouter(prefix="/api/v1/beta/directories", route_class=Route)


class NewDirectory(BaseModel):
    """Body of a creation."""

    name: Annotated[str, Field(min_length=1, max_length=3000)]
    type: Literal["ephemeral", "user"] = "user"
    description: str | None = None


@router.post("", response_model=response_models.Directory, responses=error_docs(409, 413))
async def create_directory(world: WorldDep, body: NewDirectory) -> Response:
    """Make a directory; names are unique."""
    if world.named(body.name) is not None:
        raise HTTPException(409, f"A directory named '{body.name}' exists already")
    place = world.add_directory(body.name, body.type, body.description)
    return answer(serializers.directory(world, place))


@router.get("", response_model=response_models.Page[response_models.Directory])
async def list_directories(
    world: WorldDep,
    page: PageDep,
    name: Text = None,
    type: Annotated[DirectoryType | None, Query()] = None,  # noqa: A002 - the API's name
    types: Annotated[list[DirectoryType] | None, Query()] = None,
    include_deleted: bool = False,
) -> Response:
    """List directories, oldest first."""
    now = world.clock.now()
    wanted = [
        (place, place)
        for place, it in enumerate(world.directories)
        if (name is None or it.name == name)
        and (type is None or it.type == type)
        and (not types or it.type in types)
        and (include_deleted or it.deleted_at(now) is None)
    ]
    rest = after_token(world.ids, "directories", page, wanted)
    return page.answer(
        world.ids,
        "directories",
        rest,
        lambda place: serializers.directory(world, place),
        len(wanted),
    )


@router.get("/{directory_id}", response_model=response_models.Directory)
async def get_directory(world: WorldDep, directory_id: str) -> Response:
    """Get a directory."""
    found = world.directory(directory_id)
    if found is None:
        raise missing("Directory", directory_id)
    return answer(serializers.directory(world, found[0]))
