"""A web server in a separate process: wait until it is ready, read its log, stop it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from llama_batches_nb.sandbox_server.process import Server

START_TIME = 60.0  # seconds in which it must answer
STOP_TIME = 15.0  # seconds to shut down its kernels and exit
ANSWER_TIME = 60.0  # seconds for one response
FOREIGN = re.compile("LLAMA_|JUPYTER|https?_proxy", re.IGNORECASE)  # settings from outside
POLL_INTERVAL = 0.05  # seconds between two readiness checks


class Process:
    """A server on loopback that requires a token."""

    def __init__(
        self, command: list[str], *, port: int, token: str, folder: Path, env: Mapping[str, str]
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._token = token
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the tests only, which then stop it
            )

    def wait_until_it_answers(self, path: str) -> None:
        """Wait until the server answers; stop it if it does not, or if interrupted."""
        try:
            self._wait(path)
        except BaseException:
            self.close()
            raise

    def _wait(self, path: str) -> None:
        deadline = time.monotonic() + START_TIME
        while not self._answers(path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.url}{path} does not answer. Its log:\n{self.log()}")
            time.sleep(POLL_INTERVAL)

    def _answers(self, path: str) -> bool:
        try:
            return self.ask("GET", path)[0] == 200
        except (OSError, HTTPException):
            return False

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Send a request; return the status and the body if it is JSON."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_TIME)
        try:
            connection.request(method, path, headers={"Authorization": f"token {self._token}"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = "json" in response.headers.get("Content-Type", "") and content
        return response.status, json.loads(content) if is_json else None

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def close(self) -> None:
        """Stop the server; its kernels end with it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def kernel_environment(sandbox: Server) -> dict[str, str]:
    """Return environment variables of kernels that connect to a sandbox."""
    ours = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    return {
        **ours,
        "LLAMA_CLOUD_BASE_URL": sandbox.url,
        "LLAMA_CLOUD_API_KEY": sandbox.api_key,
    }
