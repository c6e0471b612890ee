"""A handle of a running sandbox, in a thread or a process of its own."""

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
from typing import IO, TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from llama_batches_nb.sandbox_server.cli import KEY_VARIABLE, arguments_of, require_extra

if TYPE_CHECKING:
    from types import TracebackType

    from llama_batches_nb.sandbox_server.options import Options

START_TIME = 60.0  # seconds to wait for the process to serve
STOP_TIME = 5.0  # seconds to wait for it to end by itself
CONTROL_TIME = 10.0  # seconds to wait for the clock
SCRIPT = str(Path(__file__).with_name("__main__.py"))
OF_THE_SERVICE = ("LLAMA_CLOUD_", "LLAMA_PARSE_")  # how names of its variables begin


class _Run(Protocol):
    """A way to run the sandbox."""

    url: str

    def close(self) -> None: ...


class Server:
    """A running sandbox.

    Attributes
    ----------
    url : str
        Such as `http://127.0.0.1:8765`.
    api_key : str
        The bearer key that it asks for.

    Examples
    --------
    >>> from llama_batches_nb.sandbox_server.options import Options
    >>> with Server.start(Options(batches=10, speed=0), thread=True) as server:
    ...     server.advance(60)
    """

    def __init__(self, run: _Run, api_key: str) -> None:
        self.url = run.url
        self.api_key = api_key
        self._run = run

    @classmethod
    def start(cls, options: Options, *, thread: bool = False) -> Server:
        """Start a sandbox and wait until it serves.

        Parameters
        ----------
        options : Options
            What it is told.
        thread : bool
            Whether it runs in a thread of this process, instead of a process of its own.

        Raises
        ------
        ImportError
            If `llama_batches_nb[sandbox]` is not installed.
        RuntimeError
            If it does not start, with its own words; for example because the port is in use.
        """
        require_extra()
        return cls(_Thread(options) if thread else _Process(options), options.api_key)

    def advance(self, seconds: float) -> None:
        """Set the clock forward."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=CONTROL_TIME)
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
        """Stop it; a second time does nothing."""
        self._run.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {self.url}>"


class _Thread:
    """The sandbox in a daemon thread."""

    def __init__(self, options: Options) -> None:
        from llama_batches_nb.sandbox_server.app.server import (  # needs the extra
            HOST,
            listen,
            server,
        )

        try:
            listening = listen(options.port)
        except OSError as error:
            raise RuntimeError(
                f"Cannot listen on {HOST}:{options.port}: {error.strerror}"
            ) from error
        self.url = f"http://{HOST}:{listening.getsockname()[1]}"
        ready = threading.Event()
        self._server = server(options, ready.set)
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="sandbox", daemon=True
        )
        self._thread.start()
        try:
            if not ready.wait(START_TIME):
                raise RuntimeError(f"The sandbox did not start within {START_TIME:g} s")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_TIME)


class _Process:
    """The sandbox in a process that ends with this one, since its stdin closes then.

    It is out of reach of the interrupts that a terminal or Jupyter sends to this process's group.
    """

    def __init__(self, options: Options) -> None:
        with tempfile.TemporaryFile() as errors:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [sys.executable, "-P", SCRIPT, "--until-stdin-closes", *arguments_of(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(options.api_key),
                start_new_session=True,
            )
            try:
                line = self._first_line()
            except BaseException:  # such as Ctrl-C, which it does not get itself
                self._child.kill()
                self.close()
                raise
            found = re.match(rb"Sandbox at (\S+) ", line)
            if found is None:
                self.close()
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip() or "it said nothing"
                raise RuntimeError(f"The sandbox did not start: {said}")
        self.url = found[1].decode()

    def _first_line(self) -> bytes:
        timer = threading.Timer(START_TIME, self._child.kill)
        timer.start()
        try:
            return _pipe(self._child.stdout).readline()
        finally:
            timer.cancel()

    def close(self) -> None:
        if self._child.returncode is not None:
            return
        _pipe(self._child.stdin).close()
        try:
            self._child.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        _pipe(self._child.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("The process was started without pipes")
    return pipe


def _environment(api_key: str) -> dict[str, str]:
    """Return the process's environment: our import path, and the key, which `ps` would show.

    The settings for the real service, its key among them, are none of the sandbox's business.
    """
    path = os.pathsep.join(each or os.getcwd() for each in sys.path)  # noqa: PTH109
    others = {name: it for name, it in os.environ.items() if not name.startswith(OF_THE_SERVICE)}
    return {**others, "PYTHONPATH": path, KEY_VARIABLE: api_key}
