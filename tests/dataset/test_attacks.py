"""Some of the attacks of `tests.reliability.datasets`: no row is lost or doubled."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.dataset.attacks import Attacks, Damage
from tests.dataset.sync_processes import Action, SyncProcesses
from tests.fake_api import FakeApi

NONE = Damage(0, 0, 0, 0)


@pytest.fixture
def attacks(serve: Serve, tmp_path: Path) -> Iterator[Attacks]:
    api = FakeApi(page_size=4)
    server = serve(api, max_retries=0)
    with SyncProcesses(server.url) as processes:
        yield Attacks(api, processes, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("action", "first"), [("kill", 2), ("fail", 3)])
def test_process_stopped_at_any_operation_on_files_loses_and_doubles_nothing(
    attacks: Attacks, action: Action, first: int
) -> None:
    found = list(attacks.stop_one(action, range(first, 500, 9)))
    assert len(found) > 4
    assert set(found) == {NONE}


@pytest.mark.slow
@pytest.mark.parametrize("hours", [(0.0,), (-7.0, 9.0)], ids=str)
def test_suspended_processes_that_continue_lose_and_double_nothing(
    attacks: Attacks, hours: tuple[float, ...]
) -> None:
    rng = random.Random(3)
    found = list(attacks.suspend(((n,) for n in range(1, 500, 17)), hours))
    found += attacks.suspend([(rng.randrange(60), rng.randrange(60)) for _ in range(3)], hours)
    assert len(found) > 6
    assert {damage._replace(missing=0) for damage in found} == {NONE}
