"""The command `check`: alert on failure rates, for cron and CI."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from llama_batches_nb.analysis.checks import check_rates
from llama_batches_nb.cli.argument_types import add_since, argparse_type, parse_rate
from llama_batches_nb.cli.check_output import CheckResult, format_json, format_markdown, format_text
from llama_batches_nb.cli.output import format_error
from llama_batches_nb.dataset.outcomes import read_outcomes
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.messages import escape_line

FINE, FAILED, INVALID_ARGUMENTS, ALERT, UNREADABLE = 0, 1, 2, 5, 6
EXIT_CODES = {
    FINE: "no alert; also if no file is decided, which the output says",
    FAILED: "the check itself failed: whether there is an alert is unknown",
    INVALID_ARGUMENTS: "invalid arguments, such as an unknown column",
    ALERT: "alert: the rate of a group is above the limit, or rises",
    UNREADABLE: "there is no dataset at the path, or it cannot be read",
}
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's description and arguments to a parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Check the failure rates of a synced dataset. No request is sent: run sync first.\n"
        "A group is above the limit if its whole 95 % interval is, so that a few failed files\n"
        f"raise no alert. In GitHub Actions a table is added to ${SUMMARY_VARIABLE}."
    )
    codes = (f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser.epilog = "\n".join(["exit codes:", *codes])
    add = parser.add_argument
    add("path", type=argparse_type(Storage), help="folder or URL of the dataset, as for sync")
    add(
        "--max-failure-rate",
        type=argparse_type(parse_rate),
        metavar="RATE",
        help="alert if the lower end of the 95 %% interval of failed ÷ decided files is above this "
        "rate, such as 5%% or 0.05",
    )
    add(
        "--by",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="check each group of files on its own, such as by configuration_id",
    )
    add_since(parser)
    add(
        "--rising",
        action="store_true",
        help="alert if the rate rises, by a CUSUM chart of the rate per week over all batches of "
        "the dataset; it may be run on a schedule without many false alerts",
    )
    add("--json", action="store_true", help="print one line of JSON instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Check, print the result, and return the exit code."""
    if arguments.max_failure_rate is None and not arguments.rising:
        return _fail(INVALID_ARGUMENTS, "Nothing to check: pass --max-failure-rate or --rising.")
    try:
        dataset = read_outcomes(arguments.path.name)
    except Exception as error:  # whatever its type, nothing was checked
        return _fail(UNREADABLE, format_error(error))
    since = arguments.since and pd.Timestamp(arguments.since)
    try:
        checked = check_rates(
            dataset.files,
            by=list(dict.fromkeys(arguments.by)),
            max_failure_rate=arguments.max_failure_rate,
            since=since,
            rising=arguments.rising,
        )
    except ValueError as error:
        return _fail(INVALID_ARGUMENTS, f"--by: {error}")
    result = CheckResult(
        checked=checked,
        path=arguments.path.name,
        as_of=dataset.as_of,
        since=since,
        max_failure_rate=arguments.max_failure_rate,
        rising=arguments.rising,
        has_jobs=dataset.jobs is not None,
    )
    lines = [format_json(result)] if arguments.json else format_text(result)
    print("\n".join(lines))
    _append_summary(format_markdown(result))
    return ALERT if checked.alerts else FINE


def _append_summary(markdown: str) -> None:
    """Append to the summary of a GitHub workflow; the exit code does not depend on it."""
    path = os.environ.get(SUMMARY_VARIABLE)
    if not path:
        return
    try:
        with Path(path).open(
            "a", encoding="utf-8", errors="backslashreplace", newline="\n"
        ) as file:
            file.write(markdown)
    except OSError as error:
        _fail(FINE, f"Cannot write to ${SUMMARY_VARIABLE}: {error}")


def _fail(code: int, message: str) -> int:
    print(f"check: {escape_line(message)}", file=sys.stderr)
    return code
