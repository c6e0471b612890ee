"""Fixtures: a browser, Jupyter's front ends and Voila, and a sandbox for their kernels.

They are closed after the last test of this folder, because playwright's event loop prevents later
tests from calling `asyncio.run`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from llama_batches_nb.sandbox_server.options import Options
from llama_batches_nb.sandbox_server.process import Server
from tests.browser import chromium, hostile
from tests.browser.lab import Classic, Lab
from tests.browser.pictures import shoot
from tests.browser.serving import kernel_environment
from tests.browser.voila import Voila
from tests.browser.watching import Watch

MAX_WAIT = 120_000.0  # milliseconds, for a loaded machine
VIEWER = {"viewport": {"width": 1280, "height": 800}, "timezone_id": "Asia/Tokyo"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("browser")
            item.add_marker(pytest.mark.xdist_group("browser"))  # one server, one browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium.find() or chromium.do_without()
    expect.set_options(timeout=MAX_WAIT)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=chromium.flags()) as browser,
    ):
        yield browser


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Server]:
    """The sandbox that the kernels connect to; `sandbox.advance` finishes running batches."""
    with Server.start(Options(batches=300, files=(1, 200))) as server:
        yield server


@pytest.fixture
def hostile_sandbox(tmp_path: Path) -> Iterator[Server]:
    """A sandbox whose names and messages must be escaped."""
    with hostile.sandbox(tmp_path) as server:
        yield server


@pytest.fixture(scope="package")
def environment(sandbox: Server) -> dict[str, str]:
    """Environment variables of the kernels."""
    return kernel_environment(sandbox)


@pytest.fixture(scope="package")
def _lab(
    browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), environment) as lab:
        yield lab


@pytest.fixture
def lab(_lab: Lab) -> Iterator[Lab]:
    """JupyterLab; its kernels are shut down after the test."""
    yield _lab
    _lab.shut_kernels_down()


@pytest.fixture(scope="package")
def classic(
    browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Classic]:
    with Classic(tmp_path_factory.mktemp("classic"), environment) as classic:
        yield classic


@pytest.fixture(scope="package")
def voila(
    browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Voila]:
    with Voila(tmp_path_factory.mktemp("voila"), environment) as voila:
        yield voila


@pytest.fixture
def watch() -> Watch:
    """Requests to other hosts and errors in the pages of a test."""
    return Watch()


@pytest.fixture
def context(browser: Browser, watch: Watch) -> Iterator[BrowserContext]:
    options: Any = VIEWER
    with browser.new_context(**options) as context:
        context.set_default_timeout(MAX_WAIT)
        watch.over(context)
        yield context
    watch.check()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page; its final state is saved as a screenshot."""
    page = context.new_page()
    yield page
    if page.url != "about:blank":
        shoot(page, f"{request.node.path.stem}-{request.node.name}")
