"""The style of a panel, and what ipywidgets cannot express: its landmark and its chips."""

from __future__ import annotations

from html import escape

from llama_batches_nb.panels.markup import PANEL_CSS

# The panel becomes a landmark with a name of its own; a click on a chip adds or removes it, where
# the browser would choose it alone.
ON_STYLE_LOADED_JS = """
const panel = this.closest('.lb-panel'), name = this.dataset.name;
if (panel && !panel.dataset.name) {
  const same = [...document.querySelectorAll('.lb-panel')].filter(p => p.dataset.name === name);
  panel.dataset.name = name;
  panel.setAttribute('role', 'region');
  panel.setAttribute('aria-label', same.length ? `${name} ${same.length + 1}` : name);
  panel.addEventListener('mousedown', event => {
    const chip = event.target.closest('.lb-chips option');
    if (!chip || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    chip.selected = !chip.selected;
    chip.parentElement.focus();
    chip.parentElement.dispatchEvent(new Event('change', {bubbles: true}));
  });
}"""


def panel_style(title: str) -> str:
    """Return the `style` element of a panel with this title."""
    return (
        f'<style data-name="{escape(title)}" onload="{escape(ON_STYLE_LOADED_JS)}">'
        f"{PANEL_CSS}</style>"
    )
