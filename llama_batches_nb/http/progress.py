"""The one door to tqdm: a bar in a notebook or a terminal, and silence elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

from tqdm.std import tqdm

from llama_batches_nb.http import workers
from llama_batches_nb.messages import escape_control_chars

Progress: TypeAlias = bool | Callable[..., Any] | None
"""Whether to show a bar, or a class like tqdm's to make it of; None to go by the place."""

DELAY = 0.4  # seconds before a bar shows that nobody asked for: what is over sooner needs none


class ProgressBar:
    """A bar that also says when the server makes us wait."""

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar
        self._note = ""
        self._pause = ""

    def advance(self, n: int = 1) -> None:
        self._bar.update(n)

    def set_count(self, n: int) -> None:
        self._bar.update(n - self._bar.n)

    def set_total(self, total: int | None) -> None:
        """Set how many there will be, once that is known."""
        if total is not None and total != self._bar.total and total >= self._bar.n:
            self._bar.total = total
            if (container := getattr(self._bar, "container", None)) is not None:
                container.children[1].max = total  # tqdm's own `total` does not reach it
                container.children[1].bar_style = ""

    def set_postfix(self, text: str) -> None:
        """Show a text behind the bar."""
        self._note = escape_control_chars(" ".join(text.split()))
        self._show()

    def show_rate_limit_wait(self, seconds: float) -> None:
        """Show how long the server makes all workers wait, while it does."""
        pause = f"rate limit, waiting {math.ceil(seconds)} s" if seconds > 0 else ""
        if pause != self._pause:
            self._pause = pause
            self._show()

    def refresh(self) -> None:
        """Let the time that the bar shows go on."""
        self._bar.refresh()

    def _show(self) -> None:
        self._bar.set_postfix_str(" · ".join(filter(None, (self._note, self._pause))))

    def __enter__(self) -> ProgressBar:
        self._telling = workers.wait_listener(self.show_rate_limit_wait)
        self._telling.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._telling.__exit__(None, None, None)
        self._bar.close()


def progress_bar(
    progress: Progress, desc: str, *, unit: str, total: int | None = None, **options: Any
) -> ProgressBar:
    """Open a bar."""
    if callable(progress):
        return ProgressBar(progress(desc=desc, unit=unit, total=total, **options))
    if progress is not None and not isinstance(progress, bool):
        raise TypeError(f"progress must be True, False or None, not {progress!r}.")
    in_notebook = _in_notebook()
    kind: type[tqdm[Any]] = tqdm
    if in_notebook and progress is not False:
        kind = _notebook_bar()
    shown = progress if progress is not None else in_notebook or sys.stderr.isatty()
    quiet = type("Bar", (kind,), {"monitor_interval": 0})  # else tqdm keeps a thread
    return ProgressBar(
        quiet(
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
    """Return tqdm's bar for notebooks, ending as a line of text: a saved widget tells nothing."""
    from IPython.display import display
    from tqdm.notebook import tqdm as notebook_tqdm  # it imports ipywidgets

    class NotebookBar(notebook_tqdm):  # type: ignore[type-arg]
        _place: Any = None

        def display(self, *args: Any, **options: Any) -> None:
            check_delay = options.pop("check_delay", True)
            super().display(*args, **{**options, "check_delay": False})
            if check_delay and not self.displayed:
                self._place = display(self.container, display_id=True)  # type: ignore[no-untyped-call]
                self.displayed = True

        def close(self) -> None:
            super().close()
            if self._place is not None:
                self._place.update({"text/plain": str(self)}, raw=True)
                self._place = None

    return NotebookBar


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"
