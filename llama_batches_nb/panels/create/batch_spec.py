"""What a batch is to be made of, and the code for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llama_batches_nb.panels.create.browser_files import BrowserFile
from llama_batches_nb.panels.widgets.code import call, file_code

MAX_NAMED_FILES = 4  # files by name in the code


@dataclass(frozen=True)
class BatchSpec:
    """A directory, or files that become one, to be run with a configuration."""

    source: str | tuple[BrowserFile, ...]
    configuration_id: str
    job_type: str

    @property
    def files(self) -> tuple[BrowserFile, ...]:
        """The files that are to be uploaded first."""
        return () if isinstance(self.source, str) else self.source

    def with_directory(self, directory_id: str) -> BatchSpec:
        """Return the same order over a directory, now that the files are in it."""
        return replace(self, source=directory_id)

    def code(self, given: Sequence[str]) -> list[str]:
        """Return the lines that make this batch; `given` are the arguments of every call."""
        lines, source = [], repr(self.source)
        if self.files:
            names = [file.name for file in self.files]
            paths = repr(names if len(names) <= MAX_NAMED_FILES else "folder/*")
            lines.append(call("uploaded", "upload_files", [paths, *given]))
            source = "uploaded"
        kind = [] if self.job_type == "parse_v2" else [f"job_type={self.job_type!r}"]
        arguments = [source, repr(self.configuration_id), *kind, *given]
        return [*lines, call("batches", "create_batch", arguments)]


def retry_code(batch_ids: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the lines that run again what failed in batches."""
    return [
        call("failed", "fetch_results", [_one_or_list(batch_ids), *given]),
        call("batches", "retry_failed", ["failed", *given]),
    ]


def code_to_make(order: BatchSpec | None, given: Sequence[str]) -> str:
    """Return the lines that make a batch, wait for it, and give its frames."""
    if order is None:
        return "# Choose what the batch is to be made of, and here is the code for it."
    return _complete_script(order.code(given), "batches", given)


def code_of(made_by: Sequence[str], batch_ids: Sequence[str], given: Sequence[str]) -> str:
    """Return the lines that give the frames of batches that are made; they make none."""
    said = "# This was done; to do it again would make another batch:"
    lines = [f"# {line}" for code in made_by for line in code.splitlines()]
    return _complete_script([said, *lines], _one_or_list(batch_ids), given)


def _complete_script(lines: Sequence[str], batches: str, given: Sequence[str]) -> str:
    wait = call("batches", "wait_for_batches", [batches, *given])
    files = file_code(jobs=True, client=bool(given))
    return "\n".join(["import llama_batches_nb as lb", "", *lines, wait, files])


def _one_or_list(ids: Sequence[str]) -> str:
    return repr(ids[0] if len(ids) == 1 else list(ids))
