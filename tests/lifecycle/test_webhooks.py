"""Webhooks are checked by key before any request, and no message shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

import llama_batches_nb as lb
from llama_batches_nb.lifecycle.webhooks import parse_webhooks
from llama_batches_nb.types import Record
from tests.conftest import Serve
from tests.fake_api import FakeApi

SECRET = "s3cr3t-value"
URL = "https://hooks.test/in"


def test_all_documented_keys_are_sent_as_they_are(serve: Serve) -> None:
    api = FakeApi({"dir-1": 2})
    serve(api)
    webhook = {
        "webhook_url": URL,
        "webhook_events": ["batch.success", "event.of.tomorrow"],
        "webhook_headers": {"Authorization": SECRET},
        "webhook_output_format": "json",
        "webhook_signing_secret": SECRET,
    }
    lb.create_batch("dir-1", "cfg-1", webhook_configurations=(each for each in [webhook]))
    assert api.create_bodies[0]["webhook_configurations"] == [webhook]


def test_null_is_sent_as_null_and_a_tuple_of_events_as_a_list() -> None:
    webhook = {"webhook_url": URL, "webhook_events": ("batch.error",), "webhook_headers": None}
    assert parse_webhooks([webhook]) == [{**webhook, "webhook_events": ["batch.error"]}]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("url", "webhook_url"),
        ("webhook_ulr", "webhook_url"),
        ("webhookUrl", "webhook_url"),
        ("events", "webhook_events"),
        ("webhook_event", "webhook_events"),
        ("header", "webhook_headers"),
        ("format", "webhook_output_format"),
        ("Webhook_Signing_Secret", "webhook_signing_secret"),
        ("secret", "webhook_signing_secret"),
    ],
)
def test_unknown_key_is_named_with_the_allowed_ones(key: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"unknown key '{key}'") as caught:
        parse_webhooks([{"webhook_url": URL}, {"webhook_url": URL, key: SECRET}])
    message = str(caught.value)
    assert message.startswith("webhook_configurations[1]")
    assert f"Did you mean '{meant}'?" in message
    assert "Allowed keys: webhook_url, webhook_events, webhook_headers, " in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("webhooks", "error", "message"),
    [
        ({"webhook_url": SECRET}, TypeError, "must be a list of dicts, not dict"),
        (SECRET, TypeError, "must be a list of dicts, not str"),
        ([SECRET], TypeError, r"\[0\] must be a dict, not str"),
        ([[SECRET]], TypeError, r"\[0\] must be a dict, not list"),
        ([{"retries": SECRET}], ValueError, r"key 'retries'\. Allowed keys"),
        ([{5: SECRET}], ValueError, r"key 5\. Allowed keys"),
        ([{"webhook_signing_secret": SECRET}], ValueError, "has no webhook_url"),
        ([{"webhook_url": None}], ValueError, "has no webhook_url"),
        ([{"webhook_url": [SECRET]}], TypeError, r"\['webhook_url'\] must be text, not list"),
        ([{"webhook_url": float("nan")}], TypeError, "must be text, not float"),
        ([{"webhook_url": " "}], ValueError, "is empty"),
        ([{"webhook_url": f"hooks.test?key={SECRET}"}], ValueError, "starts with https://"),
    ],
)
def test_invalid_webhooks_are_refused(webhooks: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse_webhooks(webhooks)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"webhook_events": SECRET}, TypeError, "must be a list of events"),
        ({"webhook_events": {SECRET: 1}}, TypeError, "must be a list of events"),
        ({"webhook_events": [5]}, TypeError, r"\[0\] must be text, not int"),
        ({"webhook_events": []}, ValueError, "omit it for all events"),
        ({"webhook_headers": [SECRET]}, TypeError, "dict of names and values, not list"),
        ({"webhook_headers": {"X-Key": [SECRET]}}, TypeError, r"\['X-Key'\] must be text"),
        ({"webhook_headers": {5: SECRET}}, TypeError, "text as names, not int"),
        ({"webhook_output_format": SECRET}, ValueError, "must be 'string' or 'json'"),
        ({"webhook_output_format": True}, TypeError, "must be text, not bool"),
        ({"webhook_signing_secret": SECRET.encode()}, TypeError, "must be text, not bytes"),
        ({"webhook_signing_secret": ""}, ValueError, "is empty"),
    ],
)
def test_invalid_values_are_refused_without_showing_them(
    fields: Record, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        parse_webhooks([{"webhook_url": URL, **fields}])
    assert SECRET not in str(caught.value)
