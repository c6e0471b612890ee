"""Whatever a server does: all rows exactly once or the named error, and nothing left behind."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

import llama_batches_nb as lb
from tests.reliability import readme
from tests.reliability.__main__ import NAME, ways
from tests.reliability.faults import FAULTS, Fault
from tests.reliability.trials import CALLS, Call, try_out

READS = [call for call in CALLS if not call.makes]
MAKES = [call for call in CALLS if call.makes]
LASTING = [one for one in FAULTS if one.error]


@pytest.mark.parametrize("call", READS, ids=str)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_that_passes(call: Call, fault: Fault, tmp_path: Path) -> None:
    verdict = try_out(call, fault, tmp_path / "kept", stays=False)
    if fault.error is None or fault.passes:
        assert verdict.whole, verdict
    else:
        assert isinstance(verdict.error, fault.error)
        assert verdict.sound, verdict


@pytest.mark.parametrize("call", READS, ids=str)
@pytest.mark.parametrize("fault", LASTING, ids=str)
def test_a_fault_that_stays(call: Call, fault: Fault, tmp_path: Path) -> None:
    verdict = try_out(call, fault, tmp_path / "kept", stays=True)
    assert isinstance(verdict.error, fault.error or lb.BatchesError)
    assert verdict.sound, verdict
    if call.name == "fetch_batches":
        assert verdict.got >= 4  # the page before


@pytest.mark.parametrize("stays", [False, True], ids=["passes", "stays"])
@pytest.mark.parametrize("call", MAKES, ids=str)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_is_made_is_made_once_and_told(
    call: Call, fault: Fault, stays: bool, tmp_path: Path
) -> None:
    verdict = try_out(call, fault, tmp_path / "kept", stays=stays)
    assert verdict.sound, verdict
    if not verdict.whole:
        assert isinstance(verdict.error, (fault.error or (), lb.UnconfirmedCreateError))
    if fault.acts or (fault.passes and not stays):
        assert verdict.whole, verdict


def test_the_readme_tells_of_these_trials_and_of_no_loss() -> None:
    told = {family: numbers for family, *numbers in readme.read(NAME)}
    for family, faults in groupby(FAULTS, key=lambda fault: fault.family):
        n_calls, _, n_whole, n_errors, lost, doubled, strange, _ = map(int, _plain(told[family]))
        assert n_calls == n_whole + n_errors == len(CALLS) * sum(len(ways(it)) for it in faults)
        assert lost == doubled == strange == 0


def _plain(numbers: list[str]) -> list[str]:
    return [number.replace(",", "") for number in numbers]
