"""The command: `python -m llama_batches_nb demo`, `sandbox` and `sync`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from llama_batches_nb import __version__
from llama_batches_nb.cli import demo, sync
from llama_batches_nb.errors import BatchesError
from llama_batches_nb.sandbox_server import cli as sandbox

COMMANDS = {
    "demo": (demo, "run the main job end to end"),
    "sandbox": (sandbox, "serve a LlamaCloud of your own on this machine"),
    "sync": (sync, "keep a folder of Parquet up to date, from cron or CI"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands and return its exit code.

    It is 0, or 1 with the reason on stderr; `sync` has more, see `scheduled.EXIT_CODES`.
    """
    parser = argparse.ArgumentParser("llama_batches_nb", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    chosen = parser.parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
    except (BatchesError, ImportError, OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
