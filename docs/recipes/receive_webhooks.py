"""Keep a dataset current: sync it when the service reports an event of a batch or a job.

Run it behind a server with TLS, and create batches with its public URL::

    WEBHOOK_SECRET=… LLAMA_CLOUD_API_KEY=… python receive_webhooks.py

    lb.create_batch(directory, "cfg-…", webhook_configurations=[
        {"webhook_url": "https://…", "webhook_signing_secret": "…"}])
"""

import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import llama_batches_nb as lb

SECRET = os.environ["WEBHOOK_SECRET"]
DATASET = os.environ.get("DATASET", "history")
MAX_BODY = 1_000_000  # bytes
event_received = threading.Event()


class Receiver(BaseHTTPRequestHandler):
    """Confirm signed events at once, since the service repeats what takes longer."""

    def do_POST(self) -> None:
        """Check the signature; refuse what others send."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), MAX_BODY))
        is_valid = lb.verify_webhook(body, self.headers.get("LC-Signature"), SECRET)
        self.send_response(204 if is_valid else 401)
        self.end_headers()
        if is_valid:
            event_received.set()


def sync_after_events() -> None:
    """Sync once for all events that arrived during the last sync."""
    while event_received.wait():
        event_received.clear()
        try:
            logging.info("%s", lb.sync_dataset(DATASET, jobs=True, progress=False))
        except lb.BatchesError as error:
            logging.warning("Sync failed; the next event repeats it: %s", error)


logging.basicConfig(level=logging.INFO)
threading.Thread(target=sync_after_events, daemon=True).start()
address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
ThreadingHTTPServer(address, Receiver).serve_forever()
