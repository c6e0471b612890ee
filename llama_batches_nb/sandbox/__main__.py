"""`python -m llama_batches_nb.sandbox`."""

import sys

from llama_batches_nb.sandbox.command import main

sys.exit(main())
