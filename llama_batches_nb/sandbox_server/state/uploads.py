"""The bytes of the latest uploads, which `download_url` gives back."""

from __future__ import annotations

from collections import OrderedDict

MAX_KEPT_BYTES = 64 * 2**20  # of all files together

StoredFile = tuple[int, int]
"""`File.stored`."""


class Uploads:
    """The content of uploaded files, up to a size; the oldest are dropped first."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes, self._size = max_bytes, 0
        self._contents: OrderedDict[StoredFile, bytes] = OrderedDict()

    def add(self, stored: StoredFile, content: bytes) -> None:
        """Keep the content of a file that was not kept before."""
        self._contents[stored] = content
        self._size += len(content)
        while self._size > self._max_bytes:
            self._size -= len(self._contents.popitem(last=False)[1])

    def get(self, stored: StoredFile) -> bytes | None:
        """Return the content of a file, or None if it is not kept."""
        return self._contents.get(stored)
