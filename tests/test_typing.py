"""Type checkers see the public functions: no `Any`, and literals that an editor completes."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import llama_batches_nb as lb

FOLDER = Path(__file__).parent / "scripts"
FUNCTIONS = [name for name in lb.__all__ if inspect.isfunction(getattr(lb, name))]
WRONG_CALLS = {
    "unknown status": 'lb.fetch_batches(status="FAILD")',
    "unknown job type": 'lb.create_batch("dir-1", "cfg-1", job_type="parse")',
    "unknown filter": "lb.sync_dataset('kept', statuses='FAILED')",
    "number for a frame": "lb.failure_rates(5)",
    "unknown sandbox option": "lb.sandbox(batch=5)",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_signature_is_typed_without_any(name: str) -> None:
    signature = inspect.signature(getattr(lb, name))
    annotations = {each.name: each.annotation for each in signature.parameters.values()}
    annotations["return"] = signature.return_annotation
    untyped = ("Any", typing.Any, inspect.Signature.empty)
    assert not [each for each, annotation in annotations.items() if annotation in untyped]


def mypy(script: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, str(script)]
    command += ["--cache-dir", str(script.parent / ".mypy_cache"), "--follow-imports=silent"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pyright(script: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(script)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.latest
@pytest.mark.parametrize("check", [mypy, pyright])
def test_type_checker_accepts_a_users_script_and_rejects_wrong_calls(
    check: typing.Callable[[Path], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    lines = (FOLDER / "user_script.py").read_text().splitlines()
    wrong = {str(n) for n in range(len(lines) + 1, len(lines) + 1 + len(WRONG_CALLS))}
    script = tmp_path / "script.py"
    script.write_text("\n".join([*lines, *WRONG_CALLS.values()]) + "\n")
    done = check(script)
    reported = {line.split(":")[1] for line in done.stdout.splitlines() if "error:" in line}
    reported |= {line.split(":")[1] for line in done.stdout.splitlines() if " - error" in line}
    assert reported == wrong, done.stdout + done.stderr
