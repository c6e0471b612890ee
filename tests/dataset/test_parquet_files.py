"""Files of a dataset as they are written."""

from __future__ import annotations

import gc
from pathlib import Path

import pyarrow as pa
import pytest

from llama_batches_nb.dataset.parquet_files import FileWriter


@pytest.mark.parametrize("n_rows", [0, 1000])
def test_aborted_file_leaves_nothing_and_writes_no_message(tmp_path: Path, n_rows: int) -> None:
    rows = pa.table({"text": ["x"] * n_rows})
    writer = FileWriter(tmp_path / "new" / "data.parquet", pa.schema({"text": pa.string()}))
    writer.write(rows)
    writer.abort()
    del writer
    gc.collect()  # a finalizer that fails is an error of this test
    assert not list((tmp_path / "new").iterdir())
