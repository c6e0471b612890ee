"""Progress bars: shown in a notebook or a terminal, silent elsewhere. Only this imports tqdm."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeAlias

from tqdm.std import TqdmDefaultWriteLock, tqdm  # type: ignore[attr-defined]

from llama_batches_nb.http import workers
from llama_batches_nb.http.interrupts import ignore_repeated_interrupts
from llama_batches_nb.messages import escape_control_chars, format_bytes, format_count

Progress: TypeAlias = bool | Callable[..., Any] | None
"""Whether to show a bar, or a class like `tqdm.tqdm`. None: in notebooks and terminals only."""

DELAY = 0.4  # seconds before a bar appears by default: shorter calls show none
MIN_BAR_WIDTH = 10  # columns
LAYOUTS = (
    "{l_bar}{bar}{r_bar}",
    "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}",
    "{desc}: {n_fmt}/{total_fmt}{postfix}",
)
"""What a bar shows, from wide to narrow terminals."""
LAYOUT_WITHOUT_TOTAL = "{desc}: {n_fmt}{unit}{postfix}"


class ProgressBar:
    """A tqdm bar that also shows waits for the rate limit; one Ctrl-C ends its block."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar
        self._note = ""
        self._pause = ""
        self._exit_stack = ExitStack()

    def advance(self, n: int = 1) -> None:
        self._bar.update(n)

    def set_count(self, n: int) -> None:
        self._bar.update(n - self._bar.n)

    def set_total(self, total: int | None) -> None:
        """Set the total, unless it is unknown or less than the current count."""
        if total is not None and total != self._bar.total and total >= self._bar.n:
            self._bar.total = total
            if (container := getattr(self._bar, "container", None)) is not None:
                container.children[1].max = total  # tqdm's own `total` does not reach it
                container.children[1].bar_style = ""

    def set_postfix(self, text: str, *, refresh: bool = True) -> None:
        """Show a text after the bar; without `refresh`, when the bar is next drawn."""
        self._note = escape_control_chars(" ".join(text.split()))
        self._show(refresh)

    def show_rate_limit_wait(self, seconds: float) -> None:
        """Show the remaining wait for the rate limit; nothing if it is 0."""
        pause = f"rate limit, waiting {math.ceil(seconds)} s" if seconds > 0 else ""
        if pause != self._pause:
            self._pause = pause
            self._show()

    def refresh(self) -> None:
        """Redraw the bar, to update its elapsed time."""
        self._bar.refresh()

    def _show(self, refresh: bool = True) -> None:
        # Bars other than tqdm's may not take `refresh`.
        options = {} if refresh else {"refresh": False}
        self._bar.set_postfix_str(" · ".join(filter(None, (self._pause, self._note))), **options)

    def __enter__(self) -> ProgressBar:
        self._exit_stack.enter_context(ignore_repeated_interrupts())
        self._exit_stack.callback(self._close)
        self._exit_stack.enter_context(workers.wait_listener(self.show_rate_limit_wait))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exit_stack.close()

    def _close(self) -> None:
        """Close the bar; its last state stays, without a wait that an error has ended."""
        if self._pause:
            self._pause = ""
            self._show(refresh=False)
        self._bar.close()


class FittingBar(tqdm):  # type: ignore[type-arg]
    """A bar that leaves out its rate and its graph where the text after it would be cut off."""

    monitor_interval = 0  # else tqdm keeps a thread

    @staticmethod
    def format_meter(
        *_: Any, ncols: int | None = None, bar_format: str | None = None, **options: Any
    ) -> str:
        """Return the line of the bar; tqdm passes its `format_dict`."""
        n, total, unit = options["n"], options["total"], options["unit"]

        def format_as(layout: str | None, ncols: int | None = None) -> str:
            text = tqdm.format_meter(ncols=ncols, bar_format=layout, **options)
            return text.replace(f"s/{unit}", f"s/{unit.strip()}")

        if ncols is None or bar_format is not None:
            return format_as(bar_format, ncols)
        if not total or n > total:
            full = format_as(None)
            return full if len(full) <= ncols else format_as(LAYOUT_WITHOUT_TOTAL, ncols)
        for layout in LAYOUTS[:-1]:
            if len(format_as(layout.replace("{bar}", " " * MIN_BAR_WIDTH))) <= ncols:
                return format_as(layout, ncols)
        return format_as(LAYOUTS[-1], ncols)


# tqdm's default lock is also one between processes. Creating that sets the start method of
# multiprocessing, which is the user's choice, and a worker that is killed leaves its semaphore.
FittingBar.set_lock(TqdmDefaultWriteLock.th_lock)


class AmountReceived:
    """A count of rows and bytes, as a text for a progress bar. Workers add to it."""

    def __init__(self, noun: str) -> None:
        self._noun, self._rows, self._bytes = noun, 0, 0
        self._lock = threading.Lock()

    def add(self, rows: int, n_bytes: int) -> None:
        with self._lock:
            self._rows += rows
            self._bytes += n_bytes

    def __str__(self) -> str:
        return f"{format_count(self._rows, self._noun)}, {format_bytes(self._bytes)}"


def check_progress(progress: Progress) -> None:
    """Raise `TypeError` for what is no switch, before a request that precedes the bar."""
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise TypeError(f"progress must be True, False or None, not {progress!r:.80}.")


def progress_bar(
    progress: Progress, desc: str, *, unit: str, total: int | None = None, **options: Any
) -> ProgressBar:
    """Open a bar."""
    if callable(progress):
        return ProgressBar(progress(desc=desc, unit=unit, total=total, **options))
    check_progress(progress)
    in_notebook = _in_notebook()
    kind: type[tqdm[Any]] = FittingBar
    if in_notebook and progress is not False:
        kind = _notebook_bar()
    shown = progress if progress is not None else in_notebook or sys.stderr.isatty()
    return ProgressBar(
        kind(
            desc=desc,
            unit=f" {unit}",
            total=total,
            disable=not shown,
            delay=DELAY if progress is None or in_notebook else 0,
            dynamic_ncols=True,
            **options,
        )
    )


def _notebook_bar() -> type[tqdm[Any]]:
    """Return tqdm's notebook bar, replaced by plain text when it closes: widgets are not saved."""
    from IPython.display import display
    from tqdm.notebook import tqdm as notebook_tqdm  # it imports ipywidgets

    class NotebookBar(FittingBar, notebook_tqdm):  # type: ignore[type-arg]
        _display_handle: Any = None

        def display(self, *args: Any, **options: Any) -> None:
            check_delay = options.pop("check_delay", True)
            super().display(*args, **{**options, "check_delay": False})
            if check_delay and not self.displayed:
                self._display_handle = display(self.container, display_id=True)  # type: ignore[no-untyped-call]
                self.displayed = True

        def close(self) -> None:
            super().close()
            if self._display_handle is not None:
                self._display_handle.update({"text/plain": str(self)}, raw=True)
                self._display_handle = None
            container = getattr(self, "container", None)  # tqdm makes none for a disabled bar
            for widget in () if container is None else (*container.children, container):
                for part in (widget.layout, getattr(widget, "style", None), widget):
                    if part is not None:
                        part.close()

    return NotebookBar


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None  # a subclass has it too, as in Colab
