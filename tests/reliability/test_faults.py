"""Under faults: all rows exactly once or the documented error, and nothing leaked.

Every fault meets `fetch_results` and `create_batch`; the other calls meet one fault of each family.
`make reliability` runs all pairs.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

import llama_batches_nb as lb
from tests.reliability import page
from tests.reliability.__main__ import NAME, fault_modes
from tests.reliability.faults import FAULTS, Fault
from tests.reliability.trials import CALLS, Call, run_trial

READS = [call for call in CALLS if not (call.writes or call.tolerant)]
TOLERANT = [call for call in CALLS if call.tolerant]
FAMILIES = groupby(FAULTS, key=lambda fault: fault.family)
ONE_PER_FAMILY = [next(faults) for family, faults in FAMILIES if family != "429"]  # those are slow
WRITES = [call for call in CALLS if call.writes]
EVERY_FAULT = ("fetch_results", "create_batch")


def pairs(calls: list[Call], faults: list[Fault]) -> pytest.MarkDecorator:
    """Parametrize a test by calls and those of the faults that each of them meets."""
    chosen = [
        pytest.param(call, fault, id=f"{fault}-{call}")
        for call in calls
        for fault in faults
        if call.name in EVERY_FAULT or fault in ONE_PER_FAMILY
    ]
    return pytest.mark.parametrize(("call", "fault"), chosen)


@pairs(READS, FAULTS)
def test_transient_fault(call: Call, fault: Fault, tmp_path: Path) -> None:
    verdict = run_trial(call, fault, tmp_path / "kept", persistent=False)
    if fault.error is None or fault.transient:
        assert verdict.whole, verdict
    else:
        assert isinstance(verdict.error, fault.error)
        assert verdict.sound, verdict


@pairs(READS, [fault for fault in FAULTS if fault.error])
def test_persistent_fault(call: Call, fault: Fault, tmp_path: Path) -> None:
    verdict = run_trial(call, fault, tmp_path / "kept", persistent=True)
    assert isinstance(verdict.error, fault.error or lb.BatchesError)
    assert verdict.sound, verdict
    if call.name == "fetch_batches":
        assert verdict.got >= 4  # the first page


@pairs(TOLERANT, FAULTS)
def test_call_that_ignores_other_fields(call: Call, fault: Fault, tmp_path: Path) -> None:
    for persistent in fault_modes(fault):
        verdict = run_trial(call, fault, tmp_path / f"kept-{persistent}", persistent=persistent)
        assert verdict.sound, verdict
        assert verdict.whole or isinstance(verdict.error, fault.error or ()), verdict
        if persistent:
            assert verdict.error is not None
        elif fault.transient:
            assert verdict.whole


@pytest.mark.parametrize("persistent", [False, True], ids=["transient", "persistent"])
@pairs(WRITES, FAULTS)
def test_writes_happen_once_and_are_reported(
    call: Call, fault: Fault, persistent: bool, tmp_path: Path
) -> None:
    verdict = run_trial(call, fault, tmp_path / "kept", persistent=persistent)
    assert verdict.sound, verdict
    if not verdict.whole:
        assert isinstance(verdict.error, (fault.error or (), lb.UnconfirmedCreateError))
    if fault.executes or (fault.transient and not persistent):
        assert verdict.whole, verdict


def test_documented_table_is_current_and_reports_no_loss() -> None:
    values = {family: numbers for family, *numbers in page.read(NAME)}
    for family, faults in groupby(FAULTS, key=lambda fault: fault.family):
        n_calls, _, n_whole, n_errors, lost, duplicated, unexpected, _ = map(
            int, _plain(values[family])
        )
        assert (
            n_calls == n_whole + n_errors == len(CALLS) * sum(len(fault_modes(it)) for it in faults)
        )
        assert lost == duplicated == unexpected == 0


def _plain(numbers: list[str]) -> list[str]:
    return [number.replace(",", "") for number in numbers]
