"""Error responses: one format for all, and their documentation."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from llama_batches_nb.sandbox_server.app.dependencies import json_response
from llama_batches_nb.sandbox_server.app.response_models import ErrorResponse, ValidationErrors

ResponseDocs = dict[int | str, dict[str, Any]]

BEARER = HTTPBearer(auto_error=False)  # documentation only: AccessMiddleware checks the API key

ERROR_DESCRIPTIONS = {
    400: "Malformed request or invalid page token",
    401: "Missing or invalid API key",
    402: "Monthly usage limit reached (option usage_limit)",
    403: "Not included in the plan (option plan)",
    404: "Resource not found",
    409: "The resource already exists, or the batch has already ended",
    413: "The body is too large or has too many parts",
    422: "Invalid parameters or fields",
    429: "Rate limit exceeded (options rate_limit and throttle_rate)",
    500: "Injected fault (option error_rate)",
    502: "Injected fault after the request was processed (option error_rate)",
    503: "Injected fault (option error_rate)",
}
COMMON_STATUSES = (400, 401, 402, 403, 404, 422, 429, 500, 502, 503)


def error_docs(*statuses: int) -> ResponseDocs:
    """Return the documentation of error responses."""
    contents: ResponseDocs = {
        422: {"model": ValidationErrors},
        502: {"content": {"text/html": {}}},
    }
    return {
        status: {
            "description": ERROR_DESCRIPTIONS[status],
            **contents.get(status, {"model": ErrorResponse}),
        }
        for status in statuses
    }


def add_error_handlers(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Make an application send all errors in the format of the API."""
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]

    @app.exception_handler(HTTPException)
    async def handle_http_exception(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:  # the router lists only the methods of one route of the path
            matching = (route for route in routes if route.matches(request.scope)[0] != Match.NONE)
            path = next(matching).path
            methods = {m for route in routes if route.path == path for m in route.methods or ()}
            headers["Allow"] = ", ".join(sorted(methods))
        detail: object = error.detail
        if request.app.state.sandbox.options.object_details and not isinstance(detail, dict):
            detail = {"message": detail, "status_code": error.status_code}
        return json_response({"detail": detail}, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
        items = [{name: item[name] for name in ("loc", "msg", "type")} for item in error.errors()]
        return json_response({"detail": items}, 422)
