"""Directories: create, list, get."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field

from llama_batches_nb.sandbox import rendering
from llama_batches_nb.sandbox.records import DirectoryType
from llama_batches_nb.sandbox.routes import answers
from llama_batches_nb.sandbox.routes.bodies import Route
from llama_batches_nb.sandbox.routes.parameters import Here, Paged, Text, answer, missing, numbered
from llama_batches_nb.sandbox.routes.refusals import documented

router = APIRouter(prefix="/api/v1/beta/directories", route_class=Route)


class NewDirectory(BaseModel):
    """Body of a creation."""

    name: Annotated[str, Field(min_length=1, max_length=3000)]
    type: Literal["ephemeral", "user"] = "user"
    description: str | None = None


@router.post("", response_model=answers.Directory, responses=documented(409, 413))
async def create_directory(world: Here, body: NewDirectory) -> Response:
    """Make a directory; names are unique."""
    if world.named(body.name) is not None:
        raise HTTPException(409, f"A directory named '{body.name}' exists already")
    place = world.add_directory(body.name, body.type, body.description)
    return answer(rendering.directory(world, place))


@router.get("", response_model=answers.Page[answers.Directory])
async def list_directories(
    world: Here,
    page: Paged,
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
    rest = numbered(world.ids, "directories", page, wanted)
    return page.answer(
        world.ids,
        "directories",
        rest,
        lambda place: rendering.directory(world, place),
        len(wanted),
    )


@router.get("/{directory_id}", response_model=answers.Directory)
async def get_directory(world: Here, directory_id: str) -> Response:
    """Get a directory."""
    found = world.directory(directory_id)
    if found is None:
        raise missing("Directory", directory_id)
    return answer(rendering.directory(world, found[0]))
