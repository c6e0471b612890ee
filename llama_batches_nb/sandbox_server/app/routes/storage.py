"""Downloads at presigned URLs. This is not part of the API: the service has an object store."""

import mimetypes

from fastapi import APIRouter, Request, Response

from llama_batches_nb.sandbox_server.app.outputs import ParseOutputs
from llama_batches_nb.sandbox_server.app.presigned_urls import PREFIX, SOURCE, find_problem
from llama_batches_nb.sandbox_server.app.routes.jobs import find_jobs
from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

router = APIRouter(include_in_schema=False)


def refused(status: int, code: str) -> Response:
    """Return an error as an object store sends it."""
    body = f"<?xml version='1.0'?><Error><Message>{code}</Message></Error>"
    return Response(body, status, media_type="application/xml")


@router.get(PREFIX + "{id_}/{name}")
async def download(
    request: Request, id_: str, name: str, expires: int = 0, signature: str = ""
) -> Response:
    """Download a stored output of a parse job, or an uploaded file.

    As an object store does, it refuses a request that has an Authorization header as well.
    """
    state: SandboxState = request.app.state.sandbox
    if "authorization" in request.headers:
        return refused(400, "Only one authentication mechanism is allowed")
    if problem := find_problem(state, request.url.path, expires, signature):
        return refused(403, problem)
    if name == SOURCE and (file := state.find_stored_file(id_)):
        if (content := state.uploaded_bytes(file)) is None:
            return refused(404, "NoSuchKey")
        media_type = mimetypes.guess_type(file.display_name)[0]
        return Response(content, media_type=media_type or "application/octet-stream")
    now = state.clock.now()
    for job in find_jobs(state, "parse_v2", [id_], now):
        if job.status(now) == "COMPLETED" and (output := ParseOutputs(state, job).file(name)):
            return Response(output[0], media_type=output[1])
    return refused(404, "NoSuchKey")
