"""Check the webhooks of a new batch by key; no message shows a value, which may be a secret."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from llama_batches_nb.http.hidden import Hidden, raise_unseen
from llama_batches_nb.http.settings import header_secrets
from llama_batches_nb.types import Record

OUTPUT_FORMATS = ("string", "json")
_PREFIX = "webhook_"


def parse_hidden_webhooks(hidden: Hidden[Any]) -> Hidden[list[Record]]:
    """Return webhooks as the API takes them, or raise an error that leads to no secret."""

    def parse() -> Hidden[list[Record]]:
        webhooks = parse_webhooks(hidden.reveal())
        return Hidden(webhooks, [text for webhook in webhooks for text in _secrets(webhook)])

    return raise_unseen(parse, TypeError, ValueError)


def _secrets(webhook: Record) -> list[str]:
    """Return what no message shows, although the server may quote it: URLs have tokens, too."""
    texts = [webhook["webhook_url"], webhook.get("webhook_signing_secret") or ""]
    return texts + header_secrets(webhook.get("webhook_headers") or {})


def parse_webhooks(value: Iterable[Mapping[str, object]]) -> list[Record]:
    """Return webhooks as the API takes them, or raise."""
    name = "webhook_configurations"
    if not isinstance(value, Iterable) or isinstance(value, Mapping | str | bytes):
        raise TypeError(f"{name} must be a list of dicts, not {_type(value)}.")
    return [_parse_webhook(f"{name}[{n}]", item) for n, item in enumerate(value)]


def _parse_webhook(where: str, item: object) -> Record:
    if not isinstance(item, Mapping):
        raise TypeError(f"{where} must be a dict, not {_type(item)}.")
    for key in item:
        if key not in _CHECKS:
            raise ValueError(
                f"{where} has the unknown key {key!r:.80}.{_hint(key)} Allowed keys: "
                f"{', '.join(_CHECKS)}."
            )
    if item.get("webhook_url") is None:
        raise ValueError(f"{where} has no webhook_url: add the URL that gets the events.")
    return {
        key: check(f"{where}[{key!r}]", item[key]) if item[key] is not None else None
        for key, check in _CHECKS.items()
        if key in item
    }


def _check_url(where: str, value: object) -> str:
    url = _check_text(where, value)
    if not url.lower().startswith(("https://", "http://")):
        raise ValueError(f"{where} must be a URL that starts with https:// or http://.")
    return url


def _check_events(where: str, value: object) -> list[str]:
    if not isinstance(value, Iterable) or isinstance(value, Mapping | str | bytes):
        raise TypeError(
            f"{where} must be a list of events, like ['batch.success', 'batch.error'], not "
            f"{_type(value)}."
        )
    events = [_check_text(f"{where}[{n}]", event) for n, event in enumerate(value)]
    if not events:
        raise ValueError(f"{where} is empty: omit it for all events, or name some.")
    return events


def _check_headers(where: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} must be a dict of names and values, not {_type(value)}.")
    for name, text in value.items():
        if not isinstance(name, str):
            raise TypeError(f"{where} must have text as names, not {_type(name)}.")
        if not isinstance(text, str):
            raise TypeError(f"{where}[{name!r:.80}] must be text, not {_type(text)}.")
    return dict(value)


def _check_format(where: str, value: object) -> str:
    text = _check_text(where, value)
    if text not in OUTPUT_FORMATS:
        raise ValueError(f"{where} must be {' or '.join(map(repr, OUTPUT_FORMATS))}.")
    return text


def _check_text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} must be text, not {_type(value)}.")
    if not value.strip():
        raise ValueError(f"{where} is empty.")
    return value


_CHECKS = {
    "webhook_url": _check_url,
    "webhook_events": _check_events,
    "webhook_headers": _check_headers,
    "webhook_output_format": _check_format,
    "webhook_signing_secret": _check_text,
}


def _hint(key: object) -> str:
    """Return the allowed key that is most like this one, compared without the prefix first."""
    if not isinstance(key, str):
        return ""
    text = key.casefold()
    short = {name.removeprefix(_PREFIX): name for name in _CHECKS}
    close = difflib.get_close_matches(text.removeprefix(_PREFIX), short, n=1)
    found = [short[name] for name in close] or difflib.get_close_matches(text, _CHECKS, n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


def _type(value: object) -> str:
    return type(value).__name__
