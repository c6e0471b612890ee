"""Install a browser for the tests if there is none: `python -m tests.browser.installing`.

If that is not possible, it prints why; tests are then skipped, and fail in CI.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

from tests.browser import chromium

APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q")
PACKAGES = ("chromium", "chromium-sandbox", "fonts-dejavu-core", "fonts-liberation")
PLAYWRIGHT = (sys.executable, "-m", "playwright", "install")


def main() -> None:
    if chromium.find() is None:
        from_debian()
    if chromium.find() is None:
        from_playwright()
    print(chromium.find() or chromium.MISSING)


def from_debian() -> None:
    """Install Debian's package; Ubuntu's package of that name only requests a snap."""
    sudo = _becoming_root()
    if sudo is None or _distribution() != "debian" or shutil.which("apt-get") is None:
        return
    _run(*sudo, *APT, "update")
    _run(*sudo, *APT, "install", "-y", "--no-install-recommends", *PACKAGES)


def from_playwright() -> None:
    """Install playwright's browser, with the libraries it needs where permitted."""
    if _becoming_root() is None or _run(*PLAYWRIGHT, "--with-deps", "chromium") != 0:
        _run(*PLAYWRIGHT, "chromium")


def _becoming_root() -> list[str] | None:
    """Return the prefix of a command that needs root, or None if root is not available."""
    if os.geteuid() == 0:
        return []
    may = shutil.which("sudo") and _run("sudo", "-n", "true") == 0
    return ["sudo", "-n"] if may else None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:
        return platform.system()


def _run(*command: str) -> int:
    print("+", *command, flush=True)
    return subprocess.run(command, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    main()
