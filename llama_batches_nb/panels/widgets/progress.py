"""Show progress inside a panel, since output printed by a thread is lost."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as widgets

from llama_batches_nb.http import workers
from llama_batches_nb.messages import format_bytes, plural
from llama_batches_nb.panels import markup

MIN_REDRAW_INTERVAL = 0.15  # seconds


class StatusLine(widgets.HTML):
    """A progress bar with count and elapsed time, then a final message."""

    def __init__(self) -> None:
        super().__init__()
        self.add_class("lb-meter")
        self.layout.flex = "1 1 220px"
        self._started = 0.0

    def start(self, text: str) -> None:
        """Show text and start measuring the elapsed time."""
        self._started = time.monotonic()
        self.show_message(text)

    def show_message(self, text: str, *, share: float | None = None, note: str = "") -> None:
        """Show plain text, with a bar if the completed share is known."""
        bar = (
            ""
            if share is None
            else f'<progress aria-label="Progress" value="{share:.4f}"></progress> '
        )
        note = f" · {markup.text(note)}" if note else ""
        self.value = f'{bar}<span role="status">{markup.text(text)}{note}</span>'

    def finish(self, text: str) -> None:
        """Show a final message and the elapsed time."""
        self.show_message(f"{text} · {self.elapsed()}")

    def elapsed(self) -> str:
        """Return the time since `start` as text."""
        seconds = time.monotonic() - self._started
        return f"{seconds:.1f} s" if seconds < 60 else markup.duration(seconds)

    def bar(self, *, desc: str, unit: str, total: int | None = None, **options: Any) -> _Bar:
        """Return a bar with tqdm's interface; pass this method as `progress=`."""
        return _Bar(self, desc, unit, total, in_bytes=bool(options.get("unit_scale")))


class _Bar:
    """The part of tqdm's interface that `ProgressBar` needs."""

    def __init__(
        self, line: StatusLine, desc: str, unit: str, total: int | None, in_bytes: bool
    ) -> None:
        self._line, self._desc, self._unit, self._in_bytes = line, desc, unit, in_bytes
        self._drawn_at, self._note = 0.0, ""
        self.n, self.total = 0, total
        self.refresh()

    def update(self, n: float = 1) -> None:
        self.n += int(n)
        if time.monotonic() - self._drawn_at >= MIN_REDRAW_INTERVAL:
            self.refresh()

    def set_postfix_str(self, note: str, refresh: bool = True) -> None:
        self._note = note
        if refresh:
            self.refresh()

    def refresh(self) -> None:
        workers.check_cancelled()
        self._drawn_at = time.monotonic()
        share = self.n / self.total if self.total else None
        done, total = (
            format_bytes(n) if self._in_bytes else f"{n:,}" for n in (self.n, self.total or 0)
        )
        count = f"{done} of {total}" if self.total else done
        if not self._in_bytes:
            count += f" {self._unit if self.total == 1 else plural(self._unit)}"
        text = f"{self._desc}: {count} · {self._line.elapsed()}"
        self._line.show_message(text, share=share, note=self._note)

    def close(self) -> None:
        """Keep the last state."""
