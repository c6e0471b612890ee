"""How requests are refused: one form for all, and documented."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from llama_batches_nb.sandbox_server.app.dependencies import answer
from llama_batches_nb.sandbox_server.app.response_models import ErrorResponse, Problems

Documents = dict[int | str, dict[str, Any]]

BEARER = HTTPBearer(auto_error=False)  # only documented here: the gate asks for it

ERROR_DESCRIPTIONS = {
    400: "The request can't be read, or a page token is of no page",
    401: "Without the key",
    404: "Something that the request names is not there",
    409: "It is there already, or has ended",
    413: "The body is too large, or has too many parts",
    422: "Some fields are not as documented",
    429: "Too many requests, if the sandbox was told to say so",
    500: "A fault, if the sandbox was told to have some",
    502: "A fault after the work was done",
    503: "A fault",
}
ALWAYS = (400, 401, 404, 422, 429, 500, 502, 503)


def error_docs(*statuses: int) -> Documents:
    """Return the documents of refusals."""
    kinds: Documents = {422: {"model": Problems}, 502: {"content": {"text/html": {}}}}
    return {
        status: {
            "description": ERROR_DESCRIPTIONS[status],
            **kinds.get(status, {"model": ErrorResponse}),
        }
        for status in statuses
    }


def add_error_handlers(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Have an application refuse in the API's one form, whatever the reason."""
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]

    @app.exception_handler(HTTPException)
    async def refusal(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:  # of a path's routes, the router names the methods of one
            path = next(it.path for it in routes if it.matches(request.scope)[0] is not Match.NONE)
            methods = {m for it in routes if it.path == path for m in it.methods or ()}
            headers["Allow"] = ", ".join(sorted(methods))
        return answer({"detail": error.detail}, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def problems(request: Request, error: RequestValidationError) -> Response:
        found = [{name: it[name] for name in ("loc", "msg", "type")} for it in error.errors()]
        return answer({"detail": found}, 422)
