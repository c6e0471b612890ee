"""The command `report`: write a report of a dataset as one HTML file."""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from llama_batches_nb.cli.argument_types import add_since, argparse_type
from llama_batches_nb.cli.check import UNREADABLE
from llama_batches_nb.cli.output import format_error
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.messages import escape_line
from llama_batches_nb.report.write import dataset_content, write_page

DEFAULT_OUT = "report.html"
WRITTEN, FAILED, INVALID_ARGUMENTS = 0, 1, 2
EXIT_CODES = {
    WRITTEN: "the report was written",
    FAILED: "the report could not be written",
    INVALID_ARGUMENTS: "invalid arguments",
    UNREADABLE: "there is no dataset at the path, or it cannot be read",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's description and arguments to a parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Write a report of a synced dataset, as lb.write_report does: rates, changes, causes,\n"
        "cost and the files that still fail. No request is sent: run sync first."
    )
    codes = (f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser.epilog = "\n".join(["exit codes:", *codes])
    add = parser.add_argument
    add("path", type=argparse_type(Storage), help="folder or URL of the dataset, as for sync")
    add(
        "--out",
        default=DEFAULT_OUT,
        metavar="FILE",
        help="HTML file to write or replace, or a URL (default: %(default)s)",
    )
    add_since(parser)
    add("--title", help="heading of the page (default: Batch report)")


def run(arguments: argparse.Namespace) -> int:
    """Write the report and return the exit code."""
    since = arguments.since and pd.Timestamp(arguments.since)
    try:
        content = dataset_content(arguments.path.name, since)
    except Exception as error:  # whatever its type, there is nothing to report
        print(f"report: {format_error(error)}", file=sys.stderr)
        return UNREADABLE
    write_page(content, arguments.out, arguments.title)
    print(f"Wrote {escape_line(arguments.out)}.")
    return WRITTEN
