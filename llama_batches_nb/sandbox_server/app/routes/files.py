"""Files of a directory: list, get, upload, add a stored file."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Response, UploadFile
from pydantic import BaseModel

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    PageDep,
    StateDep,
    TextListQuery,
    TextQuery,
    TimestampQuery,
    is_between,
    items_after_token,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.strict_requests import StrictRoute, is_encodable
from llama_batches_nb.sandbox_server.state.models import Directory, File, FileQuality
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

router = APIRouter(prefix="/api/v1/beta/directories/{directory_id}/files", route_class=StrictRoute)

MAX_FILE_BYTES = 50 * 2**20  # of an uploaded file
CHUNK_BYTES = 2**16
CORRUPT_MARKER = b"corrupt"  # in the content or the name of a file: its job fails
UNSUPPORTED_EXTENSIONS = (".exe", ".dll", ".iso", ".mp4")


class AddFileRequest(BaseModel):
    """Stored file to add to a directory."""

    file_id: str
    display_name: str | None = None
    unique_id: str | None = None


def get_directory(state: SandboxState, directory_id: str) -> tuple[int, Directory]:
    """Return a directory and its index, or raise a 404."""
    result = state.find_directory(directory_id)
    if result is None:
        raise not_found("Directory", directory_id)
    return result


def raise_if_duplicate(directory: Directory, unique_id: str) -> None:
    """Raise a 409 if the directory has a file with this unique id."""
    if unique_id in directory.unique_ids:
        raise HTTPException(409, f"The directory has a file with unique_id '{unique_id}' already")


async def read_quality(upload: UploadFile, name: str) -> FileQuality:
    """Read an upload and return how its jobs will end."""
    size, tail, is_corrupt = 0, b"", CORRUPT_MARKER.decode() in name.lower()
    while chunk := await upload.read(CHUNK_BYTES):
        size += len(chunk)
        if size > MAX_FILE_BYTES:
            raise HTTPException(413, f"A file may have at most {MAX_FILE_BYTES} bytes")
        is_corrupt = is_corrupt or CORRUPT_MARKER in (tail + chunk).lower()
        tail = chunk[-len(CORRUPT_MARKER) :]
    if not size or name.lower().endswith(UNSUPPORTED_EXTENSIONS):
        return "unsupported"
    return "corrupt" if is_corrupt else "valid"


@router.get("", response_model=response_models.Page[response_models.File])
async def list_files(
    state: StateDep,
    page: PageDep,
    directory_id: str,
    display_name: TextQuery = None,
    display_name_contains: TextQuery = None,
    file_id: TextQuery = None,
    unique_id: TextQuery = None,
    updated_at_on_or_after: TimestampQuery = None,
    updated_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List the files of a directory in the order in which they were added."""
    directory_index, directory = get_directory(state, directory_id)
    stored = None if file_id is None else state.ids.decode("stored", file_id) or (-1, -1)

    def matches(file: File) -> bool:
        return (
            (display_name is None or file.display_name == display_name)
            and (display_name_contains is None or display_name_contains in file.display_name)
            and (stored is None or file.stored == stored)
            and (unique_id is None or file.unique_id == unique_id)
            and is_between(file.created, updated_at_on_or_after, updated_at_on_or_before)
        )

    matching = [(index, index) for index, file in enumerate(directory.files) if matches(file)]
    remaining = items_after_token(state.ids, "files", page, matching)
    return page.response(
        state.ids,
        "files",
        remaining,
        lambda index: serializers.file_json(state, directory_index, index),
        len(matching),
    )


@router.post("/upload", response_model=response_models.File, responses=error_docs(409, 413))
async def upload_file(
    state: StateDep,
    directory_id: str,
    upload_file: UploadFile,
    display_name: Annotated[str | None, Form()] = None,
    unique_id: Annotated[str | None, Form()] = None,
    external_file_id: Annotated[str | None, Form()] = None,
) -> Response:
    """Add a new file. Its content is inspected but not stored."""
    directory_index, directory = get_directory(state, directory_id)
    name = display_name or upload_file.filename or "upload"
    unique = unique_id or external_file_id or name
    if not is_encodable([name, unique]):  # the charset of a form may decode to lone surrogates
        raise HTTPException(400, "A name must not contain lone surrogates")
    quality = await read_quality(upload_file, name)
    raise_if_duplicate(directory, unique)
    index = state.add_file(directory_index, name, unique, quality)
    return json_response(serializers.file_json(state, directory_index, index))


@router.post("", response_model=response_models.File, responses=error_docs(409, 413))
async def add_file(state: StateDep, directory_id: str, body: AddFileRequest) -> Response:
    """Add a stored file."""
    directory_index, directory = get_directory(state, directory_id)
    file = state.find_stored_file(body.file_id)
    if file is None:
        raise not_found("File", body.file_id)
    name = body.display_name or file.display_name
    unique = body.unique_id or name
    raise_if_duplicate(directory, unique)
    index = state.add_stored_file(directory_index, file, name, unique)
    return json_response(serializers.file_json(state, directory_index, index))


@router.get("/{directory_file_id}", response_model=response_models.File)
async def get_file(
    state: StateDep, directory_id: str, directory_file_id: str, expand: TextListQuery = None
) -> Response:
    """Get a file of a directory."""
    directory_index, directory = get_directory(state, directory_id)
    numbers = state.ids.decode("file", directory_file_id)
    if numbers is None or numbers[0] != directory_index or numbers[1] >= len(directory.files):
        raise not_found("File", directory_file_id)
    return json_response(serializers.file_json(state, directory_index, numbers[1]))
