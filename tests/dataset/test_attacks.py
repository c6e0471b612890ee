"""Some of the attacks of `tests.reliability.datasets`: no row is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.dataset.attacks import Attacks, Damage
from tests.dataset.sync_processes import SyncProcesses
from tests.fake_api import FakeApi

NONE = Damage(0, 0, 0, 0)


@pytest.fixture
def attacks(serve: Serve, tmp_path: Path) -> Iterator[Attacks]:
    api = FakeApi(page_size=4)
    server = serve(api, max_retries=0)
    with SyncProcesses(server.url) as processes:
        yield Attacks(api, processes, tmp_path)


@pytest.mark.slow
def test_processes_that_are_stopped_or_continue_later_lose_and_double_nothing(
    attacks: Attacks,
) -> None:
    found = [*attacks.stop_one("kill", range(9, 500, 24)), *attacks.stop_one("fail", [33])]
    assert len(found) > 3
    assert set(found) == {NONE}
    suspended = list(attacks.suspend([(25,), (40, 30)], hours=(-7.0, 9.0)))
    assert {damage._replace(missing=0) for damage in suspended} == {NONE}
