"""Choose the directory of each file of an upload, and what to store with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from llama_batches_nb.fetch.names_for_ids import directory_id_hint
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.endpoints import FileRecord
from llama_batches_nb.lifecycle.ephemeral_directory import create_directory, files_by_name
from llama_batches_nb.lifecycle.local_files import normalize_name
from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.types import Record

Metadata: TypeAlias = Mapping[str, str | int | float | bool | list[str]]


@dataclass(frozen=True)
class Targets:
    """The directories of an upload."""

    ids: list[str]
    directory_of: dict[Path, str]
    existing: dict[Path, FileRecord]  # the files that a directory already has


def choose_directories(
    client: Client, files: Sequence[Path], ids: list[str] | None, name: str, scope: Record
) -> Targets:
    """Fill the existing directories `ids`, then new ones, with the files they do not have yet."""
    existing: dict[Path, FileRecord] = {}
    directory_of: dict[Path, str] = {}
    sizes: Counter[str] = Counter()
    by_name = {normalize_name(file.name): file for file in files}
    for directory_id in ids or ():
        with directory_id_hint(client, directory_id, scope):
            records = files_by_name(client, directory_id, scope)
        sizes[directory_id] = len(records)
        for found, record in records.items():
            file = by_name.get(normalize_name(found))
            if file is not None and file not in existing:
                existing[file], directory_of[file] = record, directory_id
    left = [file for file in files if file not in existing]
    all_ids = list(ids or ())
    room = sum(max(0, MAX_FILES_PER_BATCH - sizes[directory_id]) for directory_id in all_ids)
    n_new = -(-max(0, len(left) - room) // MAX_FILES_PER_BATCH)
    for n in range(1, n_new + 1):
        numbered = name if n_new == 1 else f"{name} ({n} of {n_new})"
        all_ids.append(create_directory(client, numbered, scope))
    places = (id_ for id_ in all_ids for _ in range(MAX_FILES_PER_BATCH - sizes[id_]))
    directory_of.update(zip(left, places, strict=False))
    return Targets(all_ids, directory_of, existing)


def form_fields(
    file: Path,
    metadata: Metadata | Callable[[Path], Metadata | None] | None,
    unique_id: str | Callable[[Path], str | None] | None,
) -> dict[str, str]:
    """Return the fields to send with a file, or raise if one is invalid."""
    fields = {}
    values = metadata(file) if callable(metadata) else metadata
    if values is not None:
        _check_metadata(values)
        fields["metadata"] = json.dumps(dict(values), allow_nan=False)
    id_ = unique_id(file) if callable(unique_id) else unique_id
    if id_ is not None:
        if not isinstance(id_, str):
            raise TypeError(f"unique_id must be text, not {id_!r:.80}.")
        if not id_.strip():
            raise ValueError(f"unique_id of {file.name!r} is empty.")
        check_text("unique_id", id_)
        fields["unique_id"] = id_
    return fields


def check_text(name: str, text: object) -> None:
    """Raise an error unless an argument is text that can be sent."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be text, not {text!r:.80}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}={text!r:.80} is not valid Unicode: {error.reason}.") from error


def _check_metadata(values: object) -> None:
    if not isinstance(values, Mapping):
        raise TypeError(f"metadata must be a dict, not {values!r:.80}.")
    for key, value in values.items():
        if not isinstance(key, str):
            raise TypeError(f"metadata has the key {key!r:.80}, which must be text.")
        items = value if isinstance(value, list) else [value]
        for text in (key, *items):
            if isinstance(text, str):
                check_text(f"metadata[{key!r:.80}]", text)
        if not all(isinstance(item, str | int | float) for item in items):
            raise TypeError(
                f"metadata[{key!r:.80}] must be text, a number, True, False or a list of text, not "
                f"{value!r:.80}."
            )
        if any(isinstance(item, float) and not abs(item) < float("inf") for item in items):
            raise ValueError(f"metadata[{key!r:.80}] is not a finite number: {value!r:.80}.")
