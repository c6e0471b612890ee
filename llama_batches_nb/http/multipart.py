"""Multipart request bodies that read their file while it is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from llama_batches_nb.errors import BatchesError

CHUNK_SIZE = 2**16  # bytes of the file in memory at a time


class MultipartStream:
    """A request body for `requests`: form fields, followed by one file."""

    def __init__(self, field: str, name: str, file: BinaryIO, **fields: str) -> None:
        file_field = RequestField(field, b"", filename=name)
        file_field.make_multipart()
        body, self._content_type = encode_multipart_formdata([*fields.items(), file_field])
        boundary = self._content_type.partition("boundary=")[2]
        self._suffix = f"\r\n--{boundary}--\r\n".encode()
        self._prefix = body.removesuffix(self._suffix)
        self._file, self._name = file, name
        self._size = os.fstat(file.fileno()).st_size
        self._chunks = self._iter_chunks()

    def __len__(self) -> int:
        return len(self._prefix) + self._size + len(self._suffix)

    def rewind(self) -> dict[str, str]:
        """Restart the stream, and return the headers of the request."""
        self._chunks = self._iter_chunks()
        return {"Content-Type": self._content_type}

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def _iter_chunks(self) -> Iterator[bytes]:
        self._file.seek(0)
        yield self._prefix
        remaining = self._size
        while remaining:
            chunk = self._file.read(min(remaining, CHUNK_SIZE))
            if not chunk:
                raise BatchesError(
                    f"The file {self._name!r} became shorter during the upload. "
                    "Upload it again once it no longer changes."
                )
            remaining -= len(chunk)
            yield chunk
        yield self._suffix
