"""Signatures of webhooks are checked, and the recipe for a receiver keeps a dataset current."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.sandbox_server.process import Server as SandboxServer
from tests.servers import Response, Server

RECIPE = Path(__file__).parents[2] / "docs/recipes/receive_webhooks.py"
SECRET = "whsec-ä1"
MAX_WAIT = 60.0  # seconds, for a loaded machine


def _sign(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + MAX_WAIT
    while not condition():
        assert time.monotonic() < until, "the condition did not become true"
        time.sleep(0.05)


@given(st.binary(), st.text(min_size=1).filter(lambda s: s.isprintable()), st.binary(min_size=1))
def test_only_the_signature_of_this_body_and_secret_matches(
    body: bytes, secret: str, added: bytes
) -> None:
    signature = _sign(body, secret)
    assert lb.verify_webhook(body, signature, secret)
    assert lb.verify_webhook(body, signature.encode(), secret.encode())
    assert not lb.verify_webhook(body + added, signature, secret)
    assert not lb.verify_webhook(body, signature, secret + "x")


def test_text_is_utf_8_and_hexadecimal_digits_may_be_upper_case() -> None:
    signature = _sign("größe".encode())
    assert lb.verify_webhook("größe", signature, SECRET)
    assert lb.verify_webhook("größe", f" sha256={signature[7:].upper()} ", SECRET)


@pytest.mark.parametrize(
    "signature",
    [None, "", "sha256=", "sha256=é", "sha1=" + "0" * 40, "sha256=" + "0" * 63, "0" * 64, b"\xff"],
)
def test_missing_or_malformed_signature_does_not_match(signature: Any) -> None:
    assert not lb.verify_webhook(b"{}", signature, SECRET)


def test_signature_without_its_prefix_does_not_match() -> None:
    assert not lb.verify_webhook(b"{}", _sign(b"{}").removeprefix("sha256="), SECRET)
    assert not lb.verify_webhook(b"{}", _sign(b"{}") + ", " + _sign(b"{}"), SECRET)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ({"event_type": SECRET}, "", SECRET),
            TypeError,
            "body must be .*, not dict. Pass the raw",
        ),
        ((b"", 3, SECRET), TypeError, "signature must be bytes or text, not int"),
        ((b"", "", None), TypeError, "secret must be bytes or text, not NoneType"),
        ((b"", "", ""), ValueError, "secret is empty"),
    ],
)
def test_other_arguments_raise_without_their_values(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        lb.verify_webhook(*arguments)
    assert SECRET not in str(caught.value)


def _create_batch(folder: Path, url: str, **webhook: Any) -> str:
    (folder / "a.txt").write_text("text")
    settings = {"webhook_url": url, "webhook_signing_secret": SECRET, **webhook}
    batch = lb.upload_files(folder / "a.txt").pipe(
        lb.create_batch, "cfg-PARSE_AGENTIC", webhook_configurations=[settings]
    )
    return str(batch.batch_id[0])


@pytest.mark.parametrize("output_format", ["string", "json"])
def test_deliveries_of_the_sandbox_match(
    on_sandbox: lb.Client, tmp_path: Path, output_format: str
) -> None:
    with Server(lambda _: Response(status=204, raw=b"")) as endpoint:
        _create_batch(tmp_path, endpoint.url, webhook_output_format=output_format)
        _wait_for(lambda: endpoint.requests)
        request = endpoint.requests[0]
    signature = {k.lower(): v for k, v in request.headers.items()}["lc-signature"]
    assert lb.verify_webhook(request.body, signature, SECRET)
    assert not lb.verify_webhook(request.body, signature, "other")
    assert not lb.verify_webhook(request.body.replace(b"{", b"{ ", 1), signature, SECRET)


def test_recipe_syncs_after_signed_events_only(
    sandbox_server: SandboxServer, on_sandbox: lb.Client, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "LLAMA_CLOUD_API_KEY": sandbox_server.api_key,
        "LLAMA_CLOUD_BASE_URL": sandbox_server.url,
        "WEBHOOK_SECRET": SECRET,
        "DATASET": str(tmp_path / "history"),
        "PORT": str(port),
    }
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "error", str(RECIPE)]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_for(lambda: _post(url, b"{}", None) == 401)
        assert _post(url, b"{}", _sign(b"{}", "other")) == 401
        assert not (tmp_path / "history").exists()
        batch_id = _create_batch(tmp_path, url)
        _wait_for(lambda: _status(tmp_path / "history", batch_id) == "COMPLETED")
    finally:
        process.kill()
        output = process.communicate()[0]
    assert "Traceback" not in output


def _post(url: str, body: bytes, signature: str | None) -> int | None:
    headers = {} if signature is None else {"LC-Signature": signature}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:  # it does not listen yet
        return None


def _status(dataset: Path, batch_id: str) -> str | None:
    try:
        batches = lb.read_dataset(dataset, "batches").set_index("batch_id")
    except (FileNotFoundError, lb.DatasetError):  # no sync has ended yet
        return None
    return str(batches.status.get(batch_id))
