"""Put a browser where the tests find one, if there is none: `python -m tests.browser.installing`.

Where that is not possible it says so, and the tests decide what it means.
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
    """Take Debian's package; Ubuntu's of that name is an empty one that asks for a snap."""
    sudo = _becoming_root()
    if sudo is None or _distribution() != "debian" or shutil.which("apt-get") is None:
        return
    _run(*sudo, *APT, "update")
    _run(*sudo, *APT, "install", "-y", "--no-install-recommends", *PACKAGES)


def from_playwright() -> None:
    """Take playwright's own browser, with the libraries it needs where we may install them."""
    if _becoming_root() is None or _run(*PLAYWRIGHT, "--with-deps", "chromium") != 0:
        _run(*PLAYWRIGHT, "chromium")


def _becoming_root() -> list[str] | None:
    """Return what goes before a command that needs root, or None if that is not possible."""
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
