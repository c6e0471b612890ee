"""Presigned URLs: which ones are opened, and how they appear in messages."""

from __future__ import annotations

import json

import pytest

import llama_batches_nb as lb
from llama_batches_nb.http.presigned_urls import (
    check_presigned_url,
    describe_url,
    mask_signatures,
)

CLOUD = "https://api.cloud.llamaindex.ai"
SANDBOX = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("https://s3.amazonaws.com/bucket/output.md?X-Amz-Signature=ab%2Fc", CLOUD),
        ("https://8.8.8.8/output.md", CLOUD),
        ("http://127.0.0.1:8001/store/1", SANDBOX),
        ("http://localhost:8001/store/1", SANDBOX),
        ("https://10.0.0.7/bucket/output.md", "https://10.0.0.5"),
    ],
)
def test_address_of_a_store_is_accepted(url: str, base_url: str) -> None:
    check_presigned_url(url, base_url)


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("http://s3.amazonaws.com/bucket/output.md?signature=s", CLOUD),
        ("http://127.0.0.1:8000/?signature=s", CLOUD),
        ("http://169.254.169.254/latest/meta-data?signature=s", CLOUD),
        ("https://169.254.169.254/latest/meta-data?signature=s", CLOUD),
        ("https://[::1]/?signature=s", CLOUD),
        ("https://localhost/?signature=s", CLOUD),
        ("http://10.0.0.7/?signature=s", SANDBOX),
        ("file:///etc/passwd?signature=s", SANDBOX),
        ("ftp://example.com/?signature=s", CLOUD),
        ("https://user:password@example.com/?signature=s", CLOUD),
        ("https://2130706433/?signature=s", CLOUD),
        ("https://127.1/?signature=s", CLOUD),
        ("https://0x7f.0x1/?signature=s", CLOUD),
        ("https:///?signature=s", CLOUD),
        ("https://exa mple.com/?signature=s", CLOUD),
        ("https://example.com/\r\nX: y?signature=s", CLOUD),
        ("https://[::1?signature=s", CLOUD),
        ("/relative?signature=s", CLOUD),
        ("", CLOUD),
    ],
)
def test_other_address_is_refused_without_showing_its_signature(url: str, base_url: str) -> None:
    with pytest.raises(lb.ResponseError, match="not opened") as caught:
        check_presigned_url(url, base_url)
    assert "signature" not in str(caught.value)
    assert "password" not in str(caught.value)


def test_description_leaves_out_path_and_query() -> None:
    assert describe_url("https://user:pw@host:443/a/b?signature=s") == "https://host/…"


S3 = "https://bucket.s3.amazonaws.com/a?X-Amz-Expires=9&X-Amz-Signature="


@pytest.mark.parametrize(
    "start", [S3, "https://a.blob.core.windows.net/b?sv=2024&sig=", "http://127.0.0.1/c?signature="]
)
def test_signature_is_masked_in_text_and_json(start: str) -> None:
    text = f"cannot read {start}pl4nt/ed%2F&x=1 or '{start}pl4nted'."
    assert mask_signatures(text) == f"cannot read {start}***&x=1 or '{start}***'."
    for written in (json.dumps({"a": text}), json.dumps({"a": text}).replace("/", "\\/")):
        for escaped in (written, written.replace("&", "\\u0026")):
            found = json.loads(mask_signatures(escaped.encode()))
            assert found == {"a": mask_signatures(text)}


@pytest.mark.parametrize(
    "text", ["https://example.com/?page=2&design=x", "sig=a&b", "the signature=none of it"]
)
def test_other_text_is_not_masked(text: str) -> None:
    assert mask_signatures(text) == text
