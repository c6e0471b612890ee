"""The outputs of COMPLETED parse jobs: inline expansions, and files behind presigned URLs."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from llama_batches_nb.sandbox_server.app import job_serializers
from llama_batches_nb.sandbox_server.app.presigned_urls import presign
from llama_batches_nb.sandbox_server.app.serializers import Json, encode
from llama_batches_nb.sandbox_server.state import pricing
from llama_batches_nb.sandbox_server.state.clock import format_time
from llama_batches_nb.sandbox_server.state.pages import ParsedPages

if TYPE_CHECKING:
    from collections.abc import Collection

    from llama_batches_nb.sandbox_server.state.sandbox_state import SandboxState
    from llama_batches_nb.sandbox_server.state.simulation import Job

CONTENT_METADATA = "_content_metadata"
OUTPUTS = (
    "text",
    "text_full",
    "markdown",
    "markdown_full",
    "items",
    "metadata",
    "forms",
    "job_metadata",
    "raw_parameters",
    "result_content_metadata",
    "images_content_metadata",
)
NOT_OF_FAST_TIER = ("markdown", "markdown_full", "items", "forms")
STORED_KINDS = ("text", "text_full", "markdown", "markdown_full", "items", "metadata", "forms")
MEDIA_TYPES = {"text": "text/plain", "markdown": "text/markdown"}
IMAGE_SIZE = 8  # pixels


class ParseOutputs:
    """The outputs of one COMPLETED parse job, generated when they are read."""

    def __init__(self, state: SandboxState, job: Job) -> None:
        self._state, self._job = state, job
        self._configuration = state.configurations[job.batch.configuration]
        self._tier = pricing.parse_tier(self._configuration)
        self._pages = ParsedPages(job, state.options.failed_pages)

    def expanded(self, expand: Collection[str], base_url: str) -> Json:
        """Return the fields of a response; those that are not in `expand` are null."""
        fields: Json = dict.fromkeys(OUTPUTS)
        stored = {}
        for name in expand:
            kind = name.removesuffix(CONTENT_METADATA)
            if name == "images_content_metadata":
                fields[name] = self._images_metadata(base_url)
            elif name.endswith(CONTENT_METADATA):
                stored[kind] = self._stored_metadata(kind, base_url)
            elif name != "usage":
                fields[name] = self.content(name)
        fields["result_content_metadata"] = stored or None
        return fields

    def content(self, kind: str) -> Json | str | None:
        """Return an output, or None if the tier does not have it."""
        if self._tier == "fast" and kind in NOT_OF_FAST_TIER:
            return None
        match kind:
            case "markdown_full":
                return self._pages.markdown_full()
            case "text_full":
                return self._pages.text_full()
            case "metadata":
                return self._metadata()
            case "job_metadata":
                return self._job_metadata()
        return {"pages": getattr(self._pages, kind)()}

    def file(self, name: str) -> tuple[bytes, str] | None:
        """Return the content and the media type of a stored file, or None if there is none."""
        if name in self._image_names():
            return _png(name), "image/png"
        if name not in STORED_KINDS:
            return None
        kind = name.removesuffix("_full")
        content = self.content(f"{kind}_full" if kind in MEDIA_TYPES else kind)
        if content is None:
            return None
        body = content.encode() if isinstance(content, str) else encode(content)
        return body, MEDIA_TYPES.get(kind, "application/json")

    def _stored_metadata(self, kind: str, base_url: str) -> Json:
        file = self.file(kind)
        if file is None:
            return {"size_bytes": 0, "exists": False, "presigned_url": None}
        return {
            "size_bytes": len(file[0]),
            "exists": True,
            "presigned_url": self._url(kind, base_url),
        }

    def _url(self, name: str, base_url: str) -> str:
        job_id = job_serializers.job_id(self._state, self._job)
        return presign(self._state, base_url, job_id, name)

    def _image_names(self) -> list[str]:
        """Return the names of the stored images; none without the setting `images_to_save`."""
        settings = self._configuration.parameters.get("output_options") or {}
        if not settings.get("images_to_save"):
            return []
        return [f"image_{index}.png" for index, _ in enumerate(self._pages.images())]

    def _images_metadata(self, base_url: str) -> Json:
        images = [
            {
                "filename": name,
                "index": index,
                "bbox": {"x": 57, "y": 57, "w": IMAGE_SIZE, "h": IMAGE_SIZE},
                "category": "embedded",
                "content_type": "image/png",
                "presigned_url": self._url(name, base_url),
                "size_bytes": None,
            }
            for index, name in enumerate(self._image_names())
        ]
        return {"images": images, "total_count": len(images)}

    def _metadata(self) -> Json:
        confidences = self._pages.confidences()
        pages = [
            {
                "page_number": number,
                "confidence": confidences.get(number),
                "cost_optimized": False,
                "original_orientation_angle": 0,
                "printed_page_number": str(number),
                "slide_section_name": None,
                "speaker_notes": None,
                "triggered_auto_mode": False,
                "watermark": None,
            }
            for number in self._pages.numbers
        ]
        scores = list(confidences.values())
        document: Json = {"confidence": None, "confidence_breakdown": None}
        if scores:
            document["confidence"] = round(sum(scores) / len(scores), 4)
            document["confidence_breakdown"] = {
                "min_page_score": min(scores),
                "scored_pages": len(scores),
                "total_pages": len(pages),
            }
        return {"pages": pages, "document": document}

    def _job_metadata(self) -> Json:
        job = self._job
        return {
            "job_pages": self._pages.document.page_count,
            "job_failed_pages": len(self._pages.failed),
            "job_is_cache_hit": False,
            "tier": self._tier,
            "started_at": format_time(job.started),
            "ended_at": format_time(job.ended),
        }


def _png(name: str) -> bytes:
    """Return a small grey image whose shade depends on its name."""
    shade = zlib.crc32(name.encode()) & 0xFF
    rows = (b"\0" + bytes([shade]) * IMAGE_SIZE) * IMAGE_SIZE
    header = struct.pack(">IIBBBBB", IMAGE_SIZE, IMAGE_SIZE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
