"""Run the sandbox: `python -m llama_batches_nb.sandbox_server`, or this file as a script.

As a script it does not import the toolkit, because pandas and matplotlib would slow the start.
"""

import sys
from pathlib import Path
from types import ModuleType

if not __package__:
    folder = Path(__file__).resolve().parent
    for name, path in (
        ("llama_batches_nb", folder.parent),
        ("llama_batches_nb.sandbox_server", folder),
    ):
        empty_package = sys.modules[name] = ModuleType(name)
        empty_package.__path__ = [str(path)]

from llama_batches_nb.sandbox_server.cli import main

sys.exit(main())
