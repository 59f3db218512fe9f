"""Two processes and one counter: what is certain is certain, and what is chance is said to be."""

from typing import Any

import pytest
from conftest import World

from labkit import walkthroughs
from labkit.errors import RequestError
from labkit.kernel import cpus
from labkit.player.drawing import faults


def observed(**options: Any) -> dict[str, Any]:
    return walkthroughs.observe("synchronisation", options)


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return observed()


def step(data: dict[str, Any], title: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in data["steps"] if s["title"].startswith(title))
    return found


class TestWhatIsCertain:
    def test_a_stop_between_load_and_store_loses_one(self, data: dict[str, Any]) -> None:
        assert data["facts"]["counter after two increments, A stopped between"] == 1
        counts = step(data, "One increment is lost")["counts"]
        assert counts == {"increments": 2, "counter": 1, "lost": 1}

    def test_a_semaphore_keeps_the_other_out(self, data: dict[str, Any]) -> None:
        assert data["facts"]["B sleeps while A holds the semaphore"] is True
        assert data["facts"]["counter after two guarded increments"] == 2
        assert data["facts"]["lost, guarded"] == 0

    def test_a_reader_between_two_stores_reads_half(self, data: dict[str, Any]) -> None:
        assert data["facts"]["torn read"] == [2, 1]

    def test_a_killed_holder(self, data: dict[str, Any]) -> None:
        facts = data["facts"]
        assert facts["value after the holder's death, without SEM_UNDO"] == 0
        assert facts["without SEM_UNDO, the next one sleeps"] is True
        assert facts["freed by SETVAL"] is True
        assert facts["value after the holder's death, with SEM_UNDO"] == 1
        assert facts["with SEM_UNDO, the next one gets the semaphore"] is True

    def test_the_ring_tears_nothing(self, data: dict[str, Any]) -> None:
        assert data["facts"]["messages through the ring, each byte checked"] == 20_000
        assert data["facts"]["the ring passed the message whole"] is True


class TestWhatIsChance:
    def test_the_race_counts_what_it_lost(self, data: dict[str, Any]) -> None:
        facts = data["facts"]
        found, wanted, lost = (
            facts[name] for name in ("counter, unguarded", "increments, unguarded", "lost")
        )
        assert found + lost == wanted
        assert 0 <= lost < wanted
        race = step(data, "A race")
        assert ("proves nothing" in race["narration"]) == (lost == 0)
        assert str(found) in race["narration"]

    def test_a_run_that_loses_none_is_said_to_prove_nothing(self) -> None:
        # One increment each may lose one or none; both must be told as what they are.
        data = observed(rounds=1, placement="same-cpu")
        lost = data["facts"]["lost"]
        assert lost in (0, 1)
        race = step(data, "A race")
        assert race["title"].endswith("nothing lost, this time") == (lost == 0)
        assert ("proves nothing" in race["narration"]) == (lost == 0)


@pytest.mark.parametrize("placement", ["same-cpu", "cross-cpu", "free"])
def test_the_cpus_are_stated(placement: str) -> None:
    data = observed(placement=placement, rounds=1000)
    told = step(data, "A race")["narration"]
    several = len(cpus.allowed()) > 1
    wanted = {
        "same-cpu": "both on CPU",
        "cross-cpu": "B on CPU" if several else "both on CPU",
        "free": "wherever the scheduler puts them",
    }[placement]
    assert wanted in told
    assert bool(data["notes"]) == (placement == "cross-cpu" and not several)


def test_pictures_can_be_read(data: dict[str, Any]) -> None:
    assert not faults(data)
    assert not faults(observed(rounds=10_000_000))


def test_without_system_v_the_rest_is_shown(world: World) -> None:
    world.passes(
        """
        from labkit import walkthroughs
        data = walkthroughs.observe("synchronisation", {"rounds": 1000})
        assert "System V semaphores are refused" in data["notes"][0], data["notes"]
        titles = [step["title"] for step in data["steps"]]
        assert "A torn read" in titles and titles[-1].startswith("The ring"), titles
    """,
        sysctl={"kernel.sem": "250 32000 32 0"},
    )


def test_a_refused_semaphore_is_no_taken_key(world: World) -> None:
    world.passes(
        """
        from labkit import claims, walkthroughs
        (note,) = walkthroughs.observe("synchronisation", {"rounds": 1000})["notes"]
        assert "EINVAL: SEMMSL" in note and "taken" not in note, note
        for row in claims.examine(only=["waiting-switches", "killed-holder"]):
            assert row["verdict"] == "not tried here" and "SEMMSL" in row["observed"], row
    """,
        sysctl={"kernel.sem": "0 0 0 0"},
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"placement": "same"}, "there is no placement"),
        ({"placement": "cross-cpus"}, "did you mean 'cross-cpu'"),
        ({"placement": None}, "there is no placement"),
        ({"rounds": 0}, "from 1 to 10000000"),
        ({"rounds": 10_000_001}, "from 1 to 10000000"),
        ({"rounds": "many"}, "from 1 to 10000000"),
        ({"rounds": True}, "from 1 to 10000000"),
        ({"rounds": 1.5}, "from 1 to 10000000"),
    ],
)
def test_bad_options_are_told_in_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        observed(**options)


def test_killed_at_any_step_nothing_is_left(world: World) -> None:
    world.passes(
        """
        from labkit.errors import LabkitError
        from labkit.harness import experiment

        for step in (1, 3, 5, 9, 10):
            try:
                experiment.run("bench_walks:killed_at_step", {"step": step})
            except LabkitError as error:
                assert "was killed by SIGKILL" in str(error), error
            else:
                raise AssertionError("nothing was said")
    """,
        grace_s=20.0,
    )
