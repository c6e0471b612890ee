"""Files of a directory: list, get, upload, add a stored one."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Response, UploadFile
from pydantic import BaseModel

from llama_batches_nb.sandbox import rendering
from llama_batches_nb.sandbox.records import Directory, File, Nature
from llama_batches_nb.sandbox.routes import answers
from llama_batches_nb.sandbox.routes.bodies import Route, can_be_repeated
from llama_batches_nb.sandbox.routes.parameters import (
    Here,
    Many,
    Paged,
    Text,
    When,
    answer,
    between,
    missing,
    numbered,
)
from llama_batches_nb.sandbox.routes.refusals import documented
from llama_batches_nb.sandbox.world import World

router = APIRouter(prefix="/api/v1/beta/directories/{directory_id}/files", route_class=Route)

MOST_BYTES = 50 * 2**20  # of an uploaded file
CHUNK = 2**16
TELLTALE = b"corrupt"  # in a file's text or name: its job will fail
UNSUPPORTED = (".exe", ".dll", ".iso", ".mp4")


class AddedFile(BaseModel):
    """Body that adds a stored file."""

    file_id: str
    display_name: str | None = None
    unique_id: str | None = None


def the_directory(world: World, directory_id: str) -> tuple[int, Directory]:
    """Find a directory or answer by 404."""
    found = world.directory(directory_id)
    if found is None:
        raise missing("Directory", directory_id)
    return found


def refuse_twice(directory: Directory, unique_id: str) -> None:
    """Answer by 409 if the directory has a file of that unique id."""
    if unique_id in directory.unique_ids:
        raise HTTPException(409, f"The directory has a file with unique_id '{unique_id}' already")


async def nature(upload: UploadFile, name: str) -> Nature:
    """Read an upload, and say how its jobs will end."""
    size, kept, corrupt = 0, b"", TELLTALE.decode() in name.lower()
    while chunk := await upload.read(CHUNK):
        size += len(chunk)
        if size > MOST_BYTES:
            raise HTTPException(413, f"A file may have {MOST_BYTES} bytes")
        corrupt = corrupt or TELLTALE in (kept + chunk).lower()
        kept = chunk[-len(TELLTALE) :]
    if not size or name.lower().endswith(UNSUPPORTED):
        return "unsupported"
    return "corrupt" if corrupt else "sound"


@router.get("", response_model=answers.Page[answers.File])
async def list_files(
    world: Here,
    page: Paged,
    directory_id: str,
    display_name: Text = None,
    display_name_contains: Text = None,
    file_id: Text = None,
    unique_id: Text = None,
    updated_at_on_or_after: When = None,
    updated_at_on_or_before: When = None,
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
    rest = numbered(world.ids, "files", page, wanted)
    return page.answer(
        world.ids, "files", rest, lambda index: rendering.file(world, place, index), len(wanted)
    )


@router.post("/upload", response_model=answers.File, responses=documented(409, 413))
async def upload_file(
    world: Here,
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
    if not can_be_repeated([name, unique]):  # a form may be in a charset of any kind
        raise HTTPException(400, "Half a surrogate pair is no text")
    kind = await nature(upload_file, name)
    refuse_twice(directory, unique)
    return answer(rendering.file(world, place, world.upload(place, name, unique, kind)))


@router.post("", response_model=answers.File, responses=documented(409, 413))
async def add_file(world: Here, directory_id: str, body: AddedFile) -> Response:
    """Add a stored file."""
    place, directory = the_directory(world, directory_id)
    file = world.stored_file(body.file_id)
    if file is None:
        raise missing("File", body.file_id)
    name = body.display_name or file.display_name
    unique = body.unique_id or name
    refuse_twice(directory, unique)
    return answer(rendering.file(world, place, world.link(place, file, name, unique)))


@router.get("/{directory_file_id}", response_model=answers.File)
async def get_file(
    world: Here, directory_id: str, directory_file_id: str, expand: Many = None
) -> Response:
    """Get a file of a directory."""
    place, directory = the_directory(world, directory_id)
    found = world.ids.read("file", directory_file_id)
    if found is None or found[0] != place or found[1] >= len(directory.files):
        raise missing("File", directory_file_id)
    return answer(rendering.file(world, place, found[1]))
