"""What must hold before a batch is asked for, so that a mistake is told before it costs anything.

Only what the service says outright is held against a request: what it will not tell, as when a list
is out of order, it can still refuse by itself.
"""

from __future__ import annotations

import re
from itertools import islice

from llama_batches_nb.errors import BatchesError, InvalidRequestError, NotFoundError
from llama_batches_nb.http import endpoints
from llama_batches_nb.http.client import Client
from llama_batches_nb.types import Record

MAX_FILES_PER_BATCH = 1000  # of one batch
CHECK_TIMEOUT = 20.0  # seconds for one request of a check

_SAVED = re.compile(r"cfg-[0-9a-f]{8}-[0-9a-f-]{27}")  # a preset has a name, a saved one a UUID


def check_directory(client: Client, directory_id: str, scope: Record) -> None:
    """Raise if a directory is not there, has no files, or more than a batch takes."""
    pages = endpoints.list_directory_files(client, directory_id, timeout=CHECK_TIMEOUT, **scope)
    try:
        n_files = sum(
            1 for _ in islice((f for p in pages for f in p.items), MAX_FILES_PER_BATCH + 1)
        )
    except NotFoundError as error:
        words = str(error).partition(": ")[2]
        if directory_id in words or "directory" in words.casefold():
            raise
        return  # it may be the list that is not there
    except BatchesError:
        return
    if n_files == 0:
        raise InvalidRequestError(
            f"The directory {directory_id} has no files to run over: upload some first. "
            "Nothing was created."
        )
    if n_files > MAX_FILES_PER_BATCH:
        raise InvalidRequestError(
            f"The directory {directory_id} has more than the {MAX_FILES_PER_BATCH:,} files that "
            f"one batch "
            "takes: spread them over several directories. Nothing was created."
        )


def check_configuration(
    client: Client, configuration_id: str, job_type: str, scope: Record
) -> None:
    """Raise if a saved configuration is not there, or is for another type of job."""
    pages = endpoints.list_configurations(client, timeout=CHECK_TIMEOUT, **scope)
    try:
        found = {record.get("id"): record for page in pages for record in page.items}
    except BatchesError:
        return
    if configuration_id in found:
        meant_for = found[configuration_id].get("product_type")
        if meant_for not in (None, job_type):
            raise InvalidRequestError(
                f"The configuration {configuration_id} ({found[configuration_id].get('name')}) is "
                f"for {meant_for}, not {job_type}: pass job_type={meant_for!r}. "
                "Nothing was created."
            )
    elif found and _SAVED.fullmatch(configuration_id):
        raise NotFoundError(
            f"The configuration {configuration_id} is not among the {len(found):,} of the project: "
            "copy its id from fetch_configurations(). Nothing was created."
        )
