"""`python -m llama_batches_nb.sandbox_server`, or this file as a script.

As a script it leaves the toolkit alone, whose imports (pandas, matplotlib) would only make the
sandbox slow to start.
"""

import sys
from pathlib import Path
from types import ModuleType

if not __package__:
    here = Path(__file__).resolve().parent
    for name, folder in (
        ("llama_batches_nb", here.parent),
        ("llama_batches_nb.sandbox_server", here),
    ):
        bare = sys.modules[name] = ModuleType(name)
        bare.__path__ = [str(folder)]

from llama_batches_nb.sandbox_server.cli import main

sys.exit(main())
