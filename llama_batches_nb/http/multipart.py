"""A form with a file that is read while it is sent, so that none is ever whole in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from llama_batches_nb.errors import BatchesError

CHUNK_SIZE = 2**16  # bytes


class MultipartStream:
    """The body of a POST request, as `requests` takes it: fields, and the file as the last."""

    def __init__(self, field: str, name: str, file: BinaryIO, **fields: str) -> None:
        last = RequestField(field, b"", filename=name)
        last.make_multipart()
        around, self._type = encode_multipart_formdata([*fields.items(), last])
        end = b"\r\n--" + self._type.partition("boundary=")[2].encode() + b"--\r\n"
        self._before, self._after = around.removesuffix(end), end
        self._file, self._name = file, name
        self._size = os.fstat(file.fileno()).st_size
        self.rewind()

    def __len__(self) -> int:
        return len(self._before) + self._size + len(self._after)

    def rewind(self) -> dict[str, str]:
        """Begin, or begin again; return the headers that go with it."""
        self._file.seek(0)
        self._pieces = self._read()
        return {"Content-Type": self._type}

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def _read(self) -> Iterator[bytes]:
        yield self._before
        left = self._size
        while left:
            piece = self._file.read(min(left, CHUNK_SIZE))
            if not piece:
                raise BatchesError(f"The file {self._name!r} became shorter while it was sent.")
            left -= len(piece)
            yield piece
        yield self._after
