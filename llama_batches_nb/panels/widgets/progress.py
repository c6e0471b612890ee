"""How far a fetch has come, shown inside a panel: what is printed in a thread would not show."""

from __future__ import annotations

import threading
import time
from typing import Any

import ipywidgets as widgets

from llama_batches_nb.http import workers
from llama_batches_nb.panels import markup

INTERVAL = 0.15  # seconds between two pictures of the same bar


class StatusLine(widgets.HTML):
    """A bar with its count and time, and the last word when all is done."""

    def __init__(self) -> None:
        super().__init__()
        self.add_class("lb-meter")
        self.layout.flex = "1 1 220px"
        self._started = 0.0

    def start(self, said: str) -> None:
        """Begin to count the time."""
        self._started = time.monotonic()
        self.show_message(said)

    def show_message(self, said: str, *, share: float | None = None, note: str = "") -> None:
        """Show plain text, with a bar if a share is known and running; the text is escaped."""
        bar = (
            ""
            if share is None
            else f'<progress aria-label="Progress" value="{share:.4f}"></progress> '
        )
        note = f" · {markup.text(note)}" if note else ""
        self.value = f'{bar}<span role="status">{markup.text(said)}{note}</span>'

    def finish(self, said: str) -> None:
        """Show how it ended, and how long that took."""
        self.show_message(f"{said} · {self.elapsed()}")

    def elapsed(self) -> str:
        """Return the time since the start, in words."""
        seconds = time.monotonic() - self._started
        return f"{seconds:.1f} s" if seconds < 60 else markup.duration(seconds)

    def bar(self, *, desc: str, unit: str, total: int | None = None, **options: Any) -> _Bar:
        """Make a bar like tqdm's that shows here; pass this method as `progress=`."""
        return _Bar(self, desc, unit, total, scaled=bool(options.get("unit_scale")))


class _Bar:
    """What `progress.Bar` asks of a bar of tqdm."""

    def __init__(
        self, meter: StatusLine, desc: str, unit: str, total: int | None, scaled: bool
    ) -> None:
        self._meter, self._desc, self._unit, self._scaled = meter, desc, unit, scaled
        self._lock = threading.Lock()
        self._shown, self._note = 0.0, ""
        self.n, self.total = 0, total
        self.refresh()

    def update(self, n: float = 1) -> None:
        self.n += int(n)
        if time.monotonic() - self._shown >= INTERVAL:
            self.refresh()

    def set_postfix_str(self, note: str) -> None:
        self._note = note
        self.refresh()

    def refresh(self) -> None:
        workers.check_cancelled()
        self._shown = time.monotonic()
        share = self.n / self.total if self.total else None
        done, total = (
            format_bytes(n) if self._scaled else f"{n:,}" for n in (self.n, self.total or 0)
        )
        counted = f"{done} of {total}" if self.total else done
        unit = (
            ""
            if self._scaled
            else f" {self._unit if self.total == 1 else markup.plural(self._unit)}"
        )
        said = f"{self._desc}: {counted}{unit} · {self._meter.elapsed()}"
        self._meter.show_message(said, share=share, note=self._note)

    def close(self) -> None:
        """Leave the last picture."""


def format_bytes(n: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:,.0f} {unit}" if unit == "B" else f"{n:,.1f} {unit}"
        n /= 1000
    raise AssertionError
