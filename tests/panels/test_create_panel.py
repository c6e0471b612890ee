"""One click makes one batch, its wait and its end are shown, and its frames are the API's."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest
from pandas.testing import assert_frame_equal

import llama_batches_nb as lb
from llama_batches_nb.lifecycle import lost_response
from llama_batches_nb.panels.create import batch_row
from llama_batches_nb.panels.create.create_panel import CreatePanel
from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server as Sandbox
from tests.conftest import Serve
from tests.panels.conftest import Keep, alert_of, texts, threads_left
from tests.panels.project import SAVED, Project, dropped, names_in
from tests.servers import Answer, Asked

NAME = """<img src=x onerror="document.title='pwned'">"""
AGENTIC = "cfg-PARSE_AGENTIC"
LONG = 20.0  # seconds in which what must come comes
AN_HOUR = 3600.0  # seconds in which a batch ends, and no directory expires
FRAMES = ("batches", "results", "jobs", "files")


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_response, "RECOVERY_DELAYS", (0.0, 0.01, 0.01))
    monkeypatch.setattr(batch_row, "MIN_PAUSE", 0.01)


Open = Callable[..., CreatePanel]


@pytest.fixture
def opened(serve: Serve, keep: Keep[CreatePanel]) -> Open:
    """Return what opens a panel over a project, once it has counted."""

    def opened(project: Project, directory: str | None = "dir-1", **given: Any) -> CreatePanel:
        serve(project)
        given = {"configuration_id": AGENTIC, **given}
        panel = keep(lb.create_panel(source_directory_id=directory, **given))
        panel.wait()
        return panel

    return opened


def shown(panel: CreatePanel) -> str:
    return " ".join(texts(panel))


def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def summary(panel: CreatePanel) -> str:
    [said] = [text for text in texts(panel) if text.startswith('<span role="status">')][:1]
    return said


def buttons(panel: widgets.Widget) -> dict[str, widgets.Button]:
    """Return the buttons that are to be seen, by their names."""
    if panel.layout.display == "none":
        return {}
    found = {panel.description: panel} if isinstance(panel, widgets.Button) else {}
    for child in getattr(panel, "children", ()):
        found |= buttons(child)
    return found


# What will be made


def test_the_controls_have_their_names(opened: Open) -> None:
    panel = opened(Project(**{"dir-1": 2}))
    choice = panel.choice
    controls = (choice.directory, choice.upload, choice.job_type, choice.configuration)
    assert [control.description for control in controls] == [
        "Directory",
        "Upload files",
        "Job type",
        "Configuration",
    ]
    assert {"Create batch"} <= buttons(panel).keys()
    panel.create().wait()
    assert {"Show failures", "Retry failed"} <= buttons(panel).keys()


def test_what_will_be_made_is_said_before(opened: Open) -> None:
    project = Project(**{"dir-1": 482})
    panel = opened(project, None, configuration_id=None)
    assert "a directory, or files to upload; and a configuration" in summary(panel)
    assert panel.create_button.disabled
    panel.choice.directory.value = "DIR-1"
    panel.wait()
    assert panel.choice.count.value == "482 files"
    assert "Still to be chosen: a configuration." in summary(panel)
    panel.choice.configuration.value = "Agentic"
    said = "Will make <b>1 batch</b> over <b>482 files</b> with <b>Agentic</b>"
    assert said in summary(panel)
    assert AGENTIC in summary(panel)
    assert not panel.create_button.disabled
    assert not project.posts


@pytest.mark.parametrize(
    ("directory", "configuration", "words"),
    [
        ("dir-large", AGENTIC, "DIR-LARGE has 1,001 files, more than the 1,000"),
        ("dir-empty", AGENTIC, "DIR-EMPTY has no files"),
        ("dir-gone", AGENTIC, "dir-gone not found"),
        ("no such name", AGENTIC, "No directory is called &#x27;no such name&#x27;"),
        ("dir-1", "no such name", "No configuration is called &#x27;no such name&#x27;"),
        ("dir-1", SAVED, "Key facts is for extract_v2, not parse_v2"),
        ("", AGENTIC, "Still to be chosen: a directory, or files to upload."),
    ],
)
def test_what_cannot_work_is_said_before(
    opened: Open, directory: str, configuration: str, words: str
) -> None:
    project = Project(**{"dir-1": 1000, "dir-large": 1001, "dir-empty": 0})
    panel = opened(project, directory or None, configuration_id=configuration)
    assert words in summary(panel)
    assert panel.create_button.disabled
    panel.create()
    assert words in alert_of(panel)
    panel.wait()
    assert not project.posts
    panel.choice.directory.value, panel.choice.configuration.value = "DIR-1", "Agentic"
    panel.wait()
    panel.create().wait()
    assert len(project.posts) == 1
    assert not alert_of(panel)


def test_configurations_are_those_of_the_job_type(opened: Open) -> None:
    panel = opened(Project(**{"dir-1": 1}))
    choice = panel.choice
    assert choice.configuration.options == ("Agentic",)
    assert choice.configuration.value == "Agentic"
    choice.job_type.value = "extract_v2"
    assert choice.configuration.options == ("Key facts",)
    assert choice.configuration.value == ""
    choice.configuration.value = "cfg-EXTRACT_OF_TOMORROW"
    assert "cfg-EXTRACT_OF_TOMORROW" in summary(panel)
    choice.job_type.value = "parse_v2"
    assert choice.configuration.value == "cfg-EXTRACT_OF_TOMORROW"


def test_without_names_ids_can_be_typed(serve: Serve, keep: Keep[CreatePanel]) -> None:
    project = Project(**{"7d0e": 3})
    refused = ("/api/v1/beta/directories", "/api/v1/beta/configurations")
    serve(lambda asked: Answer(status=403) if asked.path in refused else project(asked))
    panel = keep(lb.create_panel())
    panel.wait()
    panel.choice.directory.value, panel.choice.configuration.value = "7d0e", "cfg-1"
    panel.wait()
    assert "<b>3 files</b> with <code>cfg-1</code>" in summary(panel)
    panel.create().wait()
    assert project.posts[0]["source_directory_id"] == "7d0e"


def test_a_count_that_fails_proves_nothing(serve: Serve, keep: Keep[CreatePanel]) -> None:
    project = Project(**{"dir-1": 3})
    files = "/api/v1/beta/directories/dir-1/files"
    serve(lambda asked: Answer(status=403) if asked.path == files else project(asked))
    panel = keep(lb.create_panel(source_directory_id="dir-1", configuration_id=AGENTIC))
    panel.wait()
    assert "over the files of <b>DIR-1</b>" in summary(panel)
    panel.create().wait()
    assert len(project.posts) == 1


def test_a_count_that_is_stopped_proves_nothing_either(opened: Open) -> None:
    project = Project(**{"dir-1": 3})
    panel = opened(project, None)
    panel.choice.directory.value = "dir-typed"
    panel.stop()
    panel.wait()
    assert "over the files of <b>dir-typed</b>" in summary(panel)


def test_while_an_id_is_typed_it_is_counted_once(serve: Serve, keep: Keep[CreatePanel]) -> None:
    server = serve(Project(**{"dir-1234": 3}))
    panel = keep(lb.create_panel())
    panel.wait()
    for end in range(1, len("dir-1234") + 1):
        panel.choice.directory.value = "dir-1234"[:end]
    panel.wait()
    assert panel.choice.count.value == "3 files"
    assert [path for path in server.paths() if path.endswith("/files")] == [
        "/api/v1/beta/directories/dir-1234/files"
    ]


@pytest.mark.parametrize(
    "given", [{"job_type": "parse"}, {"source_directory_id": " "}, {"configuration_id": ["a", "b"]}]
)
def test_bad_arguments_make_no_panel(serve: Serve, given: dict[str, Any]) -> None:
    server = serve(Project())
    with pytest.raises(ValueError, match=next(iter(given))):
        lb.create_panel(**given)
    assert not server.asked


def test_without_a_key_there_is_no_panel() -> None:
    with pytest.raises(lb.AuthenticationError, match="LLAMA_CLOUD_API_KEY"):
        lb.create_panel()


# One click, one batch


def test_clicks_of_several_threads_make_one_batch(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    panel = opened(project)
    go = threading.Barrier(8)

    def click() -> None:
        go.wait()
        panel.create_button.click()

    clicks = [threading.Thread(target=click) for _ in range(8)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    panel.wait()
    assert len(project.posts) == 1
    assert panel.batches.batch_id.tolist() == ["bat-0"]


def test_a_late_click_makes_none_and_another_batch_is_asked_for_twice(opened: Open) -> None:
    project = Project(**{"dir-1": 2, "dir-2": 3})
    panel = opened(project)
    panel.create().wait()
    panel.create().wait()
    panel.create_button.click()
    panel.wait()
    assert len(project.posts) == 1
    assert panel.create_button.disabled
    assert "click New batch" in summary(panel)
    panel.new_button.click()
    assert not panel.create_button.disabled
    assert len(project.posts) == 1
    panel.create().wait()
    assert len(project.posts) == 2
    panel.choice.directory.value = "DIR-2"  # a changed choice is another batch
    panel.wait()
    panel.create().wait()
    assert [post["source_directory_id"] for post in project.posts] == ["dir-1", "dir-1", "dir-2"]
    panel.choice.directory.value = "DIR-1"  # and this one is made already
    panel.wait()
    panel.create().wait()
    assert len(project.posts) == 3
    assert panel.batches.batch_id.tolist() == ["bat-0", "bat-1", "bat-2"]


@pytest.mark.parametrize("status", [400, 403, 409, 422, 500])
def test_after_a_refusal_it_can_be_tried_again(opened: Open, status: int) -> None:
    project = Project(**{"dir-1": 2})
    project.make = lambda made: Answer({"detail": f"No <b>{NAME}"}, status)
    project.makes = 0
    panel = opened(project)
    panel.create().wait()
    assert "No &lt;b&gt;&lt;img" in alert_of(panel)
    assert not panel.runs
    assert panel.batches.empty
    assert not panel.create_button.disabled
    project.make, project.makes = (lambda made: made), 1
    panel.create().wait()
    assert panel.batches.batch_id.tolist() == ["bat-0"]
    assert not alert_of(panel)


def test_a_batch_whose_answer_was_lost_is_found(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.make = lambda made: Answer(drop=True)
    panel = opened(project)
    panel.create().wait()
    assert len(project.posts) == 1
    assert panel.batches.status.tolist() == ["COMPLETED"]


@pytest.mark.parametrize("makes", [0, 2])
def test_what_may_have_been_made_is_shown_and_no_click_makes_another(
    opened: Open, makes: int
) -> None:
    project = Project(**{"dir-1": 2})
    project.make, project.makes = (lambda made: Answer(drop=True)), makes
    panel = opened(project)
    panel.create().wait()
    assert "answer to the create was lost" in alert_of(panel)
    assert panel.create_button.disabled
    panel.create().wait()
    assert len(project.posts) == 1
    if not makes:
        assert "None has appeared" in shown(panel)
        project.batches.append(project.posts[0] | {"id": "bat-late", "status": "RUNNING"})
        buttons(panel)["Look again"].click()
        panel.wait()
    buttons(panel)["bat-1" if makes else "bat-late"].click()
    panel.wait()
    assert panel.batches.batch_id.tolist() == ["bat-1" if makes else "bat-late"]
    assert panel.batches.status.tolist() == ["COMPLETED"]
    assert "Look again" not in buttons(panel)
    assert not alert_of(panel)
    panel.new().create().wait()
    assert len(project.posts) == 2


# Files that are uploaded first


def test_files_are_uploaded_and_then_run(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    panel = opened(project)
    before = set(Path(tempfile.gettempdir()).iterdir())
    panel.choice.upload.value = dropped("a.pdf", "../../B.pdf", "C:\\docs\\b.pdf", NAME)
    assert panel.choice.directory.value == ""
    assert "over <b>4 files</b> (16 B), uploaded first," in summary(panel)
    assert "['a.pdf', 'B.pdf', 'b.pdf'" in panel.code
    panel.create().wait()
    assert names_in(project.uploads) == {"a.pdf", "B.pdf", "b.pdf", NAME.rpartition("/")[2]}
    assert [post["source_directory_id"] for post in project.posts] == ["dir-up"]
    assert panel.choice.upload.value == ()
    assert panel.choice.directory.value == "dir-up"
    assert panel.choice.count.value == "4 files"
    assert panel.create_button.disabled
    new = set(Path(tempfile.gettempdir()).iterdir()) - before
    assert not [path for path in new if path.name.startswith("llama_batches_nb_")]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"{n}.pdf" for n in range(1001)], "1,001 files exceed the limit of 1,000"),
        (["a.pdf", "x/a.pdf"], "Duplicate file names: &#x27;a.pdf&#x27;"),
        (["a.pdf", ""], "Invalid file names: &#x27;&#x27;"),
        (["..", "a.pdf"], "Invalid file names: &#x27;..&#x27;"),
        (["a\0.pdf"], "Invalid file names: "),
        (["\ud800.pdf"], "Invalid file names: "),
        (["ж" * 128], "Invalid file names: "),
    ],
)
def test_files_that_cannot_be_uploaded_are_refused_before(
    opened: Open, names: list[str], words: str
) -> None:
    project = Project()
    panel = opened(project, None)
    panel.choice.upload.value = dropped(*names)
    assert words in summary(panel)
    assert panel.create_button.disabled
    panel.create().wait()
    assert not project.uploads
    assert not project.posts


def test_an_empty_file_is_told_of_and_may_be_tried(opened: Open) -> None:
    project = Project()
    panel = opened(project, None)
    panel.choice.upload.value = dropped("nothing.pdf", content=b"")
    assert "Empty files will fail: &#x27;nothing.pdf&#x27;" in summary(panel)
    panel.create().wait()
    assert len(project.posts) == 1


def test_a_directory_takes_the_place_of_files(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    panel = opened(project, None)
    panel.choice.upload.value = dropped("a.pdf")
    panel.choice.directory.value = "DIR-1"
    panel.wait()
    assert panel.choice.upload.value == ()
    panel.create().wait()
    assert project.posts[0]["source_directory_id"] == "dir-1"
    assert not project.uploads


def test_an_upload_that_broke_off_goes_on_where_it_was(opened: Open) -> None:
    project = Project()
    project.upload = lambda number: Answer({"detail": "Bad"}, 422) if number == 2 else None
    panel = opened(project, None)
    panel.choice.upload.value = dropped("0.pdf", "1.pdf", "2.pdf")
    panel.create().wait()
    assert "Bad" in alert_of(panel)
    assert not project.posts
    directories = set(project.n_files)
    panel.create().wait()
    assert set(project.n_files) == directories
    assert project.n_files["dir-up"] == 3
    assert len(project.posts) == 1


def test_what_was_uploaded_is_not_uploaded_again_when_the_create_fails(opened: Open) -> None:
    project = Project()
    project.make, project.makes = (lambda made: Answer({"detail": "No"}, 422)), 0
    panel = opened(project, None)
    panel.choice.upload.value = dropped("a.pdf")
    panel.create().wait()
    assert "No" in alert_of(panel)
    project.make, project.makes = (lambda made: made), 1
    panel.create().wait()
    assert len(project.uploads) == 1
    assert [post["source_directory_id"] for post in project.posts] == ["dir-up"] * 2
    assert panel.batches.status.tolist() == ["COMPLETED"]


def test_cancelling_the_upload_makes_no_batch(serve: Serve, keep: Keep[CreatePanel]) -> None:
    project, go_on = Project(), threading.Event()

    def script(asked: Asked) -> Any:
        if asked.path.endswith("/upload"):
            go_on.wait(LONG)
        return project(asked)

    server = serve(script)
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.choice.upload.value = dropped("a.pdf")
    panel.create()
    until(lambda: any(path.endswith("/upload") for path in server.paths()))
    panel.cancel().wait()
    go_on.set()
    assert "Stopped, and no batch was made." in alert_of(panel)
    assert not project.posts
    assert not panel.create_button.disabled


# The wait


def test_each_status_is_shown_as_it_comes(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = ["PENDING"]
    panel = opened(project)
    panel.create()
    for status in ("PENDING", "THROTTLED", "RUNNING", "PAUSED"):
        project.statuses = [status]
        until(lambda status=status: f"{status}</b>" in shown(panel))  # type: ignore[misc]
        until(lambda: " for " in f" {shown(panel)}")
        assert "Cancel batch" in buttons(panel)
        assert panel.batches.status.tolist() == [status]
        assert panel.results is None
    project.statuses = ["COMPLETED"]
    panel.wait()
    assert "COMPLETED</b>: 1 succeeded, 1 failed" in shown(panel)
    assert "Cancel batch" not in buttons(panel)


def test_a_question_without_an_answer_is_borne_and_told(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = ["RUNNING", Answer(status=500)]  # type: ignore[list-item]
    panel = opened(project)
    panel.create()
    until(lambda: "no response, retrying" in shown(panel))
    project.statuses = ["COMPLETED"]
    panel.wait()
    assert panel.batches.status.tolist() == ["COMPLETED"]
    assert not alert_of(panel)


def test_an_error_ends_the_watching_and_it_can_go_on(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = [Answer({"detail": "key expired"}, 401)]  # type: ignore[list-item]
    panel = opened(project)
    panel.create().wait()
    assert "key expired" in alert_of(panel)
    project.statuses = ["COMPLETED"]
    buttons(panel)["Wait again"].click()
    panel.wait()
    assert not alert_of(panel)
    assert "1 succeeded, 1 failed" in shown(panel)


def test_to_stop_is_to_watch_no_more(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = ["RUNNING"]
    panel = opened(project)
    panel.create()
    until(lambda: "RUNNING</b>" in shown(panel))
    panel.stop()
    panel.wait()
    assert "it goes on" in shown(panel)
    polls = project.polls
    project.statuses = ["COMPLETED"]
    buttons(panel)["Wait again"].click()
    panel.wait()
    assert project.polls == polls + 1
    assert panel.batches.status.tolist() == ["COMPLETED"]


def test_jobs_that_go_on_after_their_batch_are_looked_at_again(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.job = {"status": "RUNNING"}
    panel = opened(project)
    panel.create()
    until(lambda: "0 succeeded, 1 failed, 1 undecided · 1 still run" in shown(panel))
    project.job = {"status": "FAILED"}
    panel.wait()
    assert "0 succeeded, 2 failed<" in shown(panel)


def test_the_files_of_a_failed_batch_are_not_counted(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = ["FAILED"]
    panel = opened(project)
    panel.create().wait()
    assert "FAILED</b>: its files are not reliably known" in shown(panel)
    assert buttons(panel)["Retry failed"].disabled


def test_cancelling(on_still: tuple[Sandbox, lb.Client], keep: Keep[CreatePanel]) -> None:
    still, _ = on_still
    panel = _over(keep, "Delivery notes")
    panel.create()
    until(lambda: "Cancel batch" in buttons(panel))
    buttons(panel)["Cancel batch"].click()
    until(lambda: "asked to stop" in shown(panel))
    still.advance(AN_HOUR)
    panel.wait()
    assert "CANCELLED</b>: 0 succeeded, 0 failed" in shown(panel)
    assert panel.batches.status.tolist() == ["CANCELLED"]
    assert lb.get_batch(panel.batches).status.tolist() == ["CANCELLED"]


def test_what_is_cancelled_while_it_is_created_is_cancelled_then(
    serve: Serve, keep: Keep[CreatePanel]
) -> None:
    project, go_on, asked_for = Project(**{"dir-1": 2}), threading.Event(), threading.Event()
    project.statuses = ["RUNNING"]

    def cancelled(made: dict[str, Any]) -> Any:
        project.statuses = ["CANCELLED"]
        return made

    def script(asked: Asked) -> Any:
        answer = project(asked)
        if asked.method == "POST" and not asked_for.is_set():
            asked_for.set()
            go_on.wait(LONG)
        return answer

    project.cancel = cancelled
    serve(script)
    panel = keep(lb.create_panel(source_directory_id="dir-1", configuration_id=AGENTIC))
    panel.wait()
    panel.create()
    assert asked_for.wait(LONG)
    panel.cancel()
    go_on.set()
    panel.wait()
    assert panel.batches.status.tolist() == ["CANCELLED"]


def test_cancelling_too_late_is_told_and_the_end_is_shown(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = ["RUNNING"]
    panel = opened(project)
    panel.create()
    until(lambda: "Cancel batch" in buttons(panel))

    def too_late(made: dict[str, Any]) -> Answer:
        project.statuses = ["COMPLETED"]
        return Answer({"detail": "It has ended"}, 409)

    project.cancel = too_late
    panel.cancel().wait()
    assert "It has ended" in alert_of(panel)
    assert "1 succeeded, 1 failed" in shown(panel)


def test_a_cancel_that_fails_can_be_tried_again(opened: Open) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = ["RUNNING"]
    project.cancel = lambda made: Answer({"detail": "No"}, 422)
    panel = opened(project)
    panel.create()
    until(lambda: "Cancel batch" in buttons(panel))
    panel.cancel()
    until(lambda: "No" in alert_of(panel))
    assert not buttons(panel)["Cancel batch"].disabled
    cancelled: list[Any] = []

    def cancel(made: dict[str, Any]) -> Any:
        cancelled.append(made)
        project.statuses = ["CANCELLED"]
        return made | {"status": "RUNNING"}

    project.cancel = cancel
    panel.cancel().cancel().wait()
    assert len(cancelled) == 1
    assert panel.batches.status.tolist() == ["CANCELLED"]
    assert not alert_of(panel)


# The end


@pytest.fixture
def on_still(keep: Keep[CreatePanel]) -> Any:
    """Connect to a sandbox of our own, whose clock stands still; panels close before it."""
    with (
        Sandbox.start(Options(batches=3, files=(20, 40), speed=0), thread=True) as server,
        lb.connect(server.api_key, base_url=server.url) as client,
    ):
        yield server, client


def _over(keep: Keep[CreatePanel], directory: str) -> CreatePanel:
    """Return a panel that is ready to make a batch over a directory of the sandbox."""
    panel = keep(lb.create_panel())
    panel.wait()
    panel.choice.directory.value, panel.choice.configuration.value = directory, "Agentic"
    panel.wait()
    assert not panel.create_button.disabled, summary(panel)
    return panel


def _check_code(panel: CreatePanel, **given: Any) -> None:
    """Check that the panel's code gives the panel's frames, and makes no batch."""
    before = len(lb.fetch_batches())
    names: dict[str, Any] = dict(given)
    exec(panel.code, names)
    for name in FRAMES:
        mine, theirs = getattr(panel, name), names[name]
        if name == "jobs":  # the API has an order of its own
            mine, theirs = (f.sort_values("job_id", ignore_index=True) for f in (mine, theirs))
        assert_frame_equal(mine, theirs)
    assert len(lb.fetch_batches()) == before


def test_the_frames_are_those_of_the_code(
    on_still: tuple[Sandbox, lb.Client], keep: Keep[CreatePanel]
) -> None:
    still, _ = on_still
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.choice.upload.value = (
        *dropped("1.txt", "2.txt"),
        *dropped("corrupt.pdf", content=b"corrupt"),
        *dropped("empty.pdf", content=b""),
    )
    assert "batches = lb.create_batch(" in panel.code
    panel.create()
    until(lambda: len(panel.batches))
    still.advance(AN_HOUR)
    panel.wait()
    assert panel.files is not None
    assert "COMPLETED</b>: 2 succeeded, 2 failed" in shown(panel)
    _check_code(panel)
    buttons(panel)["Show failures"].click()
    panel.wait()
    frame = panel._files.frame
    assert frame is not None
    assert len(frame) == len(panel.files)
    assert frame.display_name.notna().all()
    assert set(panel._files.table.frame.display_name) == {"corrupt.pdf", "empty.pdf"}


def test_code_before_there_is_a_batch_makes_it(
    on_sandbox: lb.Client, keep: Keep[CreatePanel]
) -> None:
    panel = _over(keep, "Delivery notes")
    names: dict[str, Any] = {}
    before = len(lb.fetch_batches())
    exec(panel.code, names)
    assert len(lb.fetch_batches()) == before + 1
    assert names["batches"].status.tolist() == ["COMPLETED"]


def test_the_code_names_the_client_that_was_given(
    on_sandbox: lb.Client, keep: Keep[CreatePanel]
) -> None:
    directory = lb.fetch_directories(name="Delivery notes")
    panel = keep(
        lb.create_panel(on_sandbox, source_directory_id=directory, configuration_id=AGENTIC)
    )
    panel.wait()
    assert panel.code.count("client=client") == 4
    panel.create().wait()
    _check_code(panel, client=on_sandbox)


def test_failed_files_are_run_again_by_a_second_click(
    on_still: tuple[Sandbox, lb.Client], keep: Keep[CreatePanel], tmp_path: Path
) -> None:
    still, _ = on_still
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.choice.upload.value = dropped("bad.pdf", content=b"corrupt") + dropped("good.pdf")
    panel.create()
    until(lambda: len(panel.batches))
    still.advance(AN_HOUR)
    panel.wait()
    before = len(lb.fetch_batches())
    buttons(panel)["Retry failed"].click()
    panel.wait()
    assert "1 file would be run again in 1 new batch, without an upload." in shown(panel)
    assert len(lb.fetch_batches()) == before
    button = buttons(panel)["Retry 1 file"]
    clicks = [threading.Thread(target=button.click) for _ in range(4)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    until(lambda: len(panel.batches) == 2)
    still.advance(AN_HOUR)
    panel.wait()
    assert len(lb.fetch_batches()) == before + 1
    assert panel.batches.status.tolist() == ["COMPLETED", "COMPLETED"]
    assert panel.results is not None
    assert panel.results.batch_id.value_counts().tolist() == [2, 1]
    assert "retry_failed" in panel.code
    _check_code(panel)
    assert lb.attempts(panel.files, lb.fetch_files(panel.batches)).attempt.max() == 2


def test_a_retry_that_fails_can_be_tried_again(opened: Open, serve: Serve) -> None:
    project = Project(**{"dir-1": 2})
    panel = opened(project)
    panel.create().wait()
    buttons(panel)["Retry failed"].click()
    panel.wait()
    project.make, project.makes = (lambda made: Answer({"detail": "No"}, 422)), 0
    buttons(panel)["Retry 1 file"].click()
    panel.wait()
    assert "No" in alert_of(panel)
    assert len(panel.runs) == 1
    project.make, project.makes = (lambda made: made), 1
    buttons(panel)["Retry failed"].click()
    panel.wait()
    buttons(panel)["Retry 1 file"].click()
    panel.wait()
    assert len(panel.batches) == 2
    assert not alert_of(panel)


def test_where_nothing_failed_there_is_nothing_to_run_again(
    on_sandbox: lb.Client, keep: Keep[CreatePanel]
) -> None:
    panel = keep(lb.create_panel(configuration_id=AGENTIC))
    panel.wait()
    panel.choice.upload.value = dropped("good.txt")
    panel.create().wait()
    assert "1 succeeded, 0 failed" in shown(panel)
    buttons(panel)["Retry failed"].click()
    panel.wait()
    assert "There is nothing to run again." in shown(panel)
    assert not [name for name in buttons(panel) if name.startswith("Retry 0")]


# Manners


def test_names_and_messages_are_escaped(serve: Serve, keep: Keep[CreatePanel]) -> None:
    project = Project(**{"dir-1": 2})

    def script(asked: Asked) -> Any:
        answer = project(asked)
        for record in answer.get("items", ()) if isinstance(answer, dict) else ():
            record |= {name: NAME for name in ("name", "display_name") if name in record}
        return answer

    project.job = {"status": "FAILED", "error_message": NAME}
    serve(script)
    panel = keep(lb.create_panel(source_directory_id="dir-1"))
    panel.wait()
    panel.choice.configuration.value = panel.choice.configuration.options[0]
    panel.choice.upload.value = dropped(NAME, content=b"")
    assert "Empty files will fail: &#x27;&lt;img" in summary(panel)
    assert "<img" not in shown(panel)
    panel.choice.directory.value = "dir-1"
    panel.wait()
    panel.create().wait()
    buttons(panel)["Show failures"].click()
    panel.wait()
    assert len(panel.batches) == 1
    assert "&lt;img" in shown(panel)
    for text in [*texts(panel), panel._saved.html()]:
        assert "<img" not in text


def test_a_closed_panel_leaves_its_batch_to_run(serve: Serve) -> None:
    project = Project(**{"dir-1": 2})
    project.statuses = ["RUNNING"]
    server = serve(project)
    panel = lb.create_panel(source_directory_id="dir-1", configuration_id=AGENTIC)
    panel.wait()
    panel.create()
    until(lambda: "RUNNING</b>" in shown(panel))
    panel.close()
    assert not threads_left()
    assert panel.batches.status.tolist() == ["RUNNING"]
    assert not [path for path in server.paths() if path.endswith("/cancel")]


def test_a_panel_that_is_closed_while_it_creates_still_has_the_batch(serve: Serve) -> None:
    project, go_on, asked_for = Project(**{"dir-1": 2}), threading.Event(), threading.Event()

    def script(asked: Asked) -> Any:
        answer = project(asked)
        if asked.method == "POST":
            asked_for.set()
            go_on.wait(LONG)
        return answer

    serve(script)
    panel = lb.create_panel(source_directory_id="dir-1", configuration_id=AGENTIC)
    panel.wait()
    panel.create()
    assert asked_for.wait(LONG)
    panel.close()
    go_on.set()
    assert not threads_left()
    assert panel.batches.batch_id.tolist() == ["bat-0"]
    assert len(project.posts) == 1


def test_what_is_made_stays_with_the_client_that_was_there(opened: Open, serve: Serve) -> None:
    project = Project(**{"dir-1": 2})
    panel = opened(project)
    elsewhere = serve(Project())
    panel.create().wait()
    assert len(project.posts) == 1
    assert not elsewhere.asked


def test_a_saved_notebook_tells_what_was_made(opened: Open) -> None:
    panel = opened(Project(**{"dir-1": 2}))
    assert "no batch was made" in repr(panel)
    panel.create().wait()
    assert "bat-0 COMPLETED" in repr(panel)
    saved = panel._repr_mimebundle_()["text/html"]
    assert "COMPLETED</b>: 1 succeeded, 1 failed" in saved
    assert AGENTIC not in panel._text()
