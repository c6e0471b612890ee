"""Write, read and merge the Parquet files of a dataset."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from llama_batches_nb.dataset.manifest import PartFile
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables.schema import Table

if TYPE_CHECKING:
    import pyarrow.dataset as ds

COMPRESSION = "zstd"
ROW_GROUP_SIZE = 131_072  # rows


def write(storage: Storage, table: Table, rows: pa.Table) -> PartFile:
    """Write rows to a new file."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression=COMPRESSION, row_group_size=ROW_GROUP_SIZE)
    return _store(storage, table, sink, len(rows))


def to_dataset(storage: Storage, table: Table, parts: Sequence[PartFile]) -> ds.FileSystemDataset:
    """Return files as one dataset; a column that an older file lacks is missing in its rows."""
    import pyarrow.dataset as ds

    return ds.FileSystemDataset.from_paths(
        [storage.path(part.name) for part in parts],
        schema=table.arrow_schema,
        format=ds.ParquetFileFormat(),
        filesystem=storage.arrow_filesystem,
    )


def read(
    storage: Storage,
    table: Table,
    parts: Sequence[PartFile],
    columns: list[str] | None = None,
    filter: ds.Expression | None = None,  # noqa: A002
) -> pa.Table:
    """Read the rows of files; raise `DatasetError` if a file is unreadable."""
    try:
        return to_dataset(storage, table, parts).to_table(columns=columns, filter=filter)
    except (pa.ArrowException, OSError):
        raise_if_unreadable(storage, table, parts)
        raise


def raise_if_unreadable(storage: Storage, table: Table, parts: Sequence[PartFile]) -> None:
    """Raise a `DatasetError` that names the first unreadable file, if there is one."""
    for part in parts:
        try:
            to_dataset(storage, table, [part]).to_table()
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(
                f"{part.name!r} in {storage.name!r} is missing or damaged ({error}). Restore it "
                "from a backup, or delete the folder and sync again."
            ) from error


def merge(storage: Storage, table: Table, parts: Sequence[PartFile]) -> PartFile:
    """Write the rows of several files to a new one, without loading all of them at once."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    scanner = to_dataset(storage, table, parts).scanner(
        use_threads=False, batch_readahead=1, fragment_readahead=1
    )
    with pq.ParquetWriter(sink, table.arrow_schema, compression=COMPRESSION) as writer:
        for batch in scanner.to_batches():
            writer.write_batch(batch, row_group_size=ROW_GROUP_SIZE)
    return _store(storage, table, sink, sum(part.rows for part in parts))


def _store(storage: Storage, table: Table, sink: pa.BufferOutputStream, rows: int) -> PartFile:
    name = f"{table.name}/part-{secrets.token_hex(6)}.parquet"
    storage.put(name, sink.getvalue().to_pybytes())
    return PartFile(name, rows)
