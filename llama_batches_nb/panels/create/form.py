"""The form of the create panel: a directory or files, the job type and a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as widgets
import pandas as pd

from llama_batches_nb.http.client import Client
from llama_batches_nb.messages import format_bytes, format_count
from llama_batches_nb.panels import markup
from llama_batches_nb.panels.create import browser_files
from llama_batches_nb.panels.create.batch_spec import BatchSpec
from llama_batches_nb.panels.create.browser_files import MAX_UPLOAD, BrowserFile
from llama_batches_nb.panels.create.file_count import FileCount
from llama_batches_nb.panels.task_runner import TaskRunner
from llama_batches_nb.panels.widgets.name_lookup import NameIndex
from llama_batches_nb.tables.statuses import JOB_TYPES

TYPING_DELAY = 0.4  # seconds without a keystroke before the directory with a typed id is counted
UPLOAD_HINT = "up to 10 MB in total; for more, use <code>lb.upload_files(…)</code> in a cell"
# ipywidgets' upload button keeps its file input private. Dropped files are therefore assigned to
# that input in the moment when the button clicks it.
DROP_HANDLER_JS = f"""
event.preventDefault(); event.stopPropagation(); this.classList.remove('lb-over');
const files = event.dataTransfer.files, input = HTMLInputElement.prototype;
if (Array.from(files).reduce((sum, file) => sum + file.size, 0) > {MAX_UPLOAD}) {{
    this.setAttribute('role', 'alert');
    this.textContent = 'More than 10 MB: upload these files with lb.upload_files(…) in a cell.';
}} else if (files.length) {{
    input.click = function() {{ this.files = files; this.dispatchEvent(new Event('change')); }};
    try {{ this.closest('.lb-panel').querySelector('.widget-upload').click(); }}
    finally {{ delete input.click; }}
}}"""
DROP_ZONE_HTML = (
    f'<div class="lb-drop lb-muted" ondrop="{DROP_HANDLER_JS}" '
    "ondragover=\"event.preventDefault(); this.classList.add('lb-over')\" "
    f"ondragleave=\"this.classList.remove('lb-over')\">or drop files here: {UPLOAD_HINT}</div>"
)


class BatchForm(widgets.VBox):
    """Controls for what a batch is created from. `on_change` is called when this may differ."""

    def __init__(
        self,
        client: Client,
        runner: TaskRunner,
        on_change: Callable[[], object],
        *,
        directory: str = "",
        configuration: str = "",
        job_type: str = "parse_v2",
    ) -> None:
        self._client, self._on_change = client, on_change
        self._names_loading = True
        self._directories = NameIndex("directory", "dir-")
        self._configurations = {kind: NameIndex("configuration", "cfg-") for kind in JOB_TYPES}
        self.directory = _combobox("Directory", directory)
        self.file_count = FileCount(client, runner, on_change)
        self.upload = widgets.FileUpload(
            description="Upload files", multiple=True, tooltip="Choose files to upload"
        )
        self.job_type = widgets.Dropdown(description="Job type", options=JOB_TYPES, value=job_type)
        self.configuration = _combobox("Configuration", configuration)
        self.directory.observe(self._on_directory, "value")
        self.upload.observe(self._on_upload, "value")
        self.job_type.observe(self._on_job_type, "value")
        self.configuration.observe(self._on_configuration, "value")
        either = widgets.HTML('<span class="lb-muted">or</span>')
        upload = widgets.HBox(
            [either, self.upload, widgets.HTML(DROP_ZONE_HTML)], layout={"flex_flow": "row wrap"}
        )
        source = [self.directory, self.file_count, upload.add_class("lb-row")]
        super().__init__([_form_row(source), _form_row([self.job_type, self.configuration])])

    @property
    def files(self) -> tuple[BrowserFile, ...]:
        """The files to upload."""
        return browser_files.from_upload_widget(self.upload.value)

    def to_spec(self) -> BatchSpec:
        """Return the selection; raise `ValueError` if it is incomplete or invalid."""
        files = self.files
        if message := browser_files.validation_error(files):
            raise ValueError(message)
        source = files or self._directory_id()
        configuration_id = self._configuration_id()
        if not source or not configuration_id:
            missing = ["a directory or files to upload"] * (not source)
            missing += ["a configuration"] * (not configuration_id)
            raise ValueError(f"Select first: {', and '.join(missing)}.")
        if isinstance(source, str):
            if source != self.file_count.directory_id:
                raise ValueError(f"Counting the files of {self._directory_name(source)} …")
            self.file_count.check(self._directory_name(source))
        return BatchSpec(source, configuration_id, self.job_type.value)

    def describe(self, spec: BatchSpec) -> str:
        """Return what a batch is created from, and a warning about its files, as HTML."""
        if spec.files:
            n_files = format_count(len(spec.files), "file")
            size = format_bytes(sum(file.size for file in spec.files))
            source = f"<b>{n_files}</b> ({size}, uploaded first)"
        else:
            n = self.file_count.n_files
            count = "the files" if n is None else f"<b>{format_count(n, 'file')}</b>"
            source = f"{count} of <b>{markup.text(self._directory_name(str(spec.source)))}</b>"
        name = self._configurations[spec.job_type].by_id.get(spec.configuration_id)
        configuration = f"<code>{markup.text(spec.configuration_id)}</code>"
        if name is not None:
            configuration = f"<b>{markup.text(name)}</b> ({configuration})"
        project = (self._client.project or {}).get("name") or self._client.settings.project_id
        where = f"project <b>{markup.text(project)}</b>" if project else "the project of this key"
        html = f"Creates <b>1 batch</b> from {source} with {configuration} in {where}."
        warning = browser_files.validation_warning(spec.files)
        return f"{html}<br>{markup.text(warning)}" if warning else html

    def n_files(self, spec: BatchSpec) -> int | None:
        """Return the number of files of a batch; None if it is not known."""
        return len(spec.files) or self.file_count.n_files

    def is_named(self, spec: BatchSpec) -> bool:
        """Return whether the configuration is one of the list, not an id that may be incomplete."""
        return spec.configuration_id in self._configurations[spec.job_type].by_id

    def disable(self) -> None:
        """Let nothing be chosen, after the API has refused the key."""
        self._names_loading = False
        for control in (self.directory, self.upload, self.job_type, self.configuration):
            control.disabled = True

    def short_title(self, spec: BatchSpec) -> str:
        """Return the source and the configuration of a batch in a few words, as plain text."""
        names = self._configurations[spec.job_type].by_id
        source = (
            format_count(len(spec.files), "uploaded file")
            if spec.files
            else self._directory_name(str(spec.source))
        )
        return f"{source} · {names.get(spec.configuration_id, spec.configuration_id)}"

    def set_options(self, directories: pd.DataFrame, configurations: pd.DataFrame) -> None:
        """Offer the names of directories and configurations."""
        self._names_loading = False
        self._directories = NameIndex("directory", "dir-", directories)
        for kind in JOB_TYPES:
            of_kind = configurations["job_type"].isna() | (configurations["job_type"] == kind)
            self._configurations[kind] = NameIndex("configuration", "cfg-", configurations[of_kind])
        self.directory.options = self._directories.choices
        self._set_configuration_options()
        for control, names in (
            (self.directory, self._directories),
            (self.configuration, self._configurations[self.job_type.value]),
        ):
            control.value = names.by_id.get(control.value, control.value)
        self._count()

    def allow_ids_only(self) -> None:
        """Accept ids without names, after the names could not be loaded."""
        self._names_loading = False
        self._count()

    def use_uploaded_directory(self, directory_id: str, n_files: int) -> None:
        """Select the directory that the files were uploaded to instead of the files."""
        self.file_count.set_count(directory_id, n_files)
        self.upload.value = ()
        self.directory.value = directory_id

    # Handlers

    def _on_directory(self, _: object) -> None:
        if self.directory.value and self.upload.value:
            self.upload.value = ()
        self._count()

    def _on_upload(self, _: object) -> None:
        if self.upload.value and self.directory.value:
            self.directory.value = ""
        self._on_change()

    def _on_job_type(self, _: object) -> None:
        self._set_configuration_options()
        try:
            self._configuration_id()
        except ValueError:  # the configuration has the other job type
            self.configuration.value = ""
        self._on_change()

    def _on_configuration(self, _: object) -> None:
        self._on_change()

    # Names and ids

    def _set_configuration_options(self) -> None:
        self.configuration.options = self._configurations[self.job_type.value].choices

    def _directory_id(self) -> str | None:
        return self._id_of(self.directory, self._directories, "dir-")

    def _configuration_id(self) -> str | None:
        job_type, value = self.job_type.value, self.configuration.value.strip()
        names = self._configurations[job_type]
        for other, other_names in self._configurations.items():
            others = {*other_names.by_id, *other_names.by_id.values()}
            if value in others - {*names.by_id, *names.by_id.values()}:
                name = other_names.by_id.get(value, value)
                raise ValueError(
                    f"Configuration {name} is for {other}, not {job_type}. Select that job type "
                    "or another configuration."
                )
        return self._id_of(self.configuration, names, "cfg-")

    def _id_of(self, control: widgets.Combobox, names: NameIndex, prefix: str) -> str | None:
        value = control.value.strip()
        if value and self._names_loading and not value.startswith(prefix):
            raise ValueError("Loading names …")
        return names.id_of(value)

    def _directory_name(self, directory_id: str) -> str:
        return self._directories.by_id.get(directory_id, directory_id)

    def _count(self) -> None:
        """Count the files of the selected directory, with a delay while an id is typed."""
        try:
            directory_id = None if self.files else self._directory_id()
        except ValueError:
            directory_id = None
        is_typed = directory_id not in self._directories.by_id
        self.file_count.count(directory_id, delay=TYPING_DELAY if is_typed else 0.0)
        self._on_change()


def _combobox(label: str, value: str) -> widgets.Combobox:
    """Return a text field with options, which reports each keystroke."""
    box = widgets.Combobox(description=label, placeholder="select or type an id", value=value)
    return box.add_class("lb-name-control")


def _form_row(controls: Sequence[widgets.Widget]) -> widgets.HBox:
    row = widgets.HBox(list(controls), layout={"flex_flow": "row wrap"})
    return row.add_class("lb-form").add_class("lb-choice")
