"""Parse request bodies strictly: standard JSON only, and forms with a limited number of parts."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

MAX_PARTS = 16  # files of a form, and as many other fields
FORM_LIMIT_ERROR = re.compile(r"Too many|(Part|Field) exceeded")  # Starlette's error messages


class RequestModel(BaseModel):
    """A request body. Unknown keys are an error."""

    model_config = ConfigDict(extra="forbid")


def is_encodable(value: Any) -> bool:
    """Return whether JSON can contain a value, unlike NaN, infinities and lone surrogates."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


class StrictRequest(Request):
    """A request whose body is parsed strictly."""

    async def json(self) -> Any:
        """Parse JSON without NaN, infinities and lone surrogates."""
        text = (await self.body()).decode()

        def reject(token: str) -> Any:
            raise json.JSONDecodeError(f"{token} is not valid JSON", text, 0)

        value = json.loads(text, parse_constant=reject)
        if not is_encodable(value):
            reject("A lone surrogate or an infinite number")
        return value

    def form(self, **limits: Any) -> Any:
        """Parse a form with a limited number of parts."""
        return super().form(**limits | {"max_files": MAX_PARTS, "max_fields": MAX_PARTS})


class StrictRoute(APIRoute):
    """A route that parses its requests strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            try:
                return await handle(StrictRequest(request.scope, request.receive))
            except HTTPException as error:
                if isinstance(error.detail, str) and FORM_LIMIT_ERROR.match(error.detail):
                    error.status_code = 413
                raise

        return handle_strictly
