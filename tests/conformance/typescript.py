"""Drive the official TypeScript SDK against the sandbox, where node and npm are available.

Run it with `python -m tests.conformance.typescript`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

FOLDER = Path(__file__).parents[2] / "dist" / "typescript"
SCRIPT = Path(__file__).with_name("typescript.mjs")
PACKAGE = "@llamaindex/llama-cloud"


def main() -> int:
    """Install the SDK and run the script; return 0 also if node or npm is missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("TypeScript SDK: skipped, because node or npm is not installed")
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    install = [
        npm,
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(FOLDER),
        PACKAGE,
    ]
    if subprocess.run(install, check=False).returncode:
        print(f"TypeScript SDK: cannot install {PACKAGE} with npm")
        return 1
    script = shutil.copy(SCRIPT, FOLDER)
    with Server.start(Options(batches=12, files=(1, 20), speed=0), thread=True) as server:
        environment = os.environ | {"SANDBOX_URL": server.url, "SANDBOX_KEY": server.api_key}
        return subprocess.run([node, script], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
