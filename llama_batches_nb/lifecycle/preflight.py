"""Check a batch before it is created, so that a mistake is reported before it costs anything.

A check raises only for what the service clearly states. If a list request fails, the check passes;
the service can still reject the batch.
"""

from __future__ import annotations

import re
from itertools import islice

from llama_batches_nb.errors import BatchesError, InvalidRequestError, NotFoundError
from llama_batches_nb.fetch.names_for_ids import id_hint
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.tables.records import value_at
from llama_batches_nb.types import Record

MAX_FILES_PER_BATCH = 1000
CHECK_TIMEOUT = 20.0  # seconds for one request of a check

# The id of a saved configuration ends in a UUID; a built-in preset's id ends in a name.
_SAVED_CONFIGURATION_ID = re.compile(r"cfg-[0-9a-f]{8}-[0-9a-f-]{27}")


def check_directory(client: Client, directory_id: str, scope: Record) -> None:
    """Raise if a directory does not exist, is empty, or has too many files for one batch."""
    pages = endpoints.list_directory_files(client, directory_id, timeout=CHECK_TIMEOUT, **scope)
    files = (file for page in pages for file in page.items)
    try:
        n_files = sum(1 for _ in islice(files, MAX_FILES_PER_BATCH + 1))
    except NotFoundError as error:
        detail = str(error).partition(": ")[2]
        if directory_id in detail or "directory" in detail.casefold():
            raise
        return  # the server may not have this endpoint
    except BatchesError:
        return
    if n_files == 0:
        raise InvalidRequestError(
            f"The directory {directory_id} has no files; upload some first. No batch was created."
        )
    if n_files > MAX_FILES_PER_BATCH:
        raise InvalidRequestError(
            f"The directory {directory_id} has more than {MAX_FILES_PER_BATCH:,} files, the limit "
            "of one batch; split them over several directories. No batch was created."
        )


def check_configuration(
    client: Client, configuration_id: str, job_type: str, scope: Record
) -> None:
    """Raise if a saved configuration does not exist, is for another job type, or is a name."""
    pages = endpoints.list_configurations(client, timeout=CHECK_TIMEOUT, **scope)
    try:
        configurations = {
            str(value_at(record, ("id",))): record for page in pages for record in page.items
        }
    except BatchesError:
        return
    if configuration_id in configurations:
        configuration = configurations[configuration_id]
        expected = configuration.get("product_type")
        if expected not in (None, job_type):
            raise InvalidRequestError(
                f"The configuration {configuration_id} ({configuration.get('name')}) is for "
                f"{expected}, not {job_type}; pass job_type={expected!r}. No batch was created."
            )
    elif configurations and _SAVED_CONFIGURATION_ID.fullmatch(configuration_id):
        raise NotFoundError(
            f"The project has no configuration {configuration_id}; copy an id from "
            "fetch_configurations(). No batch was created."
        )
    else:
        names = {id_: str(value_at(each, ("name",))) for id_, each in configurations.items()}
        if hint := id_hint("configuration", configuration_id, names):
            raise NotFoundError(
                f"The project has no configuration {configuration_id!r}; {hint} No batch was "
                "created."
            )
