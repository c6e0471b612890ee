"""Directories: create, list, get."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    PageDep,
    StateDep,
    TextQuery,
    items_after_token,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute
from llama_batches_nb.sandbox_server.state.models import DirectoryType

router = APIRouter(prefix="/api/v1/beta/directories", route_class=StrictRoute)


class CreateDirectoryRequest(BaseModel):
    """Directory to create."""

    name: Annotated[str, Field(min_length=1, max_length=3000)]
    type: Literal["ephemeral", "user"] = "user"
    description: str | None = None


@router.post("", response_model=response_models.Directory, responses=error_docs(409, 413))
async def create_directory(state: StateDep, body: CreateDirectoryRequest) -> Response:
    """Create a directory. Names are unique."""
    if state.has_directory_named(body.name):
        raise HTTPException(409, f"A directory named '{body.name}' exists already")
    index = state.add_directory(body.name, body.type, body.description)
    return json_response(serializers.directory_json(state, index))


@router.get("", response_model=response_models.Page[response_models.Directory])
async def list_directories(
    state: StateDep,
    page: PageDep,
    name: TextQuery = None,
    type: Annotated[DirectoryType | None, Query()] = None,  # noqa: A002 - the API's name
    types: Annotated[list[DirectoryType] | None, Query()] = None,
    include_deleted: bool = False,
) -> Response:
    """List directories, oldest first."""
    now = state.clock.now()
    matching = [
        (index, index)
        for index, directory in enumerate(state.directories)
        if (name is None or directory.name == name)
        and (type is None or directory.type == type)
        and (not types or directory.type in types)
        and (include_deleted or directory.deleted_at(now) is None)
    ]
    remaining = items_after_token(state.ids, "directories", page, matching)
    return page.response(
        state.ids,
        "directories",
        remaining,
        lambda index: serializers.directory_json(state, index),
        len(matching),
    )


@router.get("/{directory_id}", response_model=response_models.Directory)
async def get_directory(state: StateDep, directory_id: str) -> Response:
    """Get a directory."""
    result = state.find_directory(directory_id)
    if result is None:
        raise not_found("Directory", directory_id)
    return json_response(serializers.directory_json(state, result[0]))
