"""The controls by which a person says what a batch is to be made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.errors import BatchesError
from llama_batches_nb.fetch.directories import fetch_files
from llama_batches_nb.http import workers
from llama_batches_nb.http.client import Client
from llama_batches_nb.http.workers import Cancelled
from llama_batches_nb.lifecycle.preflight import MAX_FILES_PER_BATCH
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.create import browser_files
from llama_batches_nb.panels.create.batch_spec import BatchSpec
from llama_batches_nb.panels.create.browser_files import BrowserFile
from llama_batches_nb.panels.task_runner import TaskRunner
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.panels.widgets.progress import format_bytes
from llama_batches_nb.tables.statuses import JOB_TYPES

TYPING = 0.4  # seconds after which an id counts as typed to its end
HINT = "up to about 10 MB at once; for more, <code>lb.upload_files(…)</code> in a cell"
# ipywidgets' button for an upload keeps the input that it clicks to itself, so that files which are
# dropped are handed to that input as it is clicked.
DROP_HANDLER_JS = """
event.preventDefault(); event.stopPropagation(); this.classList.remove('lb-over');
const files = event.dataTransfer.files, input = HTMLInputElement.prototype;
if (files.length) {
    input.click = function() { this.files = files; this.dispatchEvent(new Event('change')); };
    try { this.closest('.lb-panel').querySelector('.widget-upload').click(); }
    finally { delete input.click; }
}"""
DROP = (
    f'<div class="lb-drop lb-muted" ondrop="{DROP_HANDLER_JS}" '
    "ondragover=\"event.preventDefault(); this.classList.add('lb-over')\" "
    f"ondragleave=\"this.classList.remove('lb-over')\">or drop files here: {HINT}</div>"
)

CountError = BatchesError | Cancelled


class BatchForm(widgets.VBox):
    """Controls for a directory or files, the job type and a configuration."""

    def __init__(
        self,
        runner: TaskRunner,
        get_client: Callable[[], Client],
        changed: Callable[[], object],
        *,
        directory: str,
        configuration: str,
        job_type: str,
    ) -> None:
        self._runner, self._get_client, self._changed = runner, get_client, changed
        self._directories = NameIndex("directory", "dir-")
        self._configurations = {kind: NameIndex("configuration", "cfg-") for kind in JOB_TYPES}
        self._loading = True
        self._counted: str | None = None  # the directory that is, or is being, counted
        self._n_files: int | None = None
        self._trouble: CountError | None = None
        self.directory = _from_list("Directory", directory)
        self.count = widgets.HTML().add_class("lb-count")
        self.upload = widgets.FileUpload(
            description="Upload files", multiple=True, tooltip="Choose files to upload"
        )
        self.job_type = widgets.Dropdown(description="Job type", options=JOB_TYPES, value=job_type)
        self.configuration = _from_list("Configuration", configuration)
        self.directory.observe(self._on_directory, "value")
        self.upload.observe(self._on_upload, "value")
        self.job_type.observe(self._on_job_type, "value")
        self.configuration.observe(lambda _: self._changed(), "value")
        either = widgets.HTML('<span class="lb-muted">or</span>')
        upload = widgets.HBox(
            [either, self.upload, widgets.HTML(DROP)], layout={"flex_flow": "row wrap"}
        )
        rows = [
            [self.directory, self.count, upload.add_class("lb-row")],
            [self.configuration, self.job_type],
        ]
        super().__init__([_form(row) for row in rows])

    @property
    def files(self) -> tuple[BrowserFile, ...]:
        """The files that are to be uploaded."""
        return browser_files.from_upload_widget(self.upload.value)

    def to_spec(self) -> BatchSpec:
        """Return what the controls say, or raise `ValueError` with what is missing or wrong."""
        files = self.files
        if words := browser_files.validation_error(files):
            raise ValueError(words)
        source = files or self._directory_id()
        configuration_id = self._configuration_id()
        if not source or not configuration_id:
            missing = ["a directory, or files to upload"] * (not source)
            missing += ["a configuration"] * (not configuration_id)
            raise ValueError(f"Still to be chosen: {'; and '.join(missing)}.")
        if isinstance(source, str):
            self._check_count(source)
        return BatchSpec(source, configuration_id, self.job_type.value)

    def in_words(self, order: BatchSpec) -> tuple[str, str]:
        """Return what an order is over, and with which configuration, as HTML."""
        if order.files:
            n_files = markup.count(len(order.files), "file")
            size = format_bytes(sum(file.size for file in order.files))
            over = f"<b>{n_files}</b> ({size}), uploaded first,"
        elif self._n_files is None:
            over = f"the files of <b>{markup.text(self._name_of(str(order.source)))}</b>"
        else:
            over = f"<b>{markup.count(self._n_files, 'file')}</b>"
        name = self._configurations[order.job_type].by_id.get(order.configuration_id)
        id_ = f"<code>{markup.text(order.configuration_id)}</code>"
        return over, id_ if name is None else f"<b>{markup.text(name)}</b> ({id_})"

    def title(self, order: BatchSpec) -> str:
        """Return what an order is over, and with what, in few words."""
        names = self._configurations[order.job_type].by_id
        over = (
            f"{markup.count(len(order.files), 'uploaded file')}"
            if order.files
            else self._name_of(str(order.source))
        )
        return f"{over} · {names.get(order.configuration_id, order.configuration_id)}"

    def set_options(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        """Offer names to choose from."""
        self._loading = False
        self._directories = NameIndex("directory", "dir-", directories)
        for kind in JOB_TYPES:
            of_kind = configurations["job_type"].isna() | (configurations["job_type"] == kind)
            self._configurations[kind] = NameIndex("configuration", "cfg-", configurations[of_kind])
        self.directory.options = self._directories.choices
        self._offer_configurations()
        for control, names in (
            (self.directory, self._directories),
            (self.configuration, self._configurations[self.job_type.value]),
        ):
            control.value = names.by_id.get(control.value, control.value)
        self._count()

    def offer_nothing(self) -> None:
        """Let ids be typed: the names can't be had."""
        self._loading = False
        self._count()

    def use_uploaded_directory(self, directory_id: str, n_files: int) -> None:
        """Go on with the directory that files were uploaded to; they are not needed any more."""
        self._counted, self._n_files, self._trouble = directory_id, n_files, None
        self.upload.value = ()
        self.directory.value = directory_id
        self._show_count()

    def _on_directory(self, _: object) -> None:
        if self.directory.value and self.upload.value:
            self.upload.value = ()
        self._count()

    def _on_upload(self, _: object) -> None:
        if self.upload.value and self.directory.value:
            self.directory.value = ""
        self._changed()

    def _on_job_type(self, _: object) -> None:
        self._offer_configurations()
        try:
            self._configuration_id()
        except ValueError:  # it is one of the other type
            self.configuration.value = ""
        self._changed()

    def _offer_configurations(self) -> None:
        self.configuration.options = self._configurations[self.job_type.value].choices

    def _directory_id(self) -> str | None:
        return self._id_of(self.directory, self._directories, "dir-")

    def _configuration_id(self) -> str | None:
        kind, given = self.job_type.value, self.configuration.value.strip()
        names = self._configurations[kind]
        for other, others in self._configurations.items():
            there = {*others.by_id, *others.by_id.values()}
            if given in there - {*names.by_id, *names.by_id.values()}:
                name = others.by_id.get(given, given)
                raise ValueError(
                    f"The configuration {name} is for {other}, not {kind}: choose that job type, "
                    "or another configuration."
                )
        return self._id_of(self.configuration, names, "cfg-")

    def _id_of(self, control: widgets.Combobox, names: NameIndex, prefix: str) -> str | None:
        given = control.value.strip()
        if given and self._loading and not given.startswith(prefix):
            raise ValueError("Fetching the names …")
        return names.id_of(given)

    def _name_of(self, directory_id: str) -> str:
        return self._directories.by_id.get(directory_id, directory_id)

    # How many files a directory has

    def _count(self) -> None:
        """Count the files of the directory, unless that is done."""
        try:
            directory_id = None if self.files else self._directory_id()
        except ValueError:
            directory_id = None
        if directory_id != self._counted:
            self._counted, self._n_files, self._trouble = directory_id, None, None
            if directory_id is not None:
                self._runner.start("count", partial(self._load_count, directory_id))
            self._show_count()
        self._changed()

    def _load_count(self, directory_id: str) -> None:
        try:
            if directory_id not in self._directories.by_id:
                workers.sleep(TYPING)
            n_files = len(fetch_files(directory_id, client=self._get_client(), progress=False))
        except (BatchesError, Cancelled) as error:
            problem = error
            self._runner.update_ui(lambda: self._set_count(directory_id, None, problem))
        else:
            self._runner.update_ui(lambda: self._set_count(directory_id, n_files, None))

    def _set_count(
        self, directory_id: str, n_files: int | None, trouble: CountError | None
    ) -> None:
        if directory_id == self._counted:
            self._n_files, self._trouble = n_files, trouble
            self._show_count()
            self._changed()

    def _show_count(self) -> None:
        if self._counted is None:
            self.count.value = ""
        elif self._n_files is not None:
            self.count.value = markup.count(self._n_files, "file")
        else:
            self.count.value = "? files" if self._trouble else "counting …"

    def _check_count(self, directory_id: str) -> None:
        """Raise if a batch over a directory can't be made; a count that failed proves nothing."""
        name, n_files, trouble = self._name_of(directory_id), self._n_files, self._trouble
        if directory_id != self._counted or (n_files is None and trouble is None):
            raise ValueError(f"Counting the files of {name} …")
        if isinstance(trouble, BatchesError) and trouble.status_code == 404:
            raise ValueError(str(trouble))
        if n_files == 0:
            raise ValueError(f"{name} has no files to run over: upload some first.")
        if n_files is not None and n_files > MAX_FILES_PER_BATCH:
            raise ValueError(
                f"{name} has {n_files:,} files, more than the {MAX_FILES_PER_BATCH:,} of one "
                f"batch: spread "
                "them over several directories."
            )


def _from_list(label: str, value: str) -> widgets.Combobox:
    """Return a control whose value is known while it is typed, for the summary to keep up."""
    return widgets.Combobox(description=label, placeholder="choose, or type an id", value=value)


def _form(controls: list[Any]) -> widgets.HBox:
    return (
        widgets.HBox(controls, layout={"flex_flow": "row wrap"})
        .add_class("lb-form")
        .add_class("lb-choice")
    )
