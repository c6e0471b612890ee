"""Projects: list."""

from fastapi import APIRouter, Response

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    AnySizePageDep,
    StateDep,
    TextQuery,
    items_after_token,
)
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute

router = APIRouter(route_class=StrictRoute)


@router.get("/api/v2/projects", response_model=response_models.Page[response_models.Project])
async def list_projects(state: StateDep, page: AnySizePageDep, name: TextQuery = None) -> Response:
    """List the projects of the API key. The sandbox has one."""
    projects = [serializers.project_json(state)]
    matching = [
        (index, each) for index, each in enumerate(projects) if name in (None, each["name"])
    ]
    remaining = items_after_token(state.ids, "projects", page, matching)
    return page.response(state.ids, "projects", remaining, lambda each: each, len(matching))
