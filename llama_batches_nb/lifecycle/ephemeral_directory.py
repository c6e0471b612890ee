"""Create ephemeral directories and add files to them, each exactly once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch import listing
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import FileRecord
from llama_batches_nb.lifecycle.lost_response import send_once
from llama_batches_nb.tables.schema import DIRECTORIES, FILES
from llama_batches_nb.types import Record

MAX_CREATE_ATTEMPTS = 2  # to create one directory
MAX_ADD_ATTEMPTS = 3  # to add one file


def create_directory(client: Client, name: str, scope: Record) -> str:
    """Create an ephemeral directory and return its id.

    Raises `ConflictError` if the service requires unique names and another directory has this one.
    """

    def send() -> str:
        body = {"name": name, "type": "ephemeral"}
        return listing.record_id(DIRECTORIES, endpoints.create_directory(client, body, **scope))

    def find(_: BatchesError) -> str | None:
        found = reversed(find_directories(client, name, scope))
        # a directory that has files is not the one just created
        return next((each for each in found if not files_by_name(client, each, scope)), None)

    return send_once(send, find, max_attempts=MAX_CREATE_ATTEMPTS)


def find_directories(client: Client, name: str, scope: Record) -> list[str]:
    """Return the ids of the directories with this name; names may repeat."""
    pages = endpoints.list_directories(client, name=name, **scope)
    directories = listing.iter_records(DIRECTORIES, pages)
    return [listing.record_id(DIRECTORIES, d) for d in directories if d.get("name") == name]


def unique_name(prefix: str) -> str:
    """Return a directory name that no other directory has."""
    return f"{prefix} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(3)}"


def files_by_name(client: Client, directory_id: str, scope: Record) -> dict[str, FileRecord]:
    """Return the files of a directory by display name."""
    pages = endpoints.list_directory_files(client, directory_id, **scope)
    return {str(file.get("display_name")): file for file in listing.iter_records(FILES, pages)}


def add_file(
    client: Client, directory_id: str, name: str, send: Callable[[], FileRecord], scope: Record
) -> FileRecord:
    """Add a file to a directory with `send`; a file that already has the name is returned."""

    def send_and_check() -> FileRecord:
        file = send()
        listing.record_id(FILES, file)  # raises ResponseError if it is not a file
        return file

    def find(_: BatchesError) -> FileRecord | None:
        pages = endpoints.list_directory_files(client, directory_id, display_name=name, **scope)
        files = list(listing.iter_records(FILES, pages))
        return next((file for file in files if file.get("display_name") == name), None)

    return send_once(send_and_check, find, max_attempts=MAX_ADD_ATTEMPTS, accept_existing=True)
