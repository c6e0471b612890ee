"""Find the project that a client works in, to check its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_batches_nb.errors import NotFoundError, ResponseError
from llama_batches_nb.http.pagination import iter_pages
from llama_batches_nb.messages import format_list
from llama_batches_nb.types import Record

PROJECTS = "/api/v2/projects"


def find_project(get: Callable[[str, Record], Any], project_id: str | None) -> Record | None:
    """Return the project with this id, else the key's default or only one, or None if unknown.

    Raises `AuthenticationError` if the server rejects the key, and `NotFoundError` if the key has
    no project with this id.
    """
    pages = iter_pages(lambda **params: get(PROJECTS, params))
    projects: list[Record] = [project for page in pages for project in page.items]
    for project in projects:
        if not isinstance(project, dict):
            raise ResponseError(
                f"The server returned a project that is not a JSON object: {project!r:.80}"
            )
    if project_id is not None:
        for project in projects:
            if project.get("id") == project_id:
                return project
        names = format_list(f"{each.get('name')} ({each.get('id')})" for each in projects)
        raise NotFoundError(
            f"The key has no project {project_id!r}{names and f', but {names}'}. Check project_id "
            "and LLAMA_CLOUD_PROJECT_ID."
        )
    defaults = [each for each in projects if each.get("is_default")] or projects
    return defaults[0] if len(defaults) == 1 else None
