"""Files of a directory: list, get, upload, add a stored file, update, delete."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response, UploadFile
from pydantic import Field, TypeAdapter

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    AnySizePageDep,
    StateDep,
    TextQuery,
    TimestampQuery,
    is_between,
    items_after_token,
    json_response,
    not_found,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.routes.directories import find_directory
from llama_batches_nb.sandbox_server.app.strict_requests import (
    RequestModel,
    StrictRoute,
    is_encodable,
)
from llama_batches_nb.sandbox_server.state.models import Directory, File, FileQuality, Metadata
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

router = APIRouter(prefix="/api/v1/beta/directories/{directory_id}/files", route_class=StrictRoute)

MAX_FILE_BYTES = 50 * 2**20  # of an uploaded file
CORRUPT_MARKER = b"corrupt"  # in the content or the name of a file: its job fails
UNSUPPORTED_EXTENSIONS = (".exe", ".dll", ".iso", ".mp4")


UniqueId = Annotated[str, Field(min_length=1)]
ExpandQuery = Annotated[list[Literal["download_url"]] | None, Query()]


class AddFileRequest(RequestModel):
    """Stored file to add to a directory."""

    file_id: str
    display_name: str | None = None
    unique_id: str | None = None
    metadata: Metadata | None = None


class UpdateFileRequest(RequestModel):
    """Changes of a file. What is omitted or null stays as it is; metadata are replaced whole."""

    display_name: str | None = None
    unique_id: UniqueId | None = None
    metadata: Metadata | None = None
    target_directory_id: str | None = None


class UploadForm(RequestModel):
    """File to upload. The metadata are the text of a JSON object."""

    upload_file: UploadFile
    display_name: str | None = None
    unique_id: str | None = None
    external_file_id: str | None = None
    metadata: str | None = None


METADATA: TypeAdapter[Metadata] = TypeAdapter(Metadata)


def parse_metadata(text: str | None) -> Metadata:
    """Parse the metadata of an upload, or raise a 400."""
    if not text:
        return {}
    try:
        metadata = METADATA.validate_json(text)
        if not is_encodable(metadata):
            raise ValueError("NaN or an infinite number")
        return metadata
    except ValueError as error:
        raise HTTPException(
            400, "metadata must be the text of a JSON object of texts, numbers, booleans and lists"
        ) from error


def find_file(
    state: SandboxState, directory_id: str, directory_file_id: str
) -> tuple[int, Directory, int, File]:
    """Return a directory and a file in it, each with its index, or raise a 404."""
    directory_index, directory = find_directory(state, directory_id)
    result = state.find_file(directory_index, directory_file_id)
    if result is None:
        raise not_found("File", directory_file_id)
    return directory_index, directory, *result


def raise_if_duplicate(directory: Directory, unique_id: str) -> None:
    """Raise a 409 if the directory has a file with this unique id."""
    if unique_id in directory.unique_ids:
        raise HTTPException(409, f"The directory has a file with unique_id '{unique_id}' already")


async def read_upload(upload: UploadFile) -> bytes:
    """Return the content of an upload, or raise a 413."""
    content = await upload.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise HTTPException(413, f"A file may have at most {MAX_FILE_BYTES} bytes")
    return content


def quality_of(content: bytes, name: str) -> FileQuality:
    """Return how the jobs of an uploaded file will end."""
    is_corrupt = CORRUPT_MARKER in content.lower() or CORRUPT_MARKER.decode() in name.lower()
    if not content or name.lower().endswith(UNSUPPORTED_EXTENSIONS):
        return "unsupported"
    return "corrupt" if is_corrupt else "valid"


@router.get("", response_model=response_models.Page[response_models.File])
async def list_files(
    request: Request,
    state: StateDep,
    page: AnySizePageDep,
    directory_id: str,
    display_name: TextQuery = None,
    display_name_contains: TextQuery = None,
    file_id: TextQuery = None,
    unique_id: TextQuery = None,
    updated_at_on_or_after: TimestampQuery = None,
    updated_at_on_or_before: TimestampQuery = None,
    include_deleted: bool = False,
    expand: ExpandQuery = None,
) -> Response:
    """List the files of a directory in the order in which they were added."""
    directory_index, directory = find_directory(state, directory_id)
    base_url = str(request.base_url) if expand else None
    stored = None if file_id is None else state.ids.decode("stored", file_id) or (-1, -1)

    def matches(file: File) -> bool:
        return (
            file.moved_to is None
            and (include_deleted or file.deleted is None)
            and (display_name is None or file.display_name == display_name)
            and (display_name_contains is None or display_name_contains in file.display_name)
            and (stored is None or file.stored == stored)
            and (unique_id is None or file.unique_id == unique_id)
            and is_between(file.last_updated, updated_at_on_or_after, updated_at_on_or_before)
        )

    matching = [(index, index) for index, file in enumerate(directory.files) if matches(file)]
    remaining = items_after_token(state.ids, "files", page, matching)
    return page.response(
        state.ids,
        "files",
        remaining,
        lambda index: serializers.file_json(state, directory_index, index, base_url),
        len(matching),
    )


@router.post("/upload", response_model=response_models.File, responses=error_docs(409, 413))
async def upload_file(
    state: StateDep,
    directory_id: str,
    form: Annotated[UploadForm, Form(media_type="multipart/form-data")],
) -> Response:
    """Add a new file. Its content is stored for `download_url`, and otherwise only inspected."""
    directory_index, directory = find_directory(state, directory_id)
    name = form.display_name or form.upload_file.filename or "upload"
    unique = form.unique_id or form.external_file_id or name
    # the charset of a form may decode to lone surrogates
    if not is_encodable([name, unique, form.metadata]):
        raise HTTPException(400, "Names and metadata must not contain lone surrogates")
    values = parse_metadata(form.metadata)
    content = await read_upload(form.upload_file)
    raise_if_duplicate(directory, unique)
    quality = quality_of(content, name)
    index = state.add_file(directory_index, name, unique, quality, values, content)
    return json_response(serializers.file_json(state, directory_index, index))


@router.post("", response_model=response_models.File, responses=error_docs(409, 413))
async def add_file(state: StateDep, directory_id: str, body: AddFileRequest) -> Response:
    """Add a stored file."""
    directory_index, directory = find_directory(state, directory_id)
    file = state.find_stored_file(body.file_id)
    if file is None:
        raise not_found("File", body.file_id)
    name = body.display_name or file.display_name
    unique_id = body.unique_id or name
    raise_if_duplicate(directory, unique_id)
    metadata = body.metadata or {}
    index = state.add_stored_file(directory_index, file, name, unique_id, metadata)
    return json_response(serializers.file_json(state, directory_index, index))


@router.get("/{directory_file_id}", response_model=response_models.File)
async def get_file(
    request: Request,
    state: StateDep,
    directory_id: str,
    directory_file_id: str,
    expand: ExpandQuery = None,
) -> Response:
    """Get a file of a directory."""
    directory_index, _, index, _ = find_file(state, directory_id, directory_file_id)
    base_url = str(request.base_url) if expand else None
    return json_response(serializers.file_json(state, directory_index, index, base_url))


@router.patch(
    "/{directory_file_id}", response_model=response_models.File, responses=error_docs(409, 413)
)
async def update_file(
    state: StateDep, directory_id: str, directory_file_id: str, body: UpdateFileRequest
) -> Response:
    """Change a file, or move it to another directory."""
    directory_index, directory, index, file = find_file(state, directory_id, directory_file_id)
    target_index, target = directory_index, directory
    if body.target_directory_id is not None:
        target_index, target = find_directory(state, body.target_directory_id)
    unique_id = body.unique_id or file.unique_id
    if target is not directory or unique_id != file.unique_id:
        raise_if_duplicate(target, unique_id)
    changed = replace(
        file,
        display_name=body.display_name or file.display_name,
        unique_id=unique_id,
        metadata=file.metadata if body.metadata is None else body.metadata,
        updated=state.clock.now(),
    )
    directory.replace(index, changed)
    if target is not directory:
        index = state.move_file(directory_index, index, target_index)
    return json_response(serializers.file_json(state, target_index, index))


@router.delete("/{directory_file_id}", status_code=204)
async def delete_file(state: StateDep, directory_id: str, directory_file_id: str) -> Response:
    """Delete a file from a directory. Its content stays stored."""
    _, directory, index, file = find_file(state, directory_id, directory_file_id)
    now = state.clock.now()
    directory.replace(index, replace(file, updated=now, deleted=now))
    return Response(status_code=204)
