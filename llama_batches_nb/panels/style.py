"""The style sheets of the panels, and of the HTML that stands for them where none lives."""

from __future__ import annotations

from importlib.resources import files

PANEL = files(__package__).joinpath("panel.css").read_text("utf-8")
TWIN = files(__package__).joinpath("twin.css").read_text("utf-8")
