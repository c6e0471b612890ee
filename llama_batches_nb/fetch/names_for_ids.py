"""Find the id that a user means by a name, where an id does not exist."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from llama_batches_nb.errors import BatchesError, NotFoundError
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.messages import format_list
from llama_batches_nb.tables.records import value_at
from llama_batches_nb.types import Record

DELETED = (
    "The service deletes ephemeral directories, which uploads make, after some time; if this was "
    "one, upload its files again with upload_files(paths)."
)


def check_directory_exists(client: Client, directory_id: str, scope: Record) -> None:
    """Raise `NotFoundError` for an id that no directory has; pass if they cannot be listed.

    The API answers a filter by an unknown directory with an empty list.
    """
    names = directory_names(client, scope)
    if names and directory_id not in names:
        hint = id_hint("directory", directory_id, names) or "pass an id from fetch_directories()."
        raise NotFoundError(f"The project has no directory {directory_id!r}; {hint}")


def check_configuration_exists(client: Client, configuration_id: str, scope: Record) -> None:
    """Raise `NotFoundError` if the name of a saved configuration was passed instead of its id."""
    try:
        pages = endpoints.list_configurations(client, **scope)
        names = _names_by_id(record for page in pages for record in page.items)
    except BatchesError:
        return
    if configuration_id not in names and (
        hint := id_hint("configuration", configuration_id, names)
    ):
        raise NotFoundError(f"The project has no configuration {configuration_id!r}; {hint}")


@contextmanager
def directory_id_hint(client: Client, directory_id: str, scope: Record) -> Iterator[None]:
    """Add to a `NotFoundError` the id if a name was passed, or why a directory may be gone."""
    try:
        yield
    except NotFoundError as error:
        hint = DELETED
        if not directory_id.startswith("dir-"):
            hint = id_hint("directory", directory_id, directory_names(client, scope))
        error.args = (f"{error} {hint[:1].upper()}{hint[1:]}".rstrip(), *error.args[1:])
        raise


def directory_names(client: Client, scope: Record) -> dict[str, str]:
    """Return the name of each directory by id, also of deleted ones; empty if the request fails."""
    scope = {name: scope.get(name) for name in ("project_id", "organization_id")}
    try:
        pages = endpoints.list_directories(client, include_deleted="true", **scope)
        return _names_by_id(record for page in pages for record in page.items)
    except BatchesError:
        return {}


def id_hint(noun: str, name: str, names: Mapping[str, str]) -> str:
    """Return which ids have a name, of a mapping from ids to names; empty if there are none."""
    wanted = _comparable(name)
    ids = [id_ for id_, other in names.items() if _comparable(other) == wanted]
    return f"the {noun} with that name has the id {format_list(ids)}." if ids else ""


def _comparable(name: str) -> str:
    """Return a name regardless of case and Unicode form."""
    return unicodedata.normalize("NFC", " ".join(name.split()).casefold())


def _names_by_id(records: Iterable[Any]) -> dict[str, str]:
    return {str(value_at(each, ("id",))): str(value_at(each, ("name",))) for each in records}
