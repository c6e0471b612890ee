"""Configuration of the documentation site; `make docs` builds it."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from llama_batches_nb import __version__
from llama_batches_nb.__main__ import COMMANDS

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
GENERATED = HERE / "reference" / "api"  # ignored by git, as is tutorials/*.ipynb

project = "llama_batches_nb"
author = "The llama_batches_nb developers"
project_copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["reference/api/commands.md", "release"]  # included by reference/command-line.md
nitpicky = True  # an unknown reference is an error, except to another package
nitpick_ignore_regex = [("py:.*", r"(?!llama_batches_nb\b).*")]
default_role = "autolink"  # `fetch_jobs` links to the function; other names are emphasised

autosummary_generate = True
add_module_names = False
autodoc_typehints = "none"  # the sections of the docstring describe the parameters
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_enable_extensions = ["deflist", "attrs_block"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are saved with their outputs, and executed by the tests
nb_merge_streams = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_context = {"default_mode": "auto"}
html_title = "llama_batches_nb"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def copy_notebooks() -> None:
    """Copy the notebooks below the folder that Sphinx reads."""
    for notebook in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(notebook, HERE / "tutorials" / notebook.name)


def write_command_help() -> None:
    """Write the help of each command as Markdown."""
    os.environ["COLUMNS"] = "88"  # argparse wraps to the terminal
    GENERATED.mkdir(exist_ok=True)
    parts = []
    for name, (module, summary) in COMMANDS.items():
        parser = argparse.ArgumentParser(f"llama-batches-nb {name}")
        module.add_arguments(parser)
        text = f"## {name}\n\n{summary[0].upper()}{summary[1:]}.\n"
        parts.append(f"{text}\n```text\n{parser.format_help()}```\n")
    (GENERATED / "commands.md").write_text("\n".join(parts), encoding="utf-8")


copy_notebooks()
write_command_help()
