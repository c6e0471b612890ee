"""The status line shows the progress of a real progress bar."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from llama_batches_nb.http import workers
from llama_batches_nb.http.progress import progress_bar
from llama_batches_nb.panels.widgets.progress import StatusLine
from tests.conftest import Serve
from tests.servers import Response, batch, page, responses_in_turn


@pytest.fixture
def meter() -> Iterator[StatusLine]:
    meter = StatusLine()
    meter.start("Fetching …")
    yield meter
    for part in (meter.layout, meter.style, meter):
        part.close()


def test_bar_shows_count_and_total(meter: StatusLine) -> None:
    with progress_bar(meter.bar, "Batches", unit="batch", total=480) as shown:
        shown.advance(312)
        shown.refresh()
        assert '<progress aria-label="Progress" value="0.6500">' in meter.value
        assert "Batches: 312 of 480 batches · 0." in meter.value
        assert 'role="status"' in meter.value


def test_bar_without_total_shows_the_count(meter: StatusLine) -> None:
    with progress_bar(meter.bar, "Batches", unit="batch") as shown:
        shown.advance(1200)
        shown.refresh()
        assert "Batches: 1,200 batches" in meter.value
        assert "<progress" not in meter.value
        shown.set_total(2400)
        shown.refresh()
        assert "1,200 of 2,400 batches" in meter.value


def test_bar_of_bytes_shows_units(meter: StatusLine) -> None:
    with progress_bar(meter.bar, "Uploading", unit="B", total=5_000_000, unit_scale=True) as shown:
        shown.advance(1_234_567)
        shown.refresh()
        assert "1.2 MB of 5.0 MB" in meter.value


def test_notes_are_escaped(meter: StatusLine) -> None:
    with progress_bar(meter.bar, "Batches", unit="batch", total=1) as shown:
        shown.set_postfix("<img src=x>")
        assert " · &lt;img src=x&gt;" in meter.value
    meter.finish("<b>")
    assert "&lt;b&gt; · 0." in meter.value


def test_rate_limit_wait_is_shown(serve: Serve, meter: StatusLine) -> None:
    import llama_batches_nb as lb

    values: list[str] = []
    meter.observe(lambda change: values.append(change["new"]), "value")
    wait = Response(status=429, headers={"Retry-After": "1"})
    serve(responses_in_turn([wait, page([batch("bat-1")])]))
    assert len(lb.fetch_batches(progress=meter.bar)) == 1
    assert any("rate limit, waiting 1 s" in html for html in values)
    assert "Batches" in values[-1] or "batch" in values[-1]


def test_bar_of_a_cancelled_task_is_not_updated(meter: StatusLine) -> None:
    go, steps = threading.Event(), []

    def work() -> None:
        with progress_bar(meter.bar, "Old", unit="batch", total=2) as shown:
            steps.append("begun")
            begun.set()
            go.wait(10)
            shown.refresh()
            steps.append("continued")

    begun = threading.Event()
    task = workers.BackgroundTask(work)
    assert begun.wait(10)
    task.stop()
    meter.show_message("New")
    go.set()
    task.join(10)
    assert steps == ["begun"]
    assert "New" in meter.value
