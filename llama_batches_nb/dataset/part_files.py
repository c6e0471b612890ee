"""The Parquet files of a dataset: written whole, read and merged as streams."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from llama_batches_nb.dataset.manifest import PartFile
from llama_batches_nb.dataset.storage import Storage
from llama_batches_nb.errors import DatasetError
from llama_batches_nb.tables.schema import Table

COMPRESSION = "zstd"
ROW_GROUP = 131_072  # rows


def write(storage: Storage, table: Table, rows: pa.Table) -> PartFile:
    """Write rows as a new file."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression=COMPRESSION, row_group_size=ROW_GROUP)
    return _store(storage, table, sink, len(rows))


def dataset(storage: Storage, table: Table, parts: Sequence[PartFile]) -> Any:
    """Return files as one dataset; a column that older ones lack is missing in their rows."""
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
    filter: Any = None,  # noqa: A002
) -> pa.Table:
    """Return the rows of files, or raise `DatasetError` that names the one that can't be read."""
    try:
        return dataset(storage, table, parts).to_table(columns=columns, filter=filter)
    except (pa.ArrowException, OSError):
        raise_if_unreadable(storage, table, parts)
        raise


def raise_if_unreadable(storage: Storage, table: Table, parts: Sequence[PartFile]) -> None:
    """Raise `DatasetError` if a file can't be read, and name it."""
    for part in parts:
        try:
            dataset(storage, table, [part]).to_table()
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(
                f"{part.name!r} in {storage.name!r} is missing or damaged ({error}): restore it "
                "from a copy, or delete the folder and sync again."
            ) from error


def merge(storage: Storage, table: Table, parts: Sequence[PartFile]) -> PartFile:
    """Write the rows of several files as a new one, without having them all in memory."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    source = dataset(storage, table, parts).scanner(
        use_threads=False, batch_readahead=1, fragment_readahead=1
    )
    with pq.ParquetWriter(sink, table.arrow_schema, compression=COMPRESSION) as writer:
        for batch in source.to_batches():
            writer.write_batch(batch, row_group_size=ROW_GROUP)
    return _store(storage, table, sink, sum(part.rows for part in parts))


def _store(storage: Storage, table: Table, sink: pa.BufferOutputStream, rows: int) -> PartFile:
    name = f"{table.name}/part-{secrets.token_hex(6)}.parquet"
    storage.put(name, sink.getvalue().to_pybytes())
    return PartFile(name, rows)
