"""Detect requests to other hosts and errors in pages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from playwright.sync_api import BrowserContext, ConsoleMessage, Route, WebError, WebSocketRoute

OUTSIDE = re.compile(r"(?:https?|wss?)://(?!(?:127\.0\.0\.1|localhost|\[::1\])(?:[:/?#]|$))")
# from ipywidgets without a kernel; from Jupyter Notebook at its start; from a timer of JupyterLab
# that removes its splash screen twice
KNOWN = re.compile(
    r"null \(reading 'kernel'\)\n.*/@jupyter-widgets/jupyterlab-manager/"
    r"|undefined \(reading 'schema'\)\n.*/static/notebook/notebook_core"
    r"|'removeChild' on 'Node': .*\n.*/static/lab/jlab_core.*\Z"
)


@dataclass
class Watch:
    """Requests and errors in the pages of a test.

    Requests to other hosts are blocked and recorded, and so are uncaught script errors; at the end
    of the test either is a failure. A test that provokes them removes them from the lists.
    """

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)  # console errors: reported, but no failure

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
