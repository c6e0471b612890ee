"""Send webhooks: signed events of a batch and its jobs, to loopback URLs only."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from llama_batches_nb.sandbox_server.app import job_serializers
from llama_batches_nb.sandbox_server.app.serializers import encode
from llama_batches_nb.sandbox_server.state.clock import SECOND
from llama_batches_nb.sandbox_server.state.models import TERMINAL_STATUSES
from llama_batches_nb.sandbox_server.state.pages import failed_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llama_batches_nb.sandbox_server.state.models import Batch, BatchStatus, JobStatus
    from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState
    from llama_batches_nb.sandbox_server.state.simulation import Job

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
POLL_INTERVAL = 0.05  # seconds between looks at the simulated clock
MAX_ATTEMPTS = 3  # of a delivery, as documented
RETRY_DELAY = 1.0  # seconds after the first attempt; doubles after each one
TIMEOUT = 4.0  # seconds until the endpoint must respond
MAX_CONCURRENT = 8  # deliveries of one batch
EVENT_NAMESPACE = UUID("a7b0a3a2-54f1-4f0e-9df0-5d4d9a6a1f2e")
END_EVENTS: dict[BatchStatus, str] = {
    "COMPLETED": "success",
    "FAILED": "error",
    "CANCELLED": "cancelled",
}


@dataclass(frozen=True)
class Webhook:
    """An endpoint and the events that it gets; None for all events."""

    url: str
    events: Sequence[str] | None
    headers: dict[str, str]
    output_format: str
    signing_secret: str | None

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine. Others get no events."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS


@dataclass(frozen=True)
class Event:
    """A status change of a batch or of a job, at a simulated time."""

    type: str
    at: int
    data: dict[str, str]

    @property
    def id(self) -> str:
        """Id of the event, the same for each endpoint and attempt."""
        return str(uuid5(EVENT_NAMESPACE, f"{self.type} {self.data['id']}"))


class WebhookSender:
    """Follow batches that have webhooks until all their jobs have ended."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, batch: Batch, webhooks: Sequence[Webhook]) -> None:
        """Send the events of a batch and its jobs from now on."""
        reachable = [webhook for webhook in webhooks if webhook.is_loopback]
        if reachable:
            task = asyncio.create_task(self._follow(batch.number, reachable))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _follow(self, number: int, webhooks: Sequence[Webhook]) -> None:
        sent: set[str] = set()
        finished: set[int] = set()
        slots = asyncio.Semaphore(MAX_CONCURRENT)
        while True:
            now, batch = self._state.clock.now(), self._state.batches[number]
            due = [
                event for event in events(self._state, batch, now, finished) if event.id not in sent
            ]
            sent.update(event.id for event in due)
            deliveries = [
                _deliver(webhook, event, slots)
                for event in due
                for webhook in webhooks
                if webhook.events is None or event.type in webhook.events
            ]
            await asyncio.gather(*deliveries)
            if now > batch.ended + batch.straggler_delay + SECOND:
                return
            await asyncio.sleep(POLL_INTERVAL)


def events(state: SandboxState, batch: Batch, now: int, finished: set[int]) -> Iterator[Event]:
    """Yield the events of a batch and its jobs until a time.

    Jobs whose index is in `finished` are left out; those that have ended are added to it.
    """
    batch_id = state.ids.encode("batch", batch.number)
    data = {"id": batch_id, "batch_id": batch_id}
    yield Event("batch.pending", batch.created, data)
    if batch.started < min(batch.ended, now + 1):
        yield Event("batch.running", batch.started, data)
    if batch.status(now) in TERMINAL_STATUSES:
        yield Event(f"batch.{END_EVENTS[batch.status(now)]}", batch.ended, data)
    thresholds = state.failure_thresholds(batch)
    for index in range(batch.file_count):
        if index not in finished and (job := state.job(batch, index, thresholds, now)):
            yield from _job_events(state, job, now)
            if job.status(now) in TERMINAL_STATUSES:
                finished.add(index)


def _job_events(state: SandboxState, job: Job, now: int) -> Iterator[Event]:
    """Yield the events of a job. Extract jobs have no `running`."""
    product, job_id = job.type.removesuffix("_v2"), job_serializers.job_id(state, job)
    data, status = {"id": job_id, "job_id": job_id}, job.status(now)
    yield Event(f"{product}.pending", job.created, data)
    if product == "parse" and job.started < min(job.ended, now + 1):
        yield Event("parse.running", job.started, data)
    if status in TERMINAL_STATUSES:
        yield Event(f"{product}.{_end_event(state, job, status)}", job.ended, data)


def _end_event(state: SandboxState, job: Job, status: JobStatus) -> str:
    has_failed_pages = job.type == "parse_v2" and failed_pages(job, state.options.failed_pages)
    if status == "COMPLETED" and has_failed_pages:
        return "partial_success"
    return END_EVENTS[status]


async def _deliver(webhook: Webhook, event: Event, slots: asyncio.Semaphore) -> None:
    """Send an event; repeat it if the endpoint does not confirm it with a 2xx status."""
    body, headers = _request(webhook, event)
    delay = RETRY_DELAY
    for attempt in range(1, MAX_ATTEMPTS + 1):
        async with slots:
            if await asyncio.to_thread(_post, webhook.url, body, headers):
                return
        if attempt < MAX_ATTEMPTS:
            await asyncio.sleep(delay)
            delay *= 2


def _request(webhook: Webhook, event: Event) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a delivery."""
    data: Any = event.data if webhook.output_format == "json" else encode(event.data).decode()
    body = encode(
        {
            "event_id": event.id,
            "event_type": event.type,
            "timestamp": event.at / SECOND,
            "data": data,
        }
    )
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "llamaindex-webhook-service/1.0",
        "X-Webhook-Event-ID": event.id,
        "X-Webhook-Event-Type": event.type,
        **webhook.headers,
    }
    if webhook.signing_secret is not None:
        digest = hmac.new(webhook.signing_secret.encode(), body, hashlib.sha256).hexdigest()
        headers["LC-Signature"] = f"sha256={digest}"
    return body, headers


def _post(url: str, body: bytes, headers: dict[str, str]) -> bool:
    """Send a request and return whether the response has a 2xx status."""
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    try:
        connection.request("POST", target, body, headers)
        return 200 <= connection.getresponse().status < 300
    except (OSError, OverflowError, http.client.HTTPException):  # or a port above 65535
        return False
    finally:
        connection.close()
