"""What a page must not do: reach beyond this machine, or stumble."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from playwright.sync_api import BrowserContext, ConsoleMessage, Route, WebError, WebSocketRoute

OUTSIDE = re.compile(r"(?:https?|wss?)://(?!(?:127\.0\.0\.1|localhost|\[::1\])(?:[:/?#]|$))")
# ipywidgets' own, in a notebook without a kernel; Jupyter Notebook's own, at its start
KNOWN = re.compile(
    r"null \(reading 'kernel'\)\n.*/@jupyter-widgets/jupyterlab-manager/"
    r"|undefined \(reading 'schema'\)\n.*/static/notebook/notebook_core"
)


@dataclass
class Watch:
    """What was seen in the pages of a test.

    A request to anything but loopback is stopped and kept, and an error that no script caught is
    kept; at the end of the test either is a failure. A test that provokes them takes them out.
    """

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)  # its errors: to read, not to fail by

    def over(self, context: BrowserContext) -> None:
        context.route(OUTSIDE, self._stop)
        context.route_web_socket(OUTSIDE, self._close)
        context.on("weberror", self._keep_error)
        context.on("console", self._keep_message)

    def _stop(self, route: Route) -> None:
        self.outside.append(route.request.url)
        route.abort()

    def _close(self, web_socket: WebSocketRoute) -> None:
        self.outside.append(web_socket.url)
        web_socket.close()

    def _keep_error(self, error: WebError) -> None:
        text = error.error.stack or error.error.message
        if not KNOWN.search(text):
            self.errors.append(text)

    def _keep_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console.append(f"{message.text} ({message.location['url']})")

    def check(self) -> None:
        assert not self.outside, f"asked beyond this machine: {self.outside}"
        assert not self.errors, f"errors in the page: {self.errors}; console: {self.console}"
