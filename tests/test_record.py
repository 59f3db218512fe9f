"""What reading the clock costs is not what a disturbance costs."""

import itertools

import pytest

from labkit.harness import record


@pytest.mark.parametrize("disturbed_every", [40, 100, 10_000])
def test_a_disturbed_reading_does_not_count(
    monkeypatch: pytest.MonkeyPatch, disturbed_every: int
) -> None:
    now, calls = 0, itertools.count(1)

    def clock(_: int, __: int) -> int:
        nonlocal now
        now += 30_000 if next(calls) % disturbed_every == 0 else 20
        return now

    monkeypatch.setattr(record, "clock", clock)
    assert record.clock_cost(0) == 20


def test_a_clock_of_coarse_steps_has_a_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0

    def clock(_: int, __: int) -> int:
        nonlocal now
        now += 20
        return now - now % 100

    monkeypatch.setattr(record, "clock", clock)
    assert 10 <= record.clock_cost(0) <= 30
