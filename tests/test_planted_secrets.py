"""Secrets other than the key appear in no error, log or captured frame, and in nothing written."""

from __future__ import annotations

import base64
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import ipywidgets.embed
import pytest

import llama_batches_nb as lb
from llama_batches_nb.http import transport
from llama_batches_nb.http.client import get_client
from llama_batches_nb.lifecycle import lost_response
from tests.conftest import Serve
from tests.servers import Request, Response, batch, page

SECRET = "Pl4nt3d-6f1c0e9b27d4"
PACKAGES = ("llama_batches_nb", "requests", "urllib3", "http", "json")


def _forms(text: str) -> list[str]:
    encoded = [base64.b64encode(text.encode())[:12].decode()]
    return [text, quote(text, safe=""), json.dumps(text)[1:-1], *encoded]


def _texts_of_frames(frames: Iterator[FrameType] | list[FrameType]) -> Iterator[str]:
    """Yield the locals of frames of the packages, as `repr` and as JSON."""
    for frame in frames:
        if frame.f_globals.get("__name__", "").startswith(PACKAGES):
            values = dict(frame.f_locals)
            yield f"{frame.f_code.co_qualname}: {values!r}"
            for name, value in values.items():
                text = json.dumps(value, default=repr, skipkeys=True)
                yield f"{frame.f_code.co_qualname}, {name}: {text}"


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


class FrameLogger(logging.Handler):
    """A handler that keeps each record with the locals of the whole stack."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.texts += _texts_of_frames(_stack(sys._getframe()))


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setattr(transport, "FIRST_BACKOFF", 0.01)
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0,))
    handler, root = FrameLogger(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.texts
    root.removeHandler(handler)
    root.setLevel(level)


def _texts_of_error(error: BaseException) -> Iterator[str]:
    seen: BaseException | None = error
    while seen is not None:
        yield "".join(traceback.format_exception_only(seen))
        yield repr(vars(seen))
        yield from _texts_of_frames([frame for frame, _ in traceback.walk_tb(seen.__traceback__)])
        seen = seen.__cause__ or seen.__context__


def _check(texts: list[str], *planted: str) -> None:
    assert texts
    for text in texts:
        assert not [form for secret in planted for form in _forms(secret) if form in text], text


WEBHOOK = {
    "webhook_url": f"https://hooks.test/{SECRET}?token={SECRET}",
    "webhook_headers": {"Authorization": f"Bearer {SECRET}"},
    "webhook_signing_secret": f'{SECRET}"/\\',
}


def _rejects(request: Request) -> Any:
    text = request.body.decode()
    return Response({"detail": [{"loc": ["body", text], "msg": f"bad: {text} or {SECRET}"}]}, 422)


ANSWERS: dict[str, Callable[[Request], Any]] = {
    "rejected": _rejects,
    "failed": lambda request: Response({"detail": request.body.decode()}, 500),
    "lost": lambda request: Response(drop=True),
    "no batch": lambda request: request.json,
    "created": lambda request: batch("bat-1"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_webhook_secrets_are_shown_nowhere(serve: Serve, logged: list[str], answer: str) -> None:
    server = serve(lambda r: ANSWERS[answer](r) if r.method == "POST" else page([]))
    try:
        lb.create_batch(
            "dir-1",
            "cfg-1",
            webhook_configurations=[WEBHOOK],
            check_directory=False,
            check_configuration=False,
        )
    except lb.BatchesError as error:
        logged += _texts_of_error(error)
    else:
        assert answer == "created"
    sent = next(request.json for request in server.requests if request.method == "POST")
    assert sent["webhook_configurations"] == [WEBHOOK]
    _check(logged, SECRET)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook_signing_secret": [SECRET]},
        {"webhook_headers": [SECRET]},
        {"webhook_headers": {"X": SECRET.encode()}},
        {"webhook_url": SECRET},
        {"webhook_output_format": SECRET},
    ],
    ids=str,
)
def test_webhook_secrets_are_in_no_error_of_a_check(change: dict[str, Any]) -> None:
    lb.connect("llx-key")
    with pytest.raises((ValueError, TypeError), match=r"webhook_configurations\[0\]") as caught:
        lb.create_batch("dir-1", "cfg-1", webhook_configurations=[{**WEBHOOK, **change}])
    _check(list(_texts_of_error(caught.value)), SECRET)


def test_custom_headers_are_shown_nowhere(serve: Serve, logged: list[str]) -> None:
    echo = {"X-Token": SECRET, "Usage-Tags": f"team:{SECRET}"}
    serve(lambda r: Response({"detail": str(r.headers)}, 403), headers=echo)
    logged.append(repr(get_client()))
    with pytest.raises(lb.AuthenticationError) as caught:
        lb.fetch_batches()
    _check([*logged, *_texts_of_error(caught.value)], SECRET)


PROXY_PASSWORDS = [
    SECRET,
    f"{SECRET}@x",
    f"{SECRET}/x",
    f"{SECRET} x",
    f"{SECRET}:x#",
    f"{SECRET}?[",
]


@pytest.mark.parametrize("password", PROXY_PASSWORDS)
@pytest.mark.parametrize("is_quoted", [True, False])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h", "odd", ""])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_proxy_password_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
    logged: list[str],
    password: str,
    is_quoted: bool,
    scheme: str,
    variable: str,
) -> None:
    written = quote(password, safe="") if is_quoted else password
    monkeypatch.setenv(variable, f"{scheme}://me:{written}@127.0.0.1:9".removeprefix("://"))
    with (
        lb.connect("llx-key", base_url="https://api.test", max_retries=0, timeout=1) as client,
        pytest.raises(lb.ConnectionFailedError) as caught,
    ):
        lb.fetch_batches(client=client)
    logged += [repr(client), *_texts_of_error(caught.value)]
    _check(logged, password, SECRET, f"me:{password}")


def test_user_info_of_base_url_is_shown_nowhere() -> None:
    with pytest.raises(ValueError, match="user name or password") as caught:
        lb.connect("llx-key", base_url=f"https://me:{SECRET}@api.test")
    _check(list(_texts_of_error(caught.value)), SECRET)


@pytest.mark.parametrize("how", ["argument", "variable", "no text"])
def test_key_is_in_no_frame_of_connect(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    bad: Any = f"{SECRET} {SECRET}" if how != "no text" else [SECRET]
    if how == "variable":
        monkeypatch.setenv("LLAMA_CLOUD_API_KEY", bad)
    with pytest.raises((lb.AuthenticationError, TypeError)) as caught:
        lb.connect(None if how == "variable" else bad, headers={"X-A": SECRET})
    _check(list(_texts_of_error(caught.value)), SECRET)


def test_nothing_secret_is_in_a_dataset_report_or_saved_panel(
    sandbox_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@127.0.0.1:9")
    headers = {"X-Token": SECRET}
    with lb.connect(sandbox_server.api_key, base_url=sandbox_server.url, headers=headers):
        lb.sync_dataset(tmp_path / "kept", progress=False)
        results = lb.fetch_results(limit=3, progress=False)
        lb.export_parquet(results, tmp_path / "results.parquet")
        lb.write_report(tmp_path / "kept", tmp_path / "report.html")
        panels = [lb.filter_panel(limit=3), lb.dashboard(), lb.create_panel()]
        for panel in panels:
            panel.wait(60)
            logged.append(json.dumps(panel._repr_mimebundle_(), default=repr))
            logged.append(json.dumps(ipywidgets.embed.embed_data([panel]), default=repr))
            panel.close()
    written = [f.read_bytes().decode("latin-1") for f in tmp_path.rglob("*") if f.is_file()]
    _check([*written, *logged], SECRET, sandbox_server.api_key)
