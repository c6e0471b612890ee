"""Files and names from untrusted sources are read or refused, without side effects."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llama_batches_nb as lb
from llama_batches_nb.panels.create import browser_files
from tests.conftest import Serve
from tests.servers import Request, batch, mapping, page
from tests.strategies import some

Change = Callable[[Path, dict[str, Any]], Any]

DEEP = b"[" * 1_000_000


def on_disk(root: Path) -> dict[str, bytes | str | None]:
    """Return everything below a folder: contents of files, targets of links, and folders."""
    found: dict[str, bytes | str | None] = {}
    for place, folders, files in os.walk(root):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink():
                found[str(path)] = str(path.readlink())
            else:
                found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


# --- one file -----------------------------------------------------------------------------------


class Planted:
    """An object that creates a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


def parquet(
    place: Path,
    metadata: dict[bytes, bytes] | None = None,
    *,
    values: pa.Array | None = None,
    of_field: dict[bytes, bytes] | None = None,
) -> Path:
    """Write a file with one column and this metadata."""
    values = pa.array(["a", "b"]) if values is None else values
    field = pa.field("status", values.type, metadata=of_field)
    schema = pa.schema([field], metadata=metadata)
    pq.write_table(pa.Table.from_arrays([values], schema=schema), place)
    return place


def of_pandas(**changes: Any) -> dict[bytes, bytes]:
    """Return metadata as pandas writes it, with some changes."""
    column = {"name": "status", "field_name": "status", "pandas_type": "unicode",
              "numpy_type": "object", "metadata": None}  # fmt: skip
    column |= changes.pop("column", {})
    given = {"index_columns": [], "column_indexes": [], "columns": [column]}
    return {b"pandas": json.dumps({**given, **changes}).encode()}


def ours(what: Any) -> dict[bytes, bytes]:
    return {b"llama_batches_nb": json.dumps(what).encode()}


def read_or_refused(place: Path) -> pd.DataFrame | None:
    """Return the rows of a file, or None if it is refused with a `DatasetError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (FutureWarning, RuntimeWarning))  # of old pyarrow versions
        with suppress(lb.DatasetError):
            return lb.read_parquet(place)
    return None


BAD_METADATA = {
    "garbage for pandas": {b"pandas": b"\xff\x00"},
    "a list for pandas": {b"pandas": b"[]"},
    "nothing for pandas": {b"pandas": b"{}"},
    "nesting for pandas": {b"pandas": DEEP},
    "missing index column": of_pandas(index_columns=["nope"]),
    "an index beyond numbers": of_pandas(
        index_columns=[{"kind": "range", "name": None, "start": 0, "stop": 10**30, "step": 1}]
    ),
    "an index of a new kind": of_pandas(index_columns=[{"kind": "evil"}]),
    "code for names": of_pandas(column_indexes=[{"pandas_type": "unicode", "numpy_type": "object",
                                                 "name": None, "field_name": None}] * 2),
    "garbage for us": {b"llama_batches_nb": b"\xff{"},
    "a list for us": ours([]),
    "null for us": ours(None),
    "nesting for us": {b"llama_batches_nb": DEEP},
    "a list of categories": ours({"categories": []}),
    "a number for categories": ours({"categories": {"status": 5}}),
    "nested categories": ours({"categories": {"status": [["a"]]}}),
    "categories twice": ours({"categories": {"status": ["a", "a"]}}),
    "categories of no column": ours({"categories": {"nope": ["a"]}}),
    "a number for the ordered": ours({"categories": {"status": ["a"]}, "ordered": 5}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_METADATA)
def test_invalid_metadata_is_refused(name: str, tmp_path: Path) -> None:
    assert read_or_refused(parquet(tmp_path / "x.parquet", BAD_METADATA[name])) is None


ODD_METADATA = {
    "a module for a dtype": of_pandas(column={"numpy_type": "__import__('os')"}),
    "a billion categories": of_pandas(
        column={"numpy_type": "category", "metadata": {"num_categories": 10**9}}
    ),
    "a path for a zone": of_pandas(
        column={"pandas_type": "datetimetz", "metadata": {"timezone": "../../etc/passwd"}}
    ),
    "attributes": of_pandas(attributes={"x": "<b>"}),
    "too few categories": ours({"categories": {"status": ["z"]}, "ordered": ["status"]}),
}


@pytest.mark.parametrize("name", ODD_METADATA)
def test_metadata_never_drops_rows(name: str, tmp_path: Path) -> None:
    rows = read_or_refused(parquet(tmp_path / "x.parquet", ODD_METADATA[name]))
    assert rows is None or rows["status"].tolist() == ["a", "b"]


def test_values_outside_the_categories_are_kept(tmp_path: Path) -> None:
    categories = ours({"categories": {"status": ["z", "b"]}, "ordered": ["status"]})
    status = lb.read_parquet(parquet(tmp_path / "x.parquet", categories))["status"]
    assert status.tolist() == ["a", "b"]
    assert status.cat.categories.tolist() == ["z", "b", "a"]
    assert status.cat.ordered


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["status", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["categories", "ordered", "status"]), inner)
    ),
)


@given(json_values, st.sampled_from([b"llama_batches_nb", b"pandas"]))
@some
def test_any_metadata_is_read_or_refused(value: Any, key: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = read_or_refused(
            parquet(Path(folder, "x.parquet"), {key: json.dumps(value).encode()})
        )
    assert rows is None or len(rows) == 2


@pytest.mark.parametrize(
    "name",
    [
        "arrow.py_extension_type",
        "pandas.period",
        "pandas.interval",
        "arrow.fixed_shape_tensor",
        "x",
    ],
)
def test_pickled_extension_type_is_not_unpickled(name: str, tmp_path: Path) -> None:
    made = tmp_path / "executed"
    content = pickle.dumps(Planted(made))
    of_field = {b"ARROW:extension:name": name.encode(), b"ARROW:extension:metadata": content}
    place = parquet(tmp_path / "x.parquet", {b"pandas": content}, of_field=of_field)
    read_or_refused(place)
    place = parquet(place, values=pa.array([content]), of_field=of_field)
    read_or_refused(place)
    assert not made.exists()
    pickle.loads(content)
    assert made.exists()  # without the protection


VALUES = {
    "nested": pa.array([{"a": [1]}, {"a": []}]),
    "dictionary": pa.array(["a", "b"]).dictionary_encode(),
    "binary": pa.array([b"\xff\x00", b""]),
    "large": pa.array(["x" * 30_000_000, "y"]),
    "far times": pa.array([2**62, -(2**62)], pa.timestamp("us", "UTC")),
    "no zone of this world": pa.array([1, 2], pa.timestamp("us", "../../etc/passwd")),
    "half characters": pa.array([b"\xed\xa0\x80", b"a"]).view(pa.string()),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_any_type_are_read_or_refused(name: str, tmp_path: Path) -> None:
    rows = read_or_refused(parquet(tmp_path / "x.parquet", values=VALUES[name]))
    assert rows is None or len(rows) == 2


@pytest.mark.parametrize("partitions", [b"[]", b"{}", b'["nope"]', b"\xff", b"5", DEEP])
def test_folder_with_invalid_schema_is_read_or_refused(partitions: bytes, tmp_path: Path) -> None:
    (tmp_path / "status=a").mkdir()
    pq.write_table(pa.table({"n": [1]}), tmp_path / "status=a" / "x.parquet")
    schema = pa.schema({"n": pa.int64()}, {b"llama_batches_nb.partitions": partitions})
    pq.write_metadata(schema, tmp_path / "_common_metadata")
    rows = read_or_refused(tmp_path)
    assert rows is None or rows["n"].tolist() == [1]


# --- a dataset ----------------------------------------------------------------------------------


def two_batches(request: Request) -> Any:
    """Respond as a project with one finished and one running batch."""
    name = request.path.rpartition("/")[2]
    statuses = {"bat-1": "COMPLETED", "bat-2": "RUNNING"}
    if name in statuses:
        results = [mapping("dfl-1", None, "too long"), mapping("dfl-2", "pjb-1")]
        return batch(name, statuses[name], results=results)
    if name == "parse":
        return page([{"id": "pjb-1", "status": "COMPLETED"}])
    return page([batch(*one) for one in statuses.items()])


RESULTS_FILE = "results/created=2026-08-01/data.parquet"


def named(name: str) -> Change:
    def change(kept: Path, state: dict[str, Any]) -> Any:
        state["files"][name.format(kept=kept)] = state["files"].pop(RESULTS_FILE)
        return state

    return change


def without_zone(kept: Path, state: dict[str, Any]) -> Any:
    state["covered"][0]["until"] = "2026-08-01T00:00:00"
    return state


def deep(kept: Path, state: dict[str, Any]) -> Any:
    return json.dumps(state).encode()[:-1] + b', "tomorrow": ' + DEEP


REFUSED: dict[str, Change] = {
    "a file above": named("../other/results/created=2026-08-01/data.parquet"),
    "a file below": named("results/../../other/data.parquet"),
    "a file elsewhere": named("{kept}/../other/data.parquet"),
    "a file at a URL": named("http://127.0.0.1:9/data.parquet"),
    "a file of another name": named("results/created=2026-08-01/precious.parquet"),
    "a file that is the record": named("_sync.json"),
    "a file without a name": named(""),
    "a file with a zero": named(RESULTS_FILE + "\0"),
    "a day that is a folder": named("results/created=../data.parquet"),
    "a time without a zone": without_zone,
    "nesting without end": deep,
    "garbage": lambda kept, state: b"\xff\x00",
    "a list": lambda kept, state: [],
    "nothing": lambda kept, state: b"",
}


def other_dataset(kept: Path, what: str) -> Path:
    return kept.parent / "other" / what


def link(what: str) -> Change:
    """Replace the files of a dataset with links to those of another one."""

    def change(kept: Path, state: dict[str, Any]) -> Any:
        place = kept / what
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.symlink_to(other_dataset(kept, what))
        return None if what == "_sync.json" else state

    return change


def folder(what: str) -> Change:
    def change(kept: Path, state: dict[str, Any]) -> Any:
        (kept / what).unlink(missing_ok=True)
        (kept / what).mkdir()
        return None if what == "_sync.json" else state

    return change


def pipe(what: str) -> Change:
    """Replace a file with a named pipe, which blocks readers."""

    def change(kept: Path, state: dict[str, Any]) -> Any:
        (kept / what).unlink()
        os.mkfifo(kept / what)
        return None if what == "_sync.json" else state

    return change


def ids(*pending_ids: str) -> Change:
    pending = [{"batch_id": id_, "day": "../../x"} for id_ in pending_ids]
    return lambda kept, state: state | {"pending": pending}


def ancient(kept: Path, state: dict[str, Any]) -> Any:
    state["covered"][0]["until"] = "0001-01-01T00:00:00Z"
    return state


def forgotten(change: Change) -> Change:
    """Make the same change with a record without files."""
    return lambda kept, state: change(kept, state) and state | {"files": {}, "covered": []}


BORNE: dict[str, Change] = {
    "a table that is a link": link("results"),
    "a table that is a link, not recorded": forgotten(link("results")),
    "a day that is a link": link("results/created=2026-08-01"),
    "a file that is a link": link(RESULTS_FILE),
    "a file that is a link, not recorded": forgotten(link(RESULTS_FILE)),
    "a record that is a link": link("_sync.json"),
    "a record that is a folder": folder("_sync.json"),
    "a record that is a pipe": pipe("_sync.json"),
    "a file that is a pipe": pipe(RESULTS_FILE),
    "a file that is a folder": folder(RESULTS_FILE),
    "pending batches that are no ids": ids("..", "", "../../x", "\u202e"),
    "times before all batches": ancient,
}
"""Ways to damage a dataset: it is read correctly, or refused with a clear error."""


@pytest.fixture
def kept(serve: Serve, tmp_path: Path) -> Path:
    """A dataset, next to another one with the same files."""
    serve(two_batches, max_retries=0)
    place = tmp_path / "kept"
    lb.sync_dataset(place, jobs=True, names=False)
    (place / "results" / "precious.parquet").write_bytes(b"not of a sync")
    shutil.copytree(place, tmp_path / "other")
    return place


def changed(kept: Path, change: Change) -> None:
    record = kept / "_sync.json"
    given = change(kept, json.loads(record.read_bytes()))
    if given is not None:
        content = given if isinstance(given, bytes) else json.dumps(given).encode()
        record.unlink()  # it may be a link
        record.write_bytes(content)


def errors_of(*ways: Callable[[], Any]) -> list[Exception]:
    """Return the errors that these functions raise."""
    found: list[Exception] = []
    for way in ways:
        try:
            way()
        except (lb.BatchesError, ValueError, OSError) as error:
            found.append(error)
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_record_is_refused_and_restored_by_a_sync(name: str, kept: Path) -> None:
    changed(kept, REFUSED[name])
    before = on_disk(kept.parent)
    errors = errors_of(
        lambda: lb.read_dataset(kept),
        lambda: lb.open_dataset(kept, "batches"),
        lambda: lb.dashboard(source=kept),
    )
    assert all(isinstance(error, lb.DatasetError) for error in errors)
    assert len(errors) == 3
    for error in errors:
        assert "_sync.json" in str(error)
    assert on_disk(kept.parent) == before
    with pytest.warns(UserWarning, match="_sync.json.*damaged"):
        lb.sync_dataset(kept, jobs=True, names=False)
    assert len(lb.read_dataset(kept)) == 4
    assert (kept / "results" / "precious.parquet").read_bytes() == b"not of a sync"
    assert sorted(path.name for path in kept.parent.iterdir()) == ["kept", "other"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", BORNE)
def test_dataset_cannot_touch_files_outside(name: str, kept: Path) -> None:
    changed(kept, BORNE[name])
    before = on_disk(kept.parent / "other")
    errors = errors_of(
        lambda: lb.read_dataset(kept),
        lambda: lb.open_dataset(kept).to_table(),
        lambda: lb.sync_dataset(kept, jobs=True, names=False),
        lambda: lb.sync_dataset(kept, jobs=True, names=False),
    )
    assert on_disk(kept.parent / "other") == before
    assert sorted(path.name for path in kept.parent.iterdir()) == ["kept", "other"]
    for error in errors:
        assert isinstance(error, lb.BatchesError) or str(kept) in str(error)


PARTS = {
    "numbers for ids": ("batch_id", pa.array([1, 2])),
    "lists for ids": ("batch_id", pa.array([["a"], ["b"]])),
    "no ids": ("batch_id", pa.nulls(2)),
    "half characters": ("error_message", pa.array([b"\xed\xa0\x80"] * 2)),
    "a dictionary": ("error_message", pa.array(["a", "b"]).dictionary_encode()),
    "structures": ("error_message", pa.array([{"a": 1}, None])),
    "text for times": ("batch_created_at", pa.array(["x", "y"])),
    "far times": ("batch_created_at", pa.array([2**62, 1], pa.timestamp("ns"))),
}


@pytest.mark.parametrize("name", PARTS)
def test_part_file_with_other_types_is_read_or_refused(name: str, kept: Path) -> None:
    column, values = PARTS[name]
    part = kept / RESULTS_FILE
    rows = pq.read_table(part)
    place = rows.schema.get_field_index(column)
    pq.write_table(rows.set_column(place, column, values.take([0, 1, 0, 1])), part)
    with suppress(lb.DatasetError):
        frame = lb.read_dataset(kept)
        assert len(frame) == 4
        assert frame.columns.tolist() == lb.fetch_results("bat-1").columns.tolist()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 9, b"\xff" * 99])
def test_damaged_part_file_is_named_by_dashboard(content: bytes, kept: Path) -> None:
    part = kept / RESULTS_FILE
    part.write_bytes(content)
    with pytest.raises(lb.DatasetError, match=part.name):
        lb.read_dataset(kept)
    board = lb.dashboard(source=kept)
    board.wait()
    assert part.name in board._alert.value
    board.close()


# --- ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["pjb-\u200b1", "\u202epjb", "..", "pjb-\0", " "])
def test_one_odd_job_id_costs_one_job(odd: str, serve: Serve) -> None:
    def answer(request: Request) -> Any:
        if request.path.endswith("/parse"):
            return page([{"id": id_, "status": "COMPLETED"} for id_ in request.query["job_ids"]])
        if "/parse/" in request.path:
            pages = [{"page_number": 1, "success": True, "markdown": "x"}]
            return {"job": {"id": "pjb-1", "status": "COMPLETED"}, "markdown": {"pages": pages}}
        return batch("bat-1", results=[mapping("dfl-1", "pjb-1"), mapping("dfl-2", odd)])

    serve(answer)
    results = lb.fetch_results("bat-1")
    assert len(results) == 2
    with pytest.warns(UserWarning, match="1 job is left out"):
        assert lb.fetch_jobs(results).job_id.tolist() == ["pjb-1"]
    with pytest.warns(UserWarning, match="1 job is left out: 1 whose id"):
        assert lb.fetch_pages(results).job_id.tolist() == ["pjb-1"]


# --- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
@pytest.mark.parametrize("fetch", ["batches", "results", "jobs", "files", "directories"])
def test_one_time_outside_all_years_is_missing(time: str, fetch: str, serve: Serve) -> None:
    def answer(request: Request) -> Any:
        if request.path.endswith("/bat-1"):
            return batch("bat-1", created_at=time, results=[mapping("dfl-1", "pjb-1")])
        return page([{"id": "pjb-1", "created_at": time, "status": "COMPLETED"}, {"id": "x-2"}])

    serve(answer)
    calls: dict[str, Callable[[], pd.DataFrame]] = {
        "batches": lb.fetch_batches,
        "results": lambda: lb.fetch_results("bat-1"),
        "jobs": lambda: lb.fetch_jobs(
            pd.DataFrame({"job_id": ["pjb-1", "x-2"], "job_type": "parse_v2"})
        ),
        "files": lambda: lb.fetch_files("dir-1"),
        "directories": lb.fetch_directories,
    }
    with pytest.warns(UserWarning, match=r"1 value of created_at is missing, .*years 1 to 9999"):
        rows = calls[fetch]()
    assert rows.filter(like="created_at").isna().all(axis=None)


# --- names --------------------------------------------------------------------------------------

NAMES = [
    "../../x", "..", ".", "/etc/passwd", "C:\\x", "CON", "a=b", "%2e%2e%2f", "~", "$HOME", "\n",
    "\u202e", "日本語", "-rf", ":", "a\\..\\b", "_x", ".x", "http://example.com/x",
]  # fmt: skip


def test_partition_values_stay_in_the_folder(tmp_path: Path) -> None:
    frame = pd.DataFrame({"display_name": NAMES, "n": range(len(NAMES))})
    lb.export_parquet(frame, tmp_path / "out", partition_by="display_name")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(list((tmp_path / "out").iterdir())) == len(NAMES) + 1  # the schema
    back = lb.read_parquet(tmp_path / "out").sort_values("n", ignore_index=True)
    assert back["display_name"].tolist() == NAMES


@pytest.mark.parametrize("name", ["", "\0", "x" * 300, "__HIVE_DEFAULT_PARTITION__"])
def test_invalid_partition_value_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"display_name": [name, "a"], "n": [1, 2]})
    with pytest.raises((ValueError, OSError)):
        lb.export_parquet(frame, tmp_path / "out", partition_by="display_name")
    assert on_disk(tmp_path) == {}


def test_symlink_is_replaced_instead_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.parquet").write_bytes(b"precious")
    place = tmp_path / "out"
    frame = pd.DataFrame({"status": ["a"], "n": [1]})
    for partition_by in (None, "status"):
        place.unlink(missing_ok=True)
        place.symlink_to(tmp_path / "elsewhere" / ("" if partition_by else "x.parquet"))
        lb.export_parquet(frame, place, partition_by=partition_by)
        assert lb.read_parquet(place)["n"].tolist() == [1]
        assert on_disk(tmp_path / "elsewhere") == {
            str(tmp_path / "elsewhere" / "x.parquet"): b"precious"
        }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out"]


def test_browser_file_names_stay_in_the_upload_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    time = datetime(2026, 8, 1, tzinfo=UTC)
    files = browser_files.from_upload_widget(
        {"name": name, "size": 1, "last_modified": time, "content": memoryview(b"x")}
        for name in NAMES
    )
    sound = tuple(file for file in files if not browser_files.validation_error((file,)))
    assert {file.name for file in sound} > {"x", "passwd", "CON", "日本語"}
    with browser_files.on_disk(sound) as paths:
        (ours,) = tmp_path.iterdir()
        assert {path.parent.parent for path in paths} == {ours}
        assert all(path.resolve().is_relative_to(ours.resolve()) for path in paths)
    assert on_disk(tmp_path) == {}


def test_server_names_never_become_file_paths(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(request: Request) -> Any:
        if request.path.endswith("/files"):
            return page(
                [{"id": n, "directory_id": n, "display_name": n, "file_id": n} for n in NAMES]
            )
        if request.path.startswith("/api/v2/batches/"):
            named = request.path.removeprefix("/api/v2/batches/")
            results = [mapping(name, None, name) for name in NAMES]
            return batch(named, source_directory_id="dir-1", results=results)
        return page([batch(name) for name in ids_] if request.path.endswith("/batches") else [])

    ids_ = [name for name in NAMES if name not in (".", "..")]
    serve(script)
    monkeypatch.chdir(tmp_path)
    report = lb.sync_dataset("kept", jobs=True, names=False)
    assert report.total["batches"] == len(ids_)
    results = lb.fetch_results(status="COMPLETED")
    assert set(lb.fetch_files("dir-1")["display_name"]) == set(NAMES)
    lb.retry_failed(results, dry_run=True)
    assert len(lb.read_dataset("kept")) == len(results) == len(ids_) * len(NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    for path in (tmp_path / "kept").rglob("*"):
        names = ("batches", "results", "jobs", "data.parquet")
        assert path.name.startswith(("created=", "_")) or path.name in names
