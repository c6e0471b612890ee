"""Run the official Python SDK's own tests against the sandbox: `make conformance`.

The source distribution of `llama-cloud` contains tests of all API resources, which its authors skip
because they need a mock server. This downloads it, removes the skip marks and runs the tests of the
resources that batches use, in strict and in loose response validation, with the synchronous client
and both asynchronous ones. `sdk_conftest` replaces the ids that the tests make up by real ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server

FOLDER = Path(__file__).parents[2] / "dist" / "conformance"
CONFTEST = Path(__file__).with_name("sdk_conftest.py")
TESTS = Path("tests") / "api_resources"
RESOURCES = {
    "batches": "test_batches.py",
    "configurations": "test_configurations.py",
    "directories": "beta/test_directories.py",
    "directory files": "beta/directories/test_files.py",
    "parse jobs": "test_parsing.py",
    "extract jobs": "test_extract.py",
    "projects": "test_v2_projects.py",
    "projects v1": "test_projects.py",
    "stored files": "test_files.py",
    "webhook configurations": "test_webhook_configs.py",
}
OUTCOMES = ("passed", "failed", "not served", "no request")
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


@dataclass(frozen=True)
class Test:
    """A test of the SDK: its resource, its name, its outcome and why it failed."""

    resource: str
    name: str
    outcome: str
    message: str


def run(*command: str | Path, error: str) -> None:
    """Run a command, or exit with an error message."""
    if subprocess.run(list(map(str, command)), check=False).returncode:
        sys.exit(f"make conformance: {error}")


def download_sdk() -> Path:
    """Download and unpack the source distribution of the SDK, and return its folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    run(
        sys.executable, *PIP, "download", "--no-deps", "--no-binary=:all:", "llama-cloud",
        "--dest", FOLDER,
        error="cannot download the source distribution of llama-cloud. A package registry must be "
        "reachable by pip.",
    )  # fmt: skip
    (archive,) = FOLDER.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(FOLDER, filter="data")
    return FOLDER / archive.name.removesuffix(".tar.gz")


def create_environment(sdk: Path) -> Path:
    """Install the SDK and what its tests import in an own environment; return its Python."""
    folder = FOLDER / "venv"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    version = sdk.name.rpartition("-")[2]
    run(
        python, *PIP, "install", f"llama-cloud[aiohttp]=={version}", "pytest", "pytest-asyncio",
        error=f"cannot install llama-cloud {version} with the packages that its tests need.",
    )  # fmt: skip
    return python


def run_tests(python: Path, sdk: Path, server: Server) -> list[Test]:
    """Run the SDK's tests against a sandbox."""
    shutil.copy(CONFTEST, sdk / TESTS / "conftest.py")
    report = FOLDER / "report.xml"
    files = [TESTS / name for name in RESOURCES.values() if (sdk / TESTS / name).exists()]
    ini = ["--override-ini=addopts=", "--override-ini=junit_family=xunit1"]
    options = ["-p", "no:cacheprovider", "--quiet", "--tb=no", f"--junitxml={report}"]
    ran = subprocess.run(
        list(map(str, [python, "-m", "pytest", *ini, *options, *files])),
        cwd=sdk,
        env=os.environ | {"SANDBOX_URL": server.url, "SANDBOX_KEY": server.api_key},
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    if not report.exists():
        sys.exit(f"make conformance: the tests did not run.\n{ran.stdout}{ran.stderr}")
    return list(read_report(report))


def read_report(path: Path) -> Iterator[Test]:
    """Yield the tests of a JUnit report."""
    modules = {
        ".".join((*TESTS.parts, *Path(name).with_suffix("").parts)): resource
        for resource, name in RESOURCES.items()
    }
    for case in ElementTree.parse(path).iter("testcase"):
        module, _, class_ = case.get("classname", "").rpartition(".")
        outcome, message = "passed", ""
        for kind in ("failure", "error", "skipped"):
            for child in case.iter(kind):
                message = child.get("message", "")
                not_served = kind == "skipped" and message.startswith("not served")
                outcome = "not served" if not_served else "failed"
        requests = [each.get("value") for each in case.iter("property")]
        if outcome == "passed" and "0" in requests:
            outcome = "no request"
        yield Test(modules[module], f"{class_}.{case.get('name')}", outcome, message)


def print_report(tests: list[Test], version: str) -> None:
    """Print the failures, and the number of tests of each outcome by resource."""
    for test in tests:
        if test.outcome == "failed":
            print(f"FAILED {test.resource}: {test.name}\n    {test.message[:300]}")
    counts = Counter((test.resource, test.outcome) for test in tests)
    print(f"\nTests of {version} against the sandbox\n")
    print(f"{'':24}" + "".join(f"{outcome:>12}" for outcome in OUTCOMES))
    for resource in (*RESOURCES, "total"):
        chosen = RESOURCES if resource == "total" else (resource,)
        numbers = [sum(counts[each, outcome] for each in chosen) for outcome in OUTCOMES]
        print(f"{resource:24}" + "".join(f"{number:12,}" for number in numbers))
    print("\nno request: tests of the SDK's own checks, which send nothing")


def main() -> int:
    """Run the tests and return 1 if one fails."""
    sdk = download_sdk()
    python = create_environment(sdk)
    now = datetime(2026, 8, 1, 12, tzinfo=UTC)
    options = Options(batches=80, files=300, now=now, speed=0)
    with Server.start(options, thread=True) as server:
        tests = run_tests(python, sdk, server)
    print_report(tests, sdk.name)
    outcomes = {test.outcome for test in tests}
    return 0 if "passed" in outcomes and "failed" not in outcomes else 1


if __name__ == "__main__":
    sys.exit(main())
