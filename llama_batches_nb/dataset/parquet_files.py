"""Write and read Parquet files that show when they are damaged or were replaced.

The footer of a file has a random id, so that its digest identifies one version of the file. Each
page has a checksum. Any Parquet reader can read the files.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import pyarrow as pa

from llama_batches_nb.tables.schema import Table

if TYPE_CHECKING:
    import pyarrow.dataset as ds

COMPRESSION = "zstd"
ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 16 * 2**20  # of Arrow memory; a longer row is a row group of its own
TAIL_SIZE = 64 * 2**10  # bytes; read at once, since most footers fit

_MAGIC = b"PAR1"
_WRITE_ID = b"llama_batches_nb.write_id"


class DamagedFileError(Exception):
    """A file is not Parquet, or not as it was written."""


class FileVersion(NamedTuple):
    """What identifies one version of a file."""

    footer_sha256: str
    rows: int
    crc32: int | None = None  # of the whole file; None if it was not computed


class FileWriter:
    """Write rows to a new file, in row groups of bounded size."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self.path, self.schema = path, schema
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w+b")
        self._writer = pq.ParquetWriter(
            self._file, schema, compression=COMPRESSION, write_page_checksum=True
        )

    def write(self, rows: pa.Table) -> None:
        """Append rows that have the file's schema."""
        n_groups = max(1, -(-rows.nbytes // ROW_GROUP_BYTES))
        size = max(1, min(ROW_GROUP_ROWS, len(rows) // n_groups))
        if len(rows):
            self._writer.write_table(rows, row_group_size=size)

    def close(self) -> FileVersion:
        """Complete the file and flush it to disk; return its version."""
        self._writer.add_key_value_metadata({_WRITE_ID: secrets.token_hex(12)})
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        version = read_version(self._file, whole=True)
        self._file.close()
        return version

    def abort(self) -> None:
        """Close and delete the file, unless it has been renamed."""
        self._writer.is_open = False  # or its finalizer would write to the closed file
        with suppress(OSError):  # what is still in memory does not fit on a full disk
            self._file.close()
        self.path.unlink(missing_ok=True)


def read_version(file: BinaryIO, *, whole: bool) -> FileVersion:
    """Return the version of a file, with its checksum if the `whole` file is to be read.

    Raises `DamagedFileError` if the footer is not that of a Parquet file.
    """
    import pyarrow.parquet as pq

    footer = _read_footer(file)
    try:
        rows = pq.read_metadata(pa.BufferReader(_MAGIC + footer)).num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedFileError(str(error)) from error
    checksum = _crc32(file) if whole else None
    return FileVersion(hashlib.sha256(footer).hexdigest(), rows, checksum)


def _crc32(file: BinaryIO) -> int:
    checksum = 0
    file.seek(0)
    while block := file.read(2**20):
        checksum = zlib.crc32(block, checksum)
    return checksum


def _read_footer(file: BinaryIO) -> bytes:
    """Return the footer with its length and the final magic number."""
    size = file.seek(0, os.SEEK_END)
    file.seek(-min(size, TAIL_SIZE), os.SEEK_END)
    tail = file.read()
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if not tail.endswith(_MAGIC) or length > size:
        raise DamagedFileError("it is not a Parquet file")
    if length > len(tail):
        file.seek(-length, os.SEEK_END)
        tail = file.read()
    return tail[-length:]


class StoredRows:
    """The rows of a local file of a table, read one row group at a time.

    Row groups that cannot be read are left out, and their rows counted as `lost`.
    """

    def __init__(self, file: BinaryIO, table: Table) -> None:
        import pyarrow.parquet as pq

        self.lost = 0
        try:
            self._parquet = pq.ParquetFile(file, page_checksum_verification=True)
            self.schema: pa.Schema = self._parquet.schema_arrow.remove_metadata()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise_if_system_error(error)
            raise DamagedFileError(str(error)) from error
        types = {field.name: field.type for field in self.schema}
        known = table.arrow_schema
        if table.key not in types or any(types.get(f.name, f.type) != f.type for f in known):
            raise DamagedFileError("it has other column types")

    def groups(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows of each row group; columns that do not exist are left out."""
        for index in range(self._parquet.num_row_groups):
            try:
                rows = self._parquet.read_row_group(index, columns, use_threads=False)
                rows.validate(full=True)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise_if_system_error(error)
                self.lost += self._parquet.metadata.row_group(index).num_rows
            else:
                yield rows


def dataset_format() -> ds.ParquetFileFormat:
    """Return the format with which pyarrow's datasets verify the checksums of pages."""
    import pyarrow.dataset as ds

    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=options)


def raise_if_system_error(error: BaseException) -> None:
    """Raise an error of the file system; for invalid content Arrow raises a bare OSError."""
    if isinstance(error, OSError) and (error.errno or type(error) is not OSError):
        raise error
