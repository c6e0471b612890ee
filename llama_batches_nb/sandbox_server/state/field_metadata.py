"""Citations and confidences of extracted fields, as the configuration asks for them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from llama_batches_nb.sandbox_server.state.pages import ParsedPages
from llama_batches_nb.sandbox_server.state.simulation import mix64

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.models import Configuration
    from llama_batches_nb.sandbox_server.state.simulation import Job

Json = dict[str, Any]

KINDS = {"per_page": "page_metadata", "per_table_row": "row_metadata"}  # by extraction_target
PAGE = {"width": 612, "height": 792}  # points
MARGIN, LINE_HEIGHT, CHARACTER_WIDTH = 57, 14, 6  # points
MIN_CONFIDENCE = 0.6


def is_requested(configuration: Configuration) -> bool:
    """Return whether a configuration asks for citations or confidences."""
    return any(map(configuration.parameters.get, ("cite_sources", "confidence_scores")))


def field_metadata(
    result: Json | list[Json], job: Job, configuration: Configuration
) -> Json | None:
    """Return an entry per field in the structure of the result, or None if none are requested."""
    if not is_requested(configuration):
        return None
    target = configuration.parameters.get("extraction_target")
    kind = KINDS.get(str(target), "document_metadata")
    entries = _Entries(job, configuration).of(result)
    return dict.fromkeys(("document_metadata", *KINDS.values())) | {kind: entries}


class _Entries:
    """Entries of the fields of one job."""

    def __init__(self, job: Job, configuration: Configuration) -> None:
        self._parameters = configuration.parameters
        self._pages = [str(page["text"]) for page in ParsedPages(job, 0).text()]
        self._rng = Random(mix64(*job.file.stored, state=23))

    def of(self, value: Any) -> Any:
        """Return the entry of a field, or those within an object or a list."""
        if isinstance(value, dict):
            return {name: self.of(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.of(each) for each in value]
        entry: Json = {}
        if self._parameters.get("cite_sources"):
            entry["citation"] = self._citations(value)
        if self._parameters.get("confidence_scores"):
            entry["confidence"] = round(self._rng.uniform(MIN_CONFIDENCE, 1), 4)
        return entry

    def _citations(self, value: Any) -> list[Json]:
        """Return where the first page that contains a value has it, or nothing if none does."""
        text = "" if value is None or isinstance(value, bool) else str(value)
        if isinstance(value, float):
            text = f"{value:,.2f}"  # as pages show amounts
        for number, page in enumerate(self._pages, 1):
            if text and text in page:
                before = page[: page.index(text)]
                box = {
                    "x": MARGIN + CHARACTER_WIDTH * len(before.rpartition("\n")[2]),
                    "y": MARGIN + LINE_HEIGHT * before.count("\n"),
                    "w": CHARACTER_WIDTH * len(text),
                    "h": LINE_HEIGHT,
                }
                place = {"bounding_boxes": [box], "page_dimensions": PAGE}
                return [{"page": number, "matching_text": text, **place}]
        return []
