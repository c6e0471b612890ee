"""The specification of a batch, and the code that creates and fetches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llama_batches_nb.panels.create.browser_files import BrowserFile
from llama_batches_nb.panels.widgets.code import call
from llama_batches_nb.types import JobType

MAX_NAMED_FILES = 4  # files that the code lists by name


@dataclass(frozen=True)
class BatchSpec:
    """What a batch is created from. `source` is a directory id, or the files to upload first."""

    source: str | tuple[BrowserFile, ...]
    configuration_id: str
    job_type: JobType

    @property
    def files(self) -> tuple[BrowserFile, ...]:
        """The files to upload."""
        return () if isinstance(self.source, str) else self.source

    def with_directory(self, directory_id: str) -> BatchSpec:
        """Return the same specification for the directory that the files were uploaded to."""
        return replace(self, source=directory_id)

    def code(self, client_argument: Sequence[str]) -> list[str]:
        """Return the lines that create this batch.

        `client_argument` is ``["client=client"]`` or empty, as in the functions below.
        """
        lines, source = [], repr(self.source)
        if self.files:
            names = [file.name for file in self.files]
            paths = repr(names if len(names) <= MAX_NAMED_FILES else "folder/*")
            lines.append(call("uploaded", "upload_files", [paths, *client_argument]))
            source = "uploaded"
        job_type = [] if self.job_type == "parse_v2" else [f"job_type={self.job_type!r}"]
        arguments = [source, repr(self.configuration_id), *job_type, *client_argument]
        return [*lines, call("batches", "create_batch", arguments)]


def retry_code(batch_ids: Sequence[str], client_argument: Sequence[str]) -> list[str]:
    """Return the lines that retry the failed files of batches."""
    return [
        call("failed", "fetch_results", [_one_or_list(batch_ids), *client_argument]),
        call("batches", "retry_failed", ["failed", *client_argument]),
    ]


def create_script(spec: BatchSpec | None, client_argument: Sequence[str]) -> str:
    """Return a script that creates a batch, waits for it and fetches its frames."""
    if spec is None:
        return "# Select a directory or files, and a configuration, to see the code."
    return _script(spec.code(client_argument), "batches", client_argument)


def fetch_script(
    create_lines: Sequence[str], batch_ids: Sequence[str], client_argument: Sequence[str]
) -> str:
    """Return a script that fetches the frames of existing batches.

    The lines that created the batches are included as comments.
    """
    comment = "# Already run; running this again would create another batch:"
    lines = [f"# {line}" for code in create_lines for line in code.splitlines()]
    return _script([comment, *lines], _one_or_list(batch_ids), client_argument)


def _script(lines: Sequence[str], batches: str, client_argument: Sequence[str]) -> str:
    wait = call("batches", "wait_for_batches", [batches, *client_argument])
    jobs = call("jobs", "wait_for_jobs", ["batches", *client_argument])
    results = call("results", "fetch_results", ["batches", *client_argument])
    files = call("files", "outcomes", ["results", "jobs"])
    return "\n".join(["import llama_batches_nb as lb", "", *lines, wait, jobs, results, files])


def _one_or_list(ids: Sequence[str]) -> str:
    return repr(ids[0] if len(ids) == 1 else list(ids))
