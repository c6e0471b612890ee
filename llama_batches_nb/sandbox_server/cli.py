"""The command `sandbox`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import signal
import sys
import threading
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from llama_batches_nb.sandbox_server.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

KEY_VARIABLE = "LLAMA_BATCHES_NB_SANDBOX_KEY"
PARSERS: dict[object, Callable[[str], object]] = {
    int: int,
    float: float,
    int | None: int,
    datetime | None: datetime.fromisoformat,
}


def file_range(text: str) -> tuple[int, int] | int:
    """Read `100` or `1-1000`."""
    low, dash, high = text.partition("-")
    return (int(low), int(high)) if dash else int(low)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each option; only the key is told by an environment variable."""
    parser.description = f"Serve a sandbox on loopback. Its key can be set in ${KEY_VARIABLE}."
    for option in dataclasses.fields(Options):
        if option.name == "api_key":
            continue
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            type=file_range if option.name == "files" else PARSERS[option.type],
            default=option.default,
            help=f"default {option.default}" if option.default is not None else None,
        )
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)


def arguments_of(options: Options) -> list[str]:
    """Return the arguments that give these options, all but the key."""
    made = []
    for option in dataclasses.fields(Options):
        value = getattr(options, option.name)
        if option.name == "api_key" or value == option.default:
            continue
        text = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
        made.append(f"--{option.name.replace('_', '-')}={text}")
    return made


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit code."""
    names = [option.name for option in dataclasses.fields(Options) if option.name != "api_key"]
    chosen = {name: getattr(arguments, name) for name in names}
    try:
        require_extra()
        options = Options(api_key=os.environ.get(KEY_VARIABLE, Options.api_key), **chosen)
    except (ImportError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's own words
        return 2
    if arguments.until_stdin_closes:
        threading.Thread(target=_watch_stdin, daemon=True).start()
    return _serve(options)


def _serve(options: Options) -> int:
    from llama_batches_nb.sandbox_server.app.server import HOST, listen, server  # needs the extra

    try:
        listening = listen(options.port)
    except OSError as error:
        print(f"Cannot listen on {HOST}:{options.port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _stop)
    url = f"http://{HOST}:{listening.getsockname()[1]}"

    def tell() -> None:
        print(f"Sandbox at {url} with key {options.api_key}")  # noqa: T201
        key = shlex.quote(options.api_key)
        print(f"export LLAMA_CLOUD_BASE_URL={url} LLAMA_CLOUD_API_KEY={key}", flush=True)  # noqa: T201

    with listening:
        server(options, tell).run([listening])
    return 0


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _watch_stdin() -> None:
    """End with the process at the other end of stdin, however that one ends."""
    while os.read(sys.stdin.fileno(), 1):  # unbuffered: a buffer's lock would block the exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    """Run the command by itself."""
    parser = argparse.ArgumentParser("llama_batches_nb.sandbox_server")
    add_arguments(parser)
    return run(parser.parse_args(argv))


REQUIRED_MODULES = ("fastapi", "uvicorn", "python_multipart")


def require_extra() -> None:
    """Raise an ImportError that says what to install, if something is missing."""
    lacking = [name for name in REQUIRED_MODULES if find_spec(name) is None]
    if lacking:
        raise ImportError(
            f"The sandbox needs {' and '.join(lacking)}: pip install 'llama_batches_nb[sandbox]'"
        )
