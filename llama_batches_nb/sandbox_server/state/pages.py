"""The pages of a parsed document as Markdown, text and items, with failed pages and confidence."""

from __future__ import annotations

import csv
import io
from html import escape
from random import Random
from typing import TYPE_CHECKING, Any

from llama_batches_nb.sandbox_server.state.documents import Document
from llama_batches_nb.sandbox_server.state.simulation import mix64

if TYPE_CHECKING:
    from llama_batches_nb.sandbox_server.state.documents import Block
    from llama_batches_nb.sandbox_server.state.simulation import Job

Json = dict[str, Any]

PAGE_WIDTH, PAGE_HEIGHT, MARGIN = 595.0, 842.0, 57.0  # points
MAX_FAILED_SHARE = 0.3  # of the pages of a job
PAGE_ERRORS = (
    "Timed out after {n} s",
    "OCR found no text on the page: the scan has a resolution of {n} dpi",
    "Could not decode image object {n}: invalid marker",
    "The layout model returned no blocks (attempt {few})",
)
PAGE_BREAK = "\n\n---\n\n"


def failed_pages(job: Job, share: float) -> dict[int, str]:
    """Return the error of each page that failed, for a share of the jobs with several pages."""
    document = Document(job.file)
    rng = Random(mix64(job.seed & (1 << 63) - 1, state=11))
    if document.page_count < 2 or rng.random() >= share:
        return {}
    count = max(1, int(document.page_count * rng.uniform(0, MAX_FAILED_SHARE)))
    numbers = sorted(rng.sample(range(1, document.page_count + 1), count))
    return {
        number: rng.choice(PAGE_ERRORS).format(n=rng.randint(30, 300), few=rng.randint(2, 5))
        for number in numbers
    }


class ParsedPages:
    """The pages of a COMPLETED parse job, in each form."""

    def __init__(self, job: Job, failed_share: float) -> None:
        self.document = Document(job.file)
        self.failed = failed_pages(job, failed_share)
        self._job = job

    @property
    def numbers(self) -> range:
        """Page numbers."""
        return range(1, self.document.page_count + 1)

    def markdown(self) -> list[Json]:
        """Return the pages as Markdown."""
        return [self._page(n, self._markdown_fields) for n in self.numbers]

    def items(self) -> list[Json]:
        """Return the pages as structured items."""
        return [self._page(n, self._item_fields) for n in self.numbers]

    def forms(self) -> list[Json]:
        """Return the forms of the pages. Only the first page of an admission form has one."""
        return [self._page(n, self._form_fields) for n in self.numbers]

    def text(self) -> list[Json]:
        """Return the pages as text, without those that failed."""
        return [
            {"page_number": n, "text": page_text(self.document.blocks(n))}
            for n in self.numbers
            if n not in self.failed
        ]

    def markdown_full(self) -> str:
        """Return the Markdown of the whole document, without the pages that failed."""
        return PAGE_BREAK.join(each["markdown"] for each in self.markdown() if each["success"])

    def text_full(self) -> str:
        """Return the text of the whole document, without the pages that failed."""
        return "\n\n".join(each["text"] for each in self.text())

    def confidences(self) -> dict[int, float]:
        """Return the confidence of each page that did not fail."""
        rng = Random(mix64(*self._job.file.stored, state=13))
        low = 0.55 if self._job.file.quality == "hard" else 0.85
        drawn = {n: round(rng.uniform(low, 0.995), 3) for n in self.numbers}
        return {n: value for n, value in drawn.items() if n not in self.failed}

    def images(self) -> list[tuple[int, str]]:
        """Return the page number and the caption of each image."""
        return [
            (n, block.text)
            for n in self.numbers
            if n not in self.failed
            for block in self.document.blocks(n)
            if block.kind == "image"
        ]

    def _page(self, number: int, fields: Any) -> Json:
        if number in self.failed:
            return {"page_number": number, "success": False, "error": self.failed[number]}
        return {"page_number": number, "success": True, **fields(number)}

    def _markdown_fields(self, number: int) -> Json:
        company = self.document.company
        return {
            "markdown": "\n\n".join(map(block_markdown, self.document.blocks(number))),
            "header": None if number == 1 else company,
            "footer": f"{number} / {self.document.page_count}",
            "line_numbers": None,
        }

    def _item_fields(self, number: int) -> Json:
        blocks = self.document.blocks(number)
        height = (PAGE_HEIGHT - 2 * MARGIN) / len(blocks)
        items = [
            block_item(block) | {"bbox": [_box(MARGIN + place * height, height)]}
            for place, block in enumerate(blocks)
        ]
        size = {"page_width": PAGE_WIDTH, "page_height": PAGE_HEIGHT}
        return {**size, "items": items, "revisions": None}

    def _form_fields(self, number: int) -> Json:
        is_form = number == 1 and self.document.title == "Formulario de admisión"
        forms = [_form(self.document)] if is_form else []
        size = {"page_width": PAGE_WIDTH, "page_height": PAGE_HEIGHT}
        return {"forms": forms, "detected_form_types": ["other"] if is_form else None, **size}


def _box(top: float, height: float) -> Json:
    return {"x": MARGIN, "y": round(top, 1), "w": PAGE_WIDTH - 2 * MARGIN, "h": round(height, 1)}


def _form(document: Document) -> Json:
    label, is_signed = document.language.facts[1], document.is_paid
    line = f"{label}: {document.company}"
    fields = [
        {"type": "field", "field": "text", "label": label, "value": document.company},
        {"type": "field", "field": "signature", "label": "Firma", "value": is_signed},
    ]
    texts = [{"type": "text", "md": text, "value": text} for text in (line, f"Firma: {is_signed}")]
    rendered = "\n".join(f"- {each['md']}" for each in texts)
    return {
        "json": fields,
        "list": {"type": "list", "ordered": False, "md": rendered, "items": texts},
    }


def block_markdown(block: Block) -> str:
    """Return a part of a page as Markdown."""
    if block.kind == "heading":
        return f"{'#' * block.level} {block.text}"
    if block.kind == "list":
        return "\n".join(f"- {row[0]}" for row in block.rows)
    if block.kind == "table":
        lines = ["| " + " | ".join(row) + " |" for row in block.rows]
        lines.insert(1, "| " + " | ".join("---" for _ in block.rows[0]) + " |")
        return "\n".join(lines)
    return f"![{block.text}](image)" if block.kind == "image" else block.text


def page_text(blocks: list[Block]) -> str:
    """Return a page as text, with the columns of its tables aligned."""
    return "\n\n".join(_block_text(block) for block in blocks)


def _block_text(block: Block) -> str:
    if block.kind == "table":
        widths = [max(map(len, column)) for column in zip(*block.rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in block.rows
        )
    if block.kind == "list":
        return "\n".join(row[0] for row in block.rows)
    return block.text.replace("*", "")


def block_item(block: Block) -> Json:
    """Return a part of a page as a structured item."""
    item: Json = {"type": block.kind, "md": block_markdown(block)}
    if block.kind == "heading":
        return item | {"level": block.level, "value": block.text}
    if block.kind == "list":
        entries = [{"type": "text", "md": row[0], "value": row[0]} for row in block.rows]
        return item | {"ordered": False, "items": entries}
    if block.kind == "table":
        return item | {
            "csv": _csv(block.rows),
            "html": _html(block.rows),
            "rows": [list(row) for row in block.rows],
        }
    if block.kind == "image":
        return item | {"caption": block.text, "url": "image"}
    return item | {"value": block.text.replace("*", "")}


def _csv(rows: tuple[tuple[str, ...], ...]) -> str:
    target = io.StringIO()
    csv.writer(target).writerows(rows)
    return target.getvalue()


def _html(rows: tuple[tuple[str, ...], ...]) -> str:
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
