"""Somebody who types a line of Python and presses Ctrl-C: in a process, or in a Jupyter kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from queue import Empty
from signal import SIGABRT, SIGINT
from typing import Any, Self

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

MAX_TIME = 60.0  # seconds in which a line must have come to its end

COLOURS = re.compile("\x1b\\[[0-9;]*m")

LOOP = """
import contextlib, faulthandler, io, json, signal, sys, traceback

faulthandler.enable()
names = {"__name__": "__main__"}

def run(line, wrote):
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.redirect_stdout(wrote):
            exec(compile(json.loads(line), "<cell>", "exec"), names)
    except BaseException as caught:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return caught
    signal.signal(signal.SIGINT, signal.SIG_IGN)

for line in sys.stdin:
    wrote, error, trace = io.StringIO(), "", ""
    try:
        caught = run(line, wrote)
    except KeyboardInterrupt as again:  # one more before the first was handled
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        caught = again
    if caught:
        sys.last_value = caught
        error, trace = type(caught).__name__, "".join(traceback.format_exception(caught))
    print(json.dumps([error, trace, wrote.getvalue()]), flush=True)
"""


@dataclass(frozen=True)
class CellResult:
    """What came of some lines."""

    error: str  # the name of its class, or nothing
    trace: str  # the traceback that the user sees
    out: str
    err: str  # where a bar is shown
    at: float  # when the cell ended

    @property
    def json(self) -> Any:
        assert not self.error, self.trace
        return json.loads(self.out)


class Interpreter(ABC):
    """Runs what is typed, one after the other."""

    def run(self, code: str) -> CellResult:
        """Run some lines to their end."""
        self.start(code)
        return self.result()

    @abstractmethod
    def start(self, code: str) -> None:
        """Run some lines, and don't wait for their end."""

    @abstractmethod
    def result(self) -> CellResult:
        """Wait for what comes of them."""

    @abstractmethod
    def wait_for(self, words: str) -> None:
        """Wait until they have made these words be shown."""

    @abstractmethod
    def interrupt(self) -> None:
        """Press Ctrl-C."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Process(Interpreter):
    """Python in a separate process, which continues after an error like an interactive prompt."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout

    def start(self, code: str) -> None:
        self._read = self._errors.seek(0, 2)
        self._to.write(json.dumps(code) + "\n")
        self._to.flush()

    def wait_for(self, words: str) -> None:
        until = time.monotonic() + MAX_TIME
        while words not in self._shown():
            assert time.monotonic() < until
            time.sleep(0.01)

    def _shown(self) -> str:
        self._errors.seek(self._read)
        return self._errors.read().decode()

    def result(self) -> CellResult:
        line = self._from.readline()
        at = time.monotonic()
        error, trace, out = json.loads(line)
        return CellResult(error, trace, out, self._shown(), at)

    def interrupt(self) -> None:
        self._process.send_signal(SIGINT)

    def close(self) -> None:
        self._to.close()
        self._read = self._errors.seek(0, 2)
        try:
            self._process.wait(MAX_TIME)
        except subprocess.TimeoutExpired:
            self._process.send_signal(SIGABRT)
            self._process.wait(MAX_TIME)
            pytest.fail(f"The process did not end. Its threads:\n{self._shown()}")
        finally:
            self._process.kill()
            self._process.wait()
            self._from.close()
            self._errors.close()


class Kernel(Interpreter):
    """A Jupyter kernel."""

    def __init__(self) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel()
        self._client: BlockingKernelClient = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(MAX_TIME)

    def start(self, code: str) -> None:
        self._asked = self._client.execute(code, store_history=True)
        self._out = self._err = ""

    def wait_for(self, words: str) -> None:
        while words not in self._err:
            self._hear()

    def result(self) -> CellResult:
        error, trace, at = "", "", 0.0
        while True:
            kind, content = self._hear()
            if kind == "error":
                error, at = content["ename"], time.monotonic()
                trace = COLOURS.sub("", "\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                return CellResult(error, trace, self._out, self._err, at or time.monotonic())

    def _hear(self) -> tuple[str, dict[str, Any]]:
        """Return the next message about the lines, and keep what was written."""
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=MAX_TIME)
            except Empty:
                raise TimeoutError(f"The kernel printed nothing for {MAX_TIME:g} s") from None
            if message["parent_header"].get("msg_id") == self._asked:
                kind, content = message["msg_type"], message["content"]
                if kind == "stream" and content["name"] == "stdout":
                    self._out += content["text"]
                elif kind == "stream":
                    self._err += content["text"]
                return kind, content

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
