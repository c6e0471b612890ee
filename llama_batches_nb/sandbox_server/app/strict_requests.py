"""How bodies are read: only what is JSON by its standard, and forms of a few parts."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from llama_batches_nb.sandbox_server.app.serializers import encode

MAX_PARTS = 16  # files of a form, and other fields
TOO_MUCH = re.compile(r"Too many|(Part|Field) exceeded")  # Starlette tells it by words alone


def is_encodable(value: Any) -> bool:
    """Say whether an answer could hold a value, which halves of surrogate pairs prevent."""
    try:
        encode(value)
    except UnicodeEncodeError:
        return False
    return True


class StrictRequest(Request):
    """A request whose body is read strictly."""

    async def json(self) -> Any:
        """Read JSON; NaN and halves of surrogate pairs are none."""
        text = (await self.body()).decode()

        def refuse(word: str) -> Any:
            raise json.JSONDecodeError(f"{word} is not JSON", text, 0)

        value = json.loads(text, parse_constant=refuse)
        if not is_encodable(value):
            refuse("Half a surrogate pair")
        return value

    def form(self, **limits: Any) -> Any:
        """Read a form of a few parts."""
        return super().form(**limits | {"max_files": MAX_PARTS, "max_fields": MAX_PARTS})


class Route(APIRoute):
    """A route whose requests are read strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def answer_strictly(request: Request) -> Response:
            try:
                return await answer(StrictRequest(request.scope, request.receive))
            except HTTPException as error:
                if TOO_MUCH.match(error.detail):
                    error.status_code = 413
                raise

        return answer_strictly
