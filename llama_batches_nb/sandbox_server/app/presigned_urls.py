"""Presigned URLs: links to stored content that need no API key and expire."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from llama_batches_nb.sandbox_server.state.clock import SECOND

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState

PREFIX = "/storage/"  # of the paths that need no API key
SOURCE = "source"  # name of the uploaded bytes of a stored file


def presign(state: SandboxState, base_url: str, id_: str, name: str) -> str:
    """Return a URL of a stored output of a job, or of the source of a stored file.

    It expires after the option `url_lifetime`.
    """
    expires = expiry(state) // SECOND
    path = f"{PREFIX}{id_}/{name}"
    query = {"expires": expires, "signature": _signature(state, path, expires)}
    return f"{base_url.rstrip('/')}{path}?{urlencode(query)}"


def expiry(state: SandboxState) -> int:
    """Return when a URL expires that is signed now."""
    return (state.clock.now() // SECOND + int(state.options.url_lifetime)) * SECOND


def find_problem(state: SandboxState, path: str, expires: int, signature: str) -> str | None:
    """Return why a URL gives no access, or None if it does."""
    if not hmac.compare_digest(signature.encode(), _signature(state, path, expires).encode()):
        return "SignatureDoesNotMatch"
    is_expired = state.clock.now() // SECOND >= expires
    return "Request has expired" if is_expired else None


def _signature(state: SandboxState, path: str, expires: int) -> str:
    key = f"{state.options.api_key} {state.seed}".encode()
    return hmac.new(key, f"{path} {expires}".encode(), hashlib.sha256).hexdigest()
