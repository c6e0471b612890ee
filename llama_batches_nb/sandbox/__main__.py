"""`python -m llama_batches_nb.sandbox`, or this file as a script.

As a script it leaves the rest of the package alone, whose imports (pandas, matplotlib) would only
make the sandbox slow to start.
"""

import sys
from pathlib import Path
from types import ModuleType

if not __package__:
    bare = ModuleType("llama_batches_nb")
    bare.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules[bare.__name__] = bare

from llama_batches_nb.sandbox.command import main

sys.exit(main())
