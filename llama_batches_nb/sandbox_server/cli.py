"""The command `sandbox`: serve a sandbox until interrupted."""

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
from typing import TYPE_CHECKING, NoReturn, get_args

from llama_batches_nb.sandbox_server.options import HELP, Options, Plan, TotalSize

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

API_KEY_VARIABLE = "LLAMA_BATCHES_NB_SANDBOX_KEY"
REQUIRED_MODULES = ("fastapi", "uvicorn", "python_multipart")


def _parse_file_range(text: str) -> tuple[int, int] | int:
    """Parse `100` or `1-1000`."""
    low, dash, high = text.partition("-")
    return (int(low), int(high)) if dash else int(low)


def _format_value(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


PARSERS: dict[object, Callable[[str], object]] = {
    int: int,
    float: float,
    int | None: int,
    float | None: float,
    Plan: str,
    TotalSize: str,
    datetime | None: datetime.fromisoformat,
    tuple[int, int] | int: _parse_file_range,
}
# The API key is an environment variable: other users can read a command line.
COMMAND_LINE_OPTIONS = [
    option for option in dataclasses.fields(Options) if option.name != "api_key"
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each option except the API key."""
    parser.description = (
        "Serve a local emulator of the LlamaCloud API with sample data, on 127.0.0.1. "
        f"Set its API key in ${API_KEY_VARIABLE} (default: {Options.api_key})."
    )
    for option in COMMAND_LINE_OPTIONS:
        has_default = option.default is not None
        default = f" (default: {_format_value(option.default)})" if has_default else ""
        name, text = f"--{option.name.replace('_', '-')}", HELP[option.name] + default
        if option.type is bool:
            parser.add_argument(
                name, action=argparse.BooleanOptionalAction, default=option.default, help=text
            )
        else:
            parser.add_argument(
                name,
                type=PARSERS[option.type],
                choices=get_args(option.type) if option.type in (Plan, TotalSize) else None,
                metavar=option.name.upper(),
                default=option.default,
                help=text,
            )
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)


def format_arguments(options: Options) -> list[str]:
    """Return the command line for these options, without the API key."""
    arguments = []
    for option in COMMAND_LINE_OPTIONS:
        value, name = getattr(options, option.name), option.name.replace("_", "-")
        if value == option.default:
            continue
        if option.type is bool:
            arguments.append(f"--{name}" if value else f"--no-{name}")
        else:
            arguments.append(f"--{name}={_format_value(value)}")
    return arguments


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted, and return the exit code."""
    values = {option.name: getattr(arguments, option.name) for option in COMMAND_LINE_OPTIONS}
    try:
        require_extra()
        options = Options(api_key=os.environ.get(API_KEY_VARIABLE, Options.api_key), **values)
    except (ImportError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - output of a command
        return 2
    if arguments.until_stdin_closes:
        threading.Thread(target=_exit_when_stdin_closes, daemon=True).start()
    return _serve(options)


def _serve(options: Options) -> int:
    from llama_batches_nb.sandbox_server.app.server import (  # needs the extra
        HOST,
        create_server,
        listen,
    )

    try:
        listening_socket = listen(options.port)
    except OSError as error:
        print(f"Cannot listen on {HOST}:{options.port}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, _exit)
    url = f"http://{HOST}:{listening_socket.getsockname()[1]}"

    def print_address() -> None:
        print(f"Sandbox at {url} with key {options.api_key}")  # noqa: T201
        key = shlex.quote(options.api_key)
        print(f"export LLAMA_CLOUD_BASE_URL={url} LLAMA_CLOUD_API_KEY={key}", flush=True)  # noqa: T201

    with listening_socket:
        create_server(options, print_address).run([listening_socket])
    return 0


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _exit_when_stdin_closes() -> None:
    """Exit when the process at the other end of stdin ends, for any reason."""
    while os.read(sys.stdin.fileno(), 1):  # unbuffered: the lock of a buffer would block the exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    """Run the command on its own."""
    parser = argparse.ArgumentParser("llama_batches_nb.sandbox_server")
    add_arguments(parser)
    return run(parser.parse_args(argv))


def require_extra() -> None:
    """Raise an ImportError with the command to install if a required module is missing."""
    missing = [name for name in REQUIRED_MODULES if find_spec(name) is None]
    if missing:
        raise ImportError(
            f'The sandbox needs {", ".join(missing)}: pip install "llama_batches_nb[sandbox]"'
        )
