"""Directories: create, list, get, update, delete."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    AnySizePageDep,
    StateDep,
    TextQuery,
    items_after_token,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.strict_requests import RequestModel, StrictRoute
from llama_batches_nb.sandbox_server.state.models import Directory, DirectoryType
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

router = APIRouter(prefix="/api/v1/beta/directories", route_class=StrictRoute)

Name = Annotated[str, Field(min_length=1, max_length=3000)]


class CreateDirectoryRequest(RequestModel):
    """Directory to create."""

    name: Name
    type: Literal["ephemeral", "user"] = "user"
    description: str | None = None
    connector_subscription_id: str | None = None
    system_metadata: dict[str, Any] | None = None


class UpdateDirectoryRequest(RequestModel):
    """Changes of a directory. What is omitted or null stays as it is."""

    name: Name | None = None
    description: str | None = None


def find_directory(state: SandboxState, directory_id: str) -> tuple[int, Directory]:
    """Return a directory and its index, or raise a 404."""
    result = state.find_directory(directory_id)
    if result is None:
        raise not_found("Directory", directory_id)
    return result


def raise_if_subscribed(state: SandboxState, subscription_id: str) -> None:
    """Raise a 409 that names the directory of a connector subscription, if it has one."""
    now = state.clock.now()
    for index, directory in enumerate(state.directories):
        if (
            directory.connector_subscription_id == subscription_id
            and directory.deleted_at(now) is None
        ):
            detail = {
                "message": f"Connector subscription '{subscription_id}' already has a directory",
                "directory_id": state.ids.encode("directory", index),
            }
            raise HTTPException(409, detail)


@router.post("", response_model=response_models.Directory, responses=error_docs(409, 413))
async def create_directory(state: StateDep, body: CreateDirectoryRequest) -> Response:
    """Create a directory. Several directories may have the same name."""
    if body.connector_subscription_id is not None:
        raise_if_subscribed(state, body.connector_subscription_id)
    index = state.add_directory(
        body.name,
        body.type,
        body.description,
        body.connector_subscription_id,
        body.system_metadata,
    )
    return json_response(serializers.directory_json(state, index))


@router.get("", response_model=response_models.Page[response_models.Directory])
async def list_directories(
    state: StateDep,
    page: AnySizePageDep,
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
    index, _ = find_directory(state, directory_id)
    return json_response(serializers.directory_json(state, index))


@router.patch("/{directory_id}", response_model=response_models.Directory)
async def update_directory(
    state: StateDep, directory_id: str, body: UpdateDirectoryRequest
) -> Response:
    """Change the name or the description of a directory."""
    index, directory = find_directory(state, directory_id)
    directory.name = body.name or directory.name
    if body.description is not None:
        directory.description = body.description
    directory.updated = state.clock.now()
    return json_response(serializers.directory_json(state, index))


@router.delete("/{directory_id}", status_code=204)
async def delete_directory(state: StateDep, directory_id: str) -> Response:
    """Delete a directory. Batches over its files are not affected."""
    _, directory = find_directory(state, directory_id)
    directory.deleted = state.clock.now()
    return Response(status_code=204)
