"""LlamaCloud (LlamaParse) batches as pandas frames.

Each function takes the frame that the one before it returned::

    import llama_batches_nb as lb

    lb.connect()                                       # key from LLAMA_CLOUD_API_KEY
    batches = lb.fetch_batches(created_at_on_or_after="2026-08-01")
    results = lb.fetch_results(batches)                # one row per file of each batch
    jobs    = lb.fetch_jobs(results)                   # how each file's job ended
    files   = lb.outcomes(results, jobs)               # the layers of failure as one column
    lb.failure_rates(files, by="configuration_id")     # failed ÷ decided, with its interval
    lb.plot_failure_rates(files, freq="W")

    (lb.upload_files("scans/*.pdf")                    # start a batch and see it end
       .pipe(lb.create_batch, "cfg-PARSE_AGENTIC")
       .pipe(lb.wait_for_batches)
       .pipe(lb.wait_for_jobs))                        # jobs may run longer than their batch

Without a key, ``lb.sandbox()`` starts a server on this machine with a history worth looking at; the
examples of the functions run on it.
"""

import typing as _typing
from importlib import import_module as _import_module
from importlib.metadata import version as _version
from types import FunctionType as _FunctionType

from llama_batches_nb.errors import (
    AuthenticationError,
    BatchesError,
    ConflictError,
    ConnectionFailedError,
    DatasetError,
    DatasetLockedError,
    InvalidRequestError,
    NotFoundError,
    PaginationError,
    RateLimitError,
    ResponseError,
    ServerError,
    UnconfirmedCreateError,
    UsageLimitError,
    WaitTimeoutError,
)
from llama_batches_nb.http.interrupts import defer_interrupts as _defer_interrupts
from llama_batches_nb.messages import did_you_mean as _did_you_mean
from llama_batches_nb.tracebacks import hide_internal_frames as _hide_internal_frames

if _typing.TYPE_CHECKING:
    __version__: str
    from llama_batches_nb.analysis.attempts import attempts
    from llama_batches_nb.analysis.changes import rate_changes
    from llama_batches_nb.analysis.compare import compare_configurations
    from llama_batches_nb.analysis.final_outcomes import final_outcomes
    from llama_batches_nb.analysis.outcomes import outcomes
    from llama_batches_nb.analysis.patterns import error_patterns, pattern_ids
    from llama_batches_nb.analysis.rates import failure_rates
    from llama_batches_nb.analysis.summary import ledger, summarize
    from llama_batches_nb.dataset.estimate import estimate_batch
    from llama_batches_nb.dataset.export import export_parquet, read_parquet
    from llama_batches_nb.dataset.outputs import save_outputs
    from llama_batches_nb.dataset.read import open_dataset, read_dataset
    from llama_batches_nb.dataset.sync import SyncReport, sync_dataset
    from llama_batches_nb.fetch.batches import fetch_batches, get_batch
    from llama_batches_nb.fetch.directories import (
        fetch_configurations,
        fetch_directories,
        fetch_files,
    )
    from llama_batches_nb.fetch.extractions import fetch_extractions
    from llama_batches_nb.fetch.jobs import fetch_jobs
    from llama_batches_nb.fetch.names import add_names
    from llama_batches_nb.fetch.pages import fetch_pages
    from llama_batches_nb.fetch.results import fetch_results
    from llama_batches_nb.http.client import Client, connect
    from llama_batches_nb.lifecycle.cancel import cancel_batch
    from llama_batches_nb.lifecycle.create import create_batch
    from llama_batches_nb.lifecycle.delete import delete_directories
    from llama_batches_nb.lifecycle.retry import retry_failed
    from llama_batches_nb.lifecycle.signatures import verify_webhook
    from llama_batches_nb.lifecycle.upload import upload_files
    from llama_batches_nb.lifecycle.wait import wait_for_batches
    from llama_batches_nb.lifecycle.wait_jobs import wait_for_jobs
    from llama_batches_nb.panels.entry_points import create_panel, dashboard, filter_panel
    from llama_batches_nb.plotting.durations import plot_durations
    from llama_batches_nb.plotting.failure_rates import plot_failure_rates
    from llama_batches_nb.plotting.outcomes import plot_outcomes
    from llama_batches_nb.report.write import write_report
    from llama_batches_nb.sandbox_server import Sandbox, sandbox

__all__ = [
    "AuthenticationError",
    "BatchesError",
    "Client",
    "ConflictError",
    "ConnectionFailedError",
    "DatasetError",
    "DatasetLockedError",
    "InvalidRequestError",
    "NotFoundError",
    "PaginationError",
    "RateLimitError",
    "ResponseError",
    "Sandbox",
    "ServerError",
    "SyncReport",
    "UnconfirmedCreateError",
    "UsageLimitError",
    "WaitTimeoutError",
    "add_names",
    "attempts",
    "cancel_batch",
    "compare_configurations",
    "connect",
    "create_batch",
    "create_panel",
    "dashboard",
    "delete_directories",
    "error_patterns",
    "estimate_batch",
    "export_parquet",
    "failure_rates",
    "fetch_batches",
    "fetch_configurations",
    "fetch_directories",
    "fetch_extractions",
    "fetch_files",
    "fetch_jobs",
    "fetch_pages",
    "fetch_results",
    "filter_panel",
    "final_outcomes",
    "get_batch",
    "ledger",
    "open_dataset",
    "outcomes",
    "pattern_ids",
    "plot_durations",
    "plot_failure_rates",
    "plot_outcomes",
    "rate_changes",
    "read_dataset",
    "read_parquet",
    "retry_failed",
    "sandbox",
    "save_outputs",
    "summarize",
    "sync_dataset",
    "upload_files",
    "verify_webhook",
    "wait_for_batches",
    "wait_for_jobs",
    "write_report",
]

_NAMES_OF = {
    "analysis.attempts": ("attempts",),
    "analysis.changes": ("rate_changes",),
    "analysis.compare": ("compare_configurations",),
    "analysis.final_outcomes": ("final_outcomes",),
    "analysis.outcomes": ("outcomes",),
    "analysis.patterns": ("error_patterns", "pattern_ids"),
    "analysis.rates": ("failure_rates",),
    "analysis.summary": ("ledger", "summarize"),
    "dataset.estimate": ("estimate_batch",),
    "dataset.export": ("export_parquet", "read_parquet"),
    "dataset.outputs": ("save_outputs",),
    "dataset.read": ("open_dataset", "read_dataset"),
    "dataset.sync": ("SyncReport", "sync_dataset"),
    "fetch.batches": ("fetch_batches", "get_batch"),
    "fetch.directories": ("fetch_configurations", "fetch_directories", "fetch_files"),
    "fetch.extractions": ("fetch_extractions",),
    "fetch.jobs": ("fetch_jobs",),
    "fetch.names": ("add_names",),
    "fetch.pages": ("fetch_pages",),
    "fetch.results": ("fetch_results",),
    "http.client": ("Client", "connect"),
    "lifecycle.cancel": ("cancel_batch",),
    "lifecycle.create": ("create_batch",),
    "lifecycle.delete": ("delete_directories",),
    "lifecycle.retry": ("retry_failed",),
    "lifecycle.signatures": ("verify_webhook",),
    "lifecycle.upload": ("upload_files",),
    "lifecycle.wait": ("wait_for_batches",),
    "lifecycle.wait_jobs": ("wait_for_jobs",),
    "panels.entry_points": ("create_panel", "dashboard", "filter_panel"),
    "plotting.durations": ("plot_durations",),
    "plotting.failure_rates": ("plot_failure_rates",),
    "plotting.outcomes": ("plot_outcomes",),
    "report.write": ("write_report",),
    "sandbox_server": ("Sandbox", "sandbox"),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


if not _typing.TYPE_CHECKING:  # type checkers would take any name for one of the package

    def __getattr__(name: str) -> object:
        """Return a public name; import its module on first use, so that the package loads fast."""
        if name == "__version__":
            return globals().setdefault(name, _version(__name__))
        if name not in _MODULE_OF:
            message = (
                f"module {__name__!r} has no attribute {name!r}.{_did_you_mean(name, __all__)}"
            )
            # With its name, Python suggests the same again.
            raise AttributeError(message, name=None)
        with _defer_interrupts():
            value = getattr(_import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        if isinstance(value, _FunctionType):
            value = _hide_internal_frames(value)
        return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return __all__
