"""Files of a directory: list, get, upload, add a stored one."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Response, UploadFile
from pydantic import BaseModel

from llama_batches_nb.sandbox_server.app import response_models, serializers
from llama_batches_nb.sandbox_server.app.dependencies import (
    Many,
    PageDep,
    Text,
    TimestampQuery,
    WorldDep,
    after_token,
    answer,
    between,
    missing,
)
from llama_batches_nb.sandbox_server.app.error_responses import error_docs
from llama_batches_nb.sandbox_server.app.strict_requests import Route, is_encodable
from llama_batches_nb.sandbox_server.state.models import Directory, File, Nature
from llama_batches_nb.sandbox_server.state.world import SandboxState

router = APIRouter(prefix="/api/v1/beta/directories/{directory_id}/files", route_class=Route)

MAX_FILE_BYTES = 50 * 2**20  # of an uploaded file
CHUNK = 2**16
CORRUPT_MARKER = b"corrupt"  # in a file's text or name: its job will fail
UNSUPPORTED = (".exe", ".dll", ".iso", ".mp4")


class AddedFile(BaseModel):
    """Body that adds a stored file."""

    file_id: str
    display_name: str | None = None
    unique_id: str | None = None


def the_directory(world: SandboxState, directory_id: str) -> tuple[int, Directory]:
    """Find a directory or answer by 404."""
    found = world.directory(directory_id)
    if found is None:
        raise missing("Directory", directory_id)
    return found


def raise_if_duplicate(directory: Directory, unique_id: str) -> None:
    """Answer by 409 if the directory has a file of that unique id."""
    if unique_id in directory.unique_ids:
        raise HTTPException(409, f"The directory has a file with unique_id '{unique_id}' already")


async def nature(upload: UploadFile, name: str) -> Nature:
    """Read an upload, and say how its jobs will end."""
    size, kept, corrupt = 0, b"", CORRUPT_MARKER.decode() in name.lower()
    while chunk := await upload.read(CHUNK):
        size += len(chunk)
        if size > MAX_FILE_BYTES:
            raise HTTPException(413, f"A file may have {MAX_FILE_BYTES} bytes")
        corrupt = corrupt or CORRUPT_MARKER in (kept + chunk).lower()
        kept = chunk[-len(CORRUPT_MARKER) :]
    if not size or name.lower().endswith(UNSUPPORTED):
        return "unsupported"
    return "corrupt" if corrupt else "sound"


@router.get("", response_model=response_models.Page[response_models.File])
async def list_files(
    world: WorldDep,
    page: PageDep,
    directory_id: str,
    display_name: Text = None,
    display_name_contains: Text = None,
    file_id: Text = None,
    unique_id: Text = None,
    updated_at_on_or_after: TimestampQuery = None,
    updated_at_on_or_before: TimestampQuery = None,
) -> Response:
    """List the files of a directory in the order they came."""
    place, directory = the_directory(world, directory_id)
    stored = None if file_id is None else world.ids.read("stored", file_id) or (-1, -1)

    def matches(it: File) -> bool:
        return (
            (display_name is None or it.display_name == display_name)
            and (display_name_contains is None or display_name_contains in it.display_name)
            and (stored is None or it.stored == stored)
            and (unique_id is None or it.unique_id == unique_id)
            and between(it.created, updated_at_on_or_after, updated_at_on_or_before)
        )

    wanted = [(index, index) for index, it in enumerate(directory.files) if matches(it)]
    rest = after_token(world.ids, "files", page, wanted)
    return page.answer(
        world.ids, "files", rest, lambda index: serializers.file(world, place, index), len(wanted)
    )


@router.post("/upload", response_model=response_models.File, responses=error_docs(409, 413))
async def upload_file(
    world: WorldDep,
    directory_id: str,
    upload_file: UploadFile,
    display_name: Annotated[str | None, Form()] = None,
    unique_id: Annotated[str | None, Form()] = None,
    external_file_id: Annotated[str | None, Form()] = None,
) -> Response:
    """Add a new file; its bytes are looked at, not kept."""
    place, directory = the_directory(world, directory_id)
    name = display_name or upload_file.filename or "upload"
    unique = unique_id or external_file_id or name
    if not is_encodable([name, unique]):  # a form may be in a charset of any kind
        raise HTTPException(400, "Half a surrogate pair is no text")
    kind = await nature(upload_file, name)
    raise_if_duplicate(directory, unique)
    return answer(serializers.file(world, place, world.upload(place, name, unique, kind)))


@router.post("", response_model=response_models.File, responses=error_docs(409, 413))
async def add_file(world: WorldDep, directory_id: str, body: AddedFile) -> Response:
    """Add a stored file."""
    place, directory = the_directory(world, directory_id)
    file = world.stored_file(body.file_id)
    if file is None:
        raise missing("File", body.file_id)
    name = body.display_name or file.display_name
    unique = body.unique_id or name
    raise_if_duplicate(directory, unique)
    return answer(serializers.file(world, place, world.link(place, file, name, unique)))


@router.get("/{directory_file_id}", response_model=response_models.File)
async def get_file(
    world: WorldDep, directory_id: str, directory_file_id: str, expand: Many = None
) -> Response:
    """Get a file of a directory."""
    place, directory = the_directory(world, directory_id)
    found = world.ids.read("file", directory_file_id)
    if found is None or found[0] != place or found[1] >= len(directory.files):
        raise missing("File", directory_file_id)
    return answer(serializers.file(world, place, found[1]))
