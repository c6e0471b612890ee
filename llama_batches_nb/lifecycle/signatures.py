"""Check that a webhook was sent by the service."""

from __future__ import annotations

import hashlib
import hmac
import re

_SIGNATURE = re.compile(r"sha256=([0-9a-fA-F]{64})", re.ASCII)


def verify_webhook(body: bytes | str, signature: str | bytes | None, secret: str | bytes) -> bool:
    """Return whether a webhook's signature matches its body.

    Parameters
    ----------
    body
        Body of the request exactly as received, before it is parsed; text is taken as UTF-8.
    signature
        Value of the header ``LC-Signature``: ``sha256=`` and the HMAC-SHA256 of the body in
        hexadecimal. None, if the request has no such header, never matches.
    secret
        The ``webhook_signing_secret`` of the webhook.

    Returns
    -------
    bool
        True if the sender knows the secret. Refuse the request otherwise, for example with status
        401. The comparison takes the same time wherever signatures differ.

    Raises
    ------
    ValueError
        If the secret is empty: everybody could sign with it.
    TypeError
        If an argument has another type. A body that was parsed as JSON cannot be checked.

    Notes
    -----
    A valid request can be sent again by who has recorded it, and deliveries repeat and come in any
    order: use the ``event_id`` of the body to skip known ones, and let an event only cause a sync,
    which reads the current state from the API.

    Examples
    --------
    >>> import llama_batches_nb as lb
    >>> import hashlib, hmac
    >>> body = b'{"event_type": "batch.success"}'
    >>> signature = "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    >>> lb.verify_webhook(body, signature, "secret"), lb.verify_webhook(body, signature, "other")
    (True, False)
    """
    content, key = _to_bytes("body", body), _to_bytes("secret", secret)
    if not key:
        raise ValueError("secret is empty: pass the webhook_signing_secret of the webhook.")
    if signature is None:
        return False
    sent = _SIGNATURE.fullmatch(_to_bytes("signature", signature).decode("latin-1").strip())
    expected = hmac.new(key, content, hashlib.sha256).hexdigest()
    return sent is not None and hmac.compare_digest(sent[1].lower(), expected)


def _to_bytes(name: str, value: object) -> bytes:
    """Return text or bytes as bytes; no message shows the value."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    hint = " Pass the raw body of the request." if name == "body" else ""
    raise TypeError(f"{name} must be bytes or text, not {type(value).__name__}.{hint}")
