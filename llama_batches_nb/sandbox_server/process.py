"""Start and stop a sandbox in a thread or in a separate process."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self
from urllib.parse import urlsplit

from llama_batches_nb.sandbox_server.cli import API_KEY_VARIABLE, format_arguments, require_extra

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.options import Options

START_TIMEOUT = 60.0  # seconds until the server must be ready
STOP_TIMEOUT = 5.0  # seconds until the process is killed
ADVANCE_TIMEOUT = 10.0  # seconds
SCRIPT = str(Path(__file__).with_name("__main__.py"))
SERVICE_VARIABLE_PREFIXES = ("LLAMA_CLOUD_", "LLAMA_PARSE_")


class _RunningServer(Protocol):
    """A server in a thread or in a process."""

    url: str

    def close(self) -> None: ...


class Server:
    """A running sandbox.

    Attributes
    ----------
    url : str
        Base URL, such as `http://127.0.0.1:8765`.
    api_key : str
        API key that requests must send as a bearer token.

    Examples
    --------
    >>> from llama_batches_nb.sandbox_server.options import Options
    >>> with Server.start(Options(batches=10, speed=0), thread=True) as server:
    ...     server.advance(60)
    """

    def __init__(self, running: _RunningServer, api_key: str) -> None:
        self.url = running.url
        self.api_key = api_key
        self._running = running

    @classmethod
    def start(cls, options: Options, *, thread: bool = False) -> Server:
        """Start a sandbox and wait until it accepts requests.

        Parameters
        ----------
        options : Options
            Options of the sandbox.
        thread : bool
            Run it in a thread of this process instead of a separate process.

        Raises
        ------
        ImportError
            If `llama_batches_nb[sandbox]` is not installed.
        RuntimeError
            If it does not start, for example because the port is in use. The message contains the
            error output of the process.
        """
        require_extra()
        running = _ThreadServer(options) if thread else _ProcessServer(options)
        return cls(running, options.api_key)

    def advance(self, seconds: float) -> None:
        """Move the simulated clock forward."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=ADVANCE_TIMEOUT)
        headers = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"}
        try:
            connection.request(
                "POST", "/sandbox/advance", json.dumps({"seconds": seconds}), headers
            )
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise ValueError(f"Cannot advance by {seconds!r} s: {response.read().decode()}")
        finally:
            connection.close()

    def close(self) -> None:
        """Stop the server. Further calls do nothing."""
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {self.url}>"


class _ThreadServer:
    """The server in a daemon thread."""

    def __init__(self, options: Options) -> None:
        from llama_batches_nb.sandbox_server.app.server import (  # needs the extra
            HOST,
            create_server,
            listen,
        )

        try:
            listening_socket = listen(options.port)
        except OSError as error:
            raise RuntimeError(
                f"Cannot listen on {HOST}:{options.port}: {error.strerror}"
            ) from error
        self.url = f"http://{HOST}:{listening_socket.getsockname()[1]}"
        ready = threading.Event()
        self._server = create_server(options, ready.set)
        self._thread = threading.Thread(
            target=self._server.run, args=([listening_socket],), name="sandbox", daemon=True
        )
        self._thread.start()
        try:
            if not ready.wait(START_TIMEOUT):
                raise RuntimeError(f"The sandbox did not start within {START_TIMEOUT:g} s")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT)


class _ProcessServer:
    """The server in a process that exits with this one, because its stdin closes then.

    The process has its own session, so Ctrl-C in a terminal and interrupts from Jupyter do not
    reach it.
    """

    def __init__(self, options: Options) -> None:
        with tempfile.TemporaryFile() as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [sys.executable, "-P", SCRIPT, "--until-stdin-closes", *format_arguments(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(options.api_key),
                start_new_session=True,
            )
            try:
                line = self._read_first_line()
            except BaseException:  # such as Ctrl-C, which does not reach the process
                self._process.kill()
                self.close()
                raise
            match = re.match(rb"Sandbox at (\S+) ", line)
            if match is None:
                self.close()
                stderr.seek(0)
                output = stderr.read().decode(errors="replace").strip() or "no error output"
                raise RuntimeError(f"The sandbox did not start: {output}")
        self.url = match[1].decode()

    def _read_first_line(self) -> bytes:
        timer = threading.Timer(START_TIMEOUT, self._process.kill)
        timer.start()
        try:
            return _require_pipe(self._process.stdout).readline()
        finally:
            timer.cancel()

    def close(self) -> None:
        if self._process.returncode is not None:
            return
        _require_pipe(self._process.stdin).close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _require_pipe(self._process.stdout).close()


def _require_pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("The process was started without pipes")
    return pipe


def _environment(api_key: str) -> dict[str, str]:
    """Return the environment of the process: the import path, and the key, hidden from `ps`.

    Settings of the real service, such as its API key, are removed.
    """
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(SERVICE_VARIABLE_PREFIXES)
    }
    return {**kept, "PYTHONPATH": path, API_KEY_VARIABLE: api_key}
