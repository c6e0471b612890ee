"""Write the content of a report as one HTML page without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pandas as pd

from llama_batches_nb.analysis.changes import BY_CHANCE
from llama_batches_nb.analysis.rates import format_rate
from llama_batches_nb.messages import agree, format_count
from llama_batches_nb.plotting.failure_rates import plot_failure_rates
from llama_batches_nb.report import html
from llama_batches_nb.report.content import TIME, Content

MAX_NAMED_CHANGES = 3  # in the first line
MAX_GROUPS = 20
MAX_PERIODS = 12
MAX_PATTERNS = 20
MAX_FILES = 200
MAX_MESSAGE = 2_000  # characters of an example; all but stack traces are shorter
MAX_SHORT_MESSAGE = 200  # characters, of a file
NOT_KNOWN = "not known"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
PERIOD_NAMES = {"D": "day", "W": "week", "MS": "month"}
OUTCOME_NAMES = {"mapping_error": "mapping failed", "job_failed": "job failed"}


def format_page(content: Content, title: str) -> str:
    """Return the page."""
    style = files(__package__).joinpath("report.css").read_text("utf-8")
    sections = "\n".join(
        part(content) for part in (_rates, _changes, _patterns, _cost, _files, _certainty)
    )
    return html.without_keys(
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{html.isolated(title)}</h1>\n{_headline(content)}\n{_scope(content)}\n"
        f"</header>\n<main>\n{sections}\n</main>\n<footer>{_footer(content)}</footer>\n"
        "</body>\n</html>\n"
    )


def _headline(content: Content) -> str:
    sentences = [f"<strong>{html.text(_rate_sentence(content))}</strong>"]
    failing = content.still_failing
    if failing is not None and content.files is not None:
        n_files = format_count(len(content.files), "different file")
        sentences.append(f"Still failing after all runs: {len(failing):,} of {n_files}.")
    if content.changes is not None:
        sentences.append(_changed(content.changes, content.group))
    return html.paragraph(" ".join(sentences))


def _changed(changes: pd.DataFrame, group: str | None) -> str:
    """Return which rates have changed, or how many if they are more than a line holds."""
    if not len(changes):
        return "No change of a rate was found."
    if len(changes) > MAX_NAMED_CHANGES:
        return f"Changes of a rate found: {len(changes):,}."
    named = (
        f"{_group_name(row, group)} from {_percent(row['rate_before'])} to "
        f"{_percent(row['rate_after'])} since {row['since']:%d %B %Y}"
        for row in _rows(changes)
    )
    return f"Changed: {'; '.join(named)}."


def _rate_sentence(content: Content) -> str:
    if not content.rate["decided"]:
        return "No file is decided, so the failure rate is not known."
    return f"Failure rate: {format_rate(content.rate)}."


def _scope(content: Content) -> str:
    facts = content.facts
    rows = [
        ("As of", _time(facts.as_of or content.last)),
        ("Project", ", ".join(map(html.isolated, facts.projects)) or NOT_KNOWN),
        ("Batches created", _range(content)),
        ("Runs of files", f"{_all_rows(content):,}"),
    ]
    if facts.dataset:
        rows.insert(1, ("Dataset", html.isolated(facts.dataset)))
    if facts.since is not None:
        rows.insert(-1, ("Filter", f"batches created since {_time(facts.since)}"))
    if content.rates is not None:
        rows.append(("Configurations", f"{len(content.rates):,}"))
    return html.definitions(rows)


def _rates(content: Content) -> str:
    parts = [_chart(content)] if content.freq and content.rate["decided"] else []
    if content.rates is not None:
        shown = content.rates[:MAX_GROUPS]
        parts.append(
            html.table(
                "Failure rate per configuration, the highest lower end of the interval first",
                ["Configuration", "#Failed", "#Decided", "#Undecided", "#Rate", "#95 % interval"],
                [[_group_name(row, content.group), *_rate_cells(row)] for row in _rows(shown)],
            )
        )
        parts.append(_more(len(content.rates) - len(shown), "configuration"))
    return html.section("Failure rate", *parts or [html.paragraph("There is nothing to compare.")])


def _chart(content: Content) -> str:
    from llama_batches_nb.plotting.svg import figure_to_svg  # imports matplotlib

    as_of = content.facts.as_of or content.facts.written

    def draw(ax: Any) -> None:
        plot_failure_rates(content.frame, by=content.group, freq=content.freq, now=as_of, ax=ax)

    attributes = 'class="scroll" role="region" aria-label="Chart of failure rates" tabindex="0"'
    return f"<figure {attributes}>{figure_to_svg(draw)}</figure>"


def _changes(content: Content) -> str:
    if content.periods is None or content.changes is None:
        return html.section("Change", html.paragraph("The creation times are not known."))
    name = PERIOD_NAMES[content.freq or "W"]
    sentences = [
        f"{_group_name(row, content.group)}: "
        f"{_percent(row['rate_before'])} before {row['since']:%d %B %Y}, "
        f"{_percent(row['rate_after'])} since."
        for row in _rows(content.changes)
    ]
    if sentences:
        found = f"<ul>{''.join(f'<li>{sentence}</li>' for sentence in sentences)}</ul>"
    else:
        found = html.paragraph("No change of a configuration's rate was found.")
    found += html.paragraph(
        f"Where no rate changes, {BY_CHANCE} of reports show a change by chance."
    )
    shown = content.periods.dropna(subset=TIME)[-MAX_PERIODS:][::-1]
    table = html.table(
        f"Failure rate per {name}, the latest first",
        [
            f"{name.capitalize()} from",
            "#Failed",
            "#Decided",
            "#Undecided",
            "#Rate",
            "#95 % interval",
        ],
        [[f"{row[TIME]:%Y-%m-%d}", *_rate_cells(row)] for row in _rows(shown)],
    )
    return html.section("Change", found, table)


def _patterns(content: Content) -> str:
    patterns = content.patterns
    if patterns is None:
        return html.section("Why", html.paragraph("The error messages are not known."))
    if not len(patterns):
        return html.section("Why", html.paragraph("No file failed."))
    shown = patterns[:MAX_PATTERNS]
    table = html.table(
        "Failures by error pattern, with one message as an example",
        ["Message", "#Failures", "#Share", "=Failed at", "=Last seen"],
        [
            [
                f'<code class="message">{_message(row["example"], MAX_MESSAGE)}</code>',
                f"{row['count']:,}",
                _percent(row["share"]),
                html.text(row["layer"]),
                _date(row["last_seen"]),
            ]
            for row in _rows(shown)
        ],
    )
    return html.section("Why", table, _more(len(patterns) - len(shown), "pattern"))


def _cost(content: Content) -> str:
    cost = content.cost
    if cost is None or not cost["jobs"] or pd.isna(cost["credits"]):
        reason = "no source gave the credits of a job"
        return html.section("Cost", html.paragraph(f"Credits: {NOT_KNOWN} ({reason})."))
    on_failed = cost["credits_on_failed"]
    sentence = f"{cost['credits']:,.0f} credits, of which {_credits(on_failed)} on failed files."
    if cost["jobs_unknown"]:
        n_jobs = format_count(int(cost["jobs"]), "job")
        sentence += (
            f" The credits of {int(cost['jobs_unknown']):,} of {n_jobs} "
            "are not known and not in this sum."
        )
    parts = [html.paragraph(sentence)]
    if content.costs is not None:
        ordered = content.costs.sort_values("credits", ascending=False)[:MAX_GROUPS]
        parts.append(
            html.table(
                "Credits per configuration, the highest first",
                ["Configuration", "#Jobs", "#Credits", "#On failed files", "#Jobs not known"],
                [
                    [
                        _group_name(row, content.group),
                        f"{row['jobs']:,}",
                        _credits(row["credits"]),
                        _credits(row["credits_on_failed"]),
                        f"{row['jobs_unknown']:,}",
                    ]
                    for row in _rows(ordered)
                ],
            )
        )
        parts.append(_more(len(content.costs) - len(ordered), "configuration"))
    return html.section("Cost", *parts)


def _files(content: Content) -> str:
    failing = content.still_failing
    if failing is None:
        lacking = ", ".join(content.missing)
        return html.section(
            "What still fails",
            html.paragraph(f"{NOT_KNOWN.capitalize()}: no {html.text(lacking)}."),
        )
    if not len(failing):
        return html.section(
            "What still fails",
            html.paragraph("No file: the last run of each one that is decided succeeded."),
        )
    shown = failing[:MAX_FILES]
    table = html.table(
        "Files of which no run succeeded",
        ["File", "#Runs", "=Last run", "Message"],
        [
            [
                html.isolated(_file_name(row)),
                f"{row['runs']:,}",
                OUTCOME_NAMES[row["outcome"]],
                _message(row["error_message"], MAX_SHORT_MESSAGE),
            ]
            for row in _rows(shown)
        ],
    )
    return html.section(
        "What still fails",
        html.paragraph(f"{format_count(len(failing), 'file')} of which no run succeeded."),
        table,
        _more(len(failing) - len(shown), "file"),
    )


def _certainty(content: Content) -> str:
    return html.section(
        "How sure this is",
        f"<ul>{''.join(f'<li>{html.text(line)}</li>' for line in certainty(content))}</ul>",
    )


def certainty(content: Content) -> Iterator[str]:
    """Yield sentences about what limits the numbers."""
    rate = content.rate
    yield (
        "Failure rate is failed ÷ decided runs of files; each run of a file counts. The 95 % "
        "intervals take into account that files of a batch often fail together."
    )
    if content.has_few_batches:
        yield "There are few batches, so the intervals may be too narrow."
    undecided, decided, failed = (int(rate[name]) for name in ("undecided", "decided", "failed"))
    if undecided:
        total = undecided + decided
        yield (
            f"{format_count(undecided, 'run')} of {total:,} {agree(undecided, 'is')} undecided: "
            "still running, cancelled or not known. With them the rate is between "
            f"{_percent(failed / total)} and {_percent((failed + undecided) / total)}."
        )
    if not pd.isna(rate["unreliable"]) and rate["unreliable"]:
        n = int(rate["unreliable"])
        yield (
            f"{format_count(n, 'more run')} {agree(n, 'is')} in FAILED batches, whose results "
            "are not reliable; no rate counts them."
        )
    if not content.facts.has_jobs:
        yield "The jobs are not known: only files for which no job was created count as failed."
    if content.changes is not None:
        yield (
            "Changes are found by a change point test that takes all configurations and dates into "
            "account."
        )
    if content.files is not None and content.files["file_id"].isna().any():
        yield (
            "Where the content of a file is not known (file_id), its retry in another directory "
            "counts as another file."
        )


def _footer(content: Content) -> str:
    return f"Written {_time(content.facts.written)} by llama_batches_nb."


def _rate_cells(row: pd.Series[Any]) -> list[str]:
    counts = [f"{int(row[name]):,}" for name in ("failed", "decided", "undecided")]
    if not row["decided"]:
        return [*counts, NOT_KNOWN, NOT_KNOWN]
    low, high = 100 * row["ci_low"], 100 * row["ci_high"]
    return [*counts, _percent(row["failure_rate"]), f"{low:.1f}–{high:.1f} %"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _rows(frame: pd.DataFrame) -> Iterator[pd.Series[Any]]:
    return (row for _, row in frame.iterrows())


def _all_rows(content: Content) -> int:
    unreliable = content.rate["unreliable"]
    return int(content.rate["total"]) + (0 if pd.isna(unreliable) else int(unreliable))


def _group_name(row: pd.Series[Any], group: str | None) -> str:
    if group is None:
        return "All files"
    return html.text("(none)") if pd.isna(row[group]) else html.isolated(row[group])


def _file_name(row: pd.Series[Any]) -> object:
    names = (row["display_name"], row["source_directory_file_id"], row["file_id"])
    return next((name for name in names if not pd.isna(name)), NOT_KNOWN)


def _message(value: Any, limit: int) -> str:
    if pd.isna(value) or not str(value).strip():
        return "(no message)"
    message = str(value)
    if len(message) <= limit:
        return html.isolated(message)
    return html.isolated(message[:limit] + "…") + f" ({len(message):,} characters)"


def _more(n: int, noun: str) -> str:
    return html.paragraph(f"and {format_count(n, f'more {noun}')}.") if n else ""


def _credits(value: Any) -> str:
    return NOT_KNOWN if pd.isna(value) else f"{value:,.0f}"


def _range(content: Content) -> str:
    if content.first is None or content.last is None:
        return NOT_KNOWN
    return f"{_date(content.first)} to {_date(content.last)}"


def _date(time: Any) -> str:
    return NOT_KNOWN if pd.isna(time) else f"{time:%Y-%m-%d}"


def _time(time: pd.Timestamp | None) -> str:
    return NOT_KNOWN if time is None else f"{time.tz_convert('UTC'):%Y-%m-%d %H:%M} UTC"
