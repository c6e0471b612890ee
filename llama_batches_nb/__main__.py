"""The command line: `python -m llama_batches_nb`, also installed as `llama-batches-nb`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from llama_batches_nb import __version__
from llama_batches_nb.cli import check, demo, report, sync
from llama_batches_nb.cli.output import format_error, standard_streams
from llama_batches_nb.sandbox_server import cli as sandbox

COMMANDS = {
    "check": (check, "alert on the failure rates of a dataset, for cron and CI"),
    "demo": (demo, "run a batch end to end and load a project's history"),
    "report": (report, "write a report of a dataset as one HTML file"),
    "sandbox": (sandbox, "serve a local emulator of the LlamaCloud API"),
    "sync": (sync, "update a Parquet dataset, for cron and CI"),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        "llama_batches_nb",
        description="Run LlamaCloud batches, and load their results into files for analysis.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    The code is 0 on success and 1 on an error, which is printed to stderr; the help of `check`,
    `report` and `sync` lists their further codes.
    """
    with standard_streams():
        parsed = build_parser().parse_args(arguments)
        try:
            code: int = parsed.run(parsed)
        except Exception as error:
            print(format_error(error), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        return code


if __name__ == "__main__":
    sys.exit(main())
