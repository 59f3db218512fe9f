"""The choice of CPUs: on this machine, and on machines written down as the kernel shows them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import RequestError
from labkit.kernel import cpus
from labkit.kernel.cpus import Times


@pytest.fixture
def affinity() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


def lay_out(
    folder: Path, cores: list[list[int]], l3: list[list[int]], packages: list[list[int]]
) -> None:
    """Write the files of a machine with these cores, third-level caches and packages."""
    for core in cores:
        for cpu in core:
            here = folder / f"cpu{cpu}"
            (here / "topology").mkdir(parents=True)
            (here / "topology" / "core_cpus_list").write_text(",".join(map(str, core)) + "\n")
            package = next(number for number, each in enumerate(packages) if cpu in each)
            (here / "topology" / "physical_package_id").write_text(f"{package}\n")
            shared = next(each for each in l3 if cpu in each)
            for index, (level, kind, those) in enumerate(
                [("1", "Data", core), ("1", "Instruction", core), ("3", "Unified", shared)]
            ):
                cache = here / "cache" / f"index{index}"
                cache.mkdir(parents=True)
                (cache / "level").write_text(level + "\n")
                (cache / "type").write_text(kind + "\n")
                (cache / "shared_cpu_list").write_text(",".join(map(str, those)) + "\n")


@pytest.fixture
def threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores of two threads; a third-level cache for two cores each; two packages."""
    cores = [[0, 4], [1, 5], [2, 6], [3, 7]]
    halves = [[0, 1, 4, 5], [2, 3, 6, 7]]
    lay_out(tmp_path, cores, halves, halves)
    monkeypatch.setattr(cpus, "CPU_FOLDERS", tmp_path)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", (0,)), ("0-2,8\n", (0, 1, 2, 8)), ("", ()), ("3,5-6", (3, 5, 6))],
)
def test_lists_of_cpus(text: str, numbers: tuple[int, ...]) -> None:
    assert cpus.parse_list(text) == numbers


class TestThisMachine:
    def test_allowed_follows_the_affinity(self, affinity: None) -> None:
        last = cpus.allowed()[-1]
        os.sched_setaffinity(0, {last})
        assert cpus.allowed() == (last,)

    def test_the_chosen_two_are_allowed_and_differ(self) -> None:
        chosen = cpus.choose(settle=0.0)
        assert chosen.first in cpus.allowed()
        assert set(chosen.busy) == set(cpus.allowed())
        assert all(0 <= share <= 1 for share in chosen.busy.values())
        if len(cpus.allowed()) > 1:
            assert chosen.second in cpus.allowed()
            assert chosen.second != chosen.first

    def test_one_cpu_has_no_second(self, affinity: None) -> None:
        only = cpus.allowed()[0]
        cpus.pin(only)
        chosen = cpus.choose(settle=0.0)
        assert (chosen.first, chosen.second, chosen.same_core) == (only, None, False)
        assert chosen.shared_caches == ()

    def test_every_cpu_is_a_thread_of_its_own_core(self) -> None:
        assert all(cpu in cpus.threads_of_core(cpu) for cpu in cpus.allowed())

    def test_every_cpu_shares_its_own_caches(self) -> None:
        for cpu in cpus.allowed():
            assert all(cpu in those for those in cpus.caches_of(cpu).values())

    @pytest.mark.parametrize("cpu", [-1, 99_999, 2**70])
    def test_a_cpu_that_is_not_there(self, cpu: int, affinity: None) -> None:
        with pytest.raises(RequestError, match=f"CPU {cpu} cannot be used"):
            cpus.pin(cpu)

    def test_a_quota_is_a_positive_number_of_cpus(self) -> None:
        quota = cpus.quota()
        assert quota is None or quota > 0


class TestPair:
    IDLE = dict.fromkeys(range(8), 0.0)

    def test_another_core_that_shares_a_cache(self, threads: None) -> None:
        for _ in range(50):
            chosen = cpus.pair(tuple(range(8)), self.IDLE)
            assert not chosen.same_core
            assert chosen.shared_caches == ("L3",)

    def test_equals_are_drawn_by_lot(self, threads: None) -> None:
        firsts = Counter(cpus.pair(tuple(range(8)), self.IDLE).first for _ in range(400))
        assert set(firsts) == set(range(8))

    def test_the_least_busy_comes_first(self, threads: None) -> None:
        busy = {**dict.fromkeys(range(8), 0.4), 5: 0.0, 1: 0.0}
        for _ in range(20):
            chosen = cpus.pair(tuple(range(8)), busy)
            assert chosen.first in (1, 5)
            assert chosen.second in (0, 4)

    def test_a_busy_thread_of_the_same_core_counts(self, threads: None) -> None:
        busy = {**self.IDLE, 4: 1.0, 5: 1.0, 6: 1.0}
        for _ in range(20):
            assert cpus.pair((0, 1, 2, 3), busy).first == 3

    def test_rather_far_than_busy(self, threads: None) -> None:
        chosen = cpus.pair((0, 1, 2), {**self.IDLE, 0: 0.0, 1: 0.9, 2: 0.1})
        assert (chosen.first, chosen.second, chosen.shared_caches) == (0, 2, ())

    def test_rather_busy_than_on_the_same_core(self, threads: None) -> None:
        chosen = cpus.pair((0, 1, 4), {**self.IDLE, 1: 0.9})
        assert {chosen.first, chosen.second} in ({0, 1}, {1, 4})
        assert not chosen.same_core

    def test_rather_near_than_idle(self, threads: None) -> None:
        chosen = cpus.pair((0, 1, 2), {**self.IDLE, 1: 0.3, 2: 0.1})
        assert (chosen.first, chosen.second) == (0, 1)

    def test_one_core_is_shared_where_there_is_no_other(self, threads: None) -> None:
        chosen = cpus.pair((2, 6), self.IDLE)
        assert {chosen.first, chosen.second} == {2, 6}
        assert chosen.same_core
        assert chosen.shared_caches == ("L1d", "L1i", "L3")

    def test_without_sysfs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cpus, "CPU_FOLDERS", tmp_path)
        chosen = cpus.pair((0, 1), {})
        assert {chosen.first, chosen.second} == {0, 1}
        assert chosen.shared_caches == ()


def test_busy_shares_count_stolen_time() -> None:
    before = {0: Times(10, 10, 0), 1: Times(5, 5, 5), 2: Times(0, 0, 0)}
    after = {0: Times(13, 16, 1), 1: Times(5, 5, 5), 3: Times(1, 1, 1)}
    assert cpus.busy_shares(before, after) == {0: 0.4, 1: 0.0}


class TestQuota:
    @pytest.fixture
    def groups(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "self").mkdir()
        monkeypatch.setattr(cpus, "PROC", tmp_path)
        return tmp_path

    def mount(self, groups: Path, root: str, kind: str, options: str, own: str) -> Path:
        top = groups / "top"
        top.mkdir()
        (groups / "self" / "mountinfo").write_text(
            f"30 24 0:26 {root} {top} rw,nosuid shared:9 - {kind} cgroup {options}\n"
        )
        (groups / "self" / "cgroup").write_text(own)
        return top

    def test_the_tightest_group_above_counts(self, groups: Path) -> None:
        top = self.mount(groups, "/", "cgroup2", "rw", "0::/a/b\n")
        (top / "a" / "b").mkdir(parents=True)
        (top / "a" / "b" / "cpu.max").write_text("max 100000\n")
        (top / "a" / "cpu.max").write_text("150000 100000\n")
        assert cpus.quota() == 1.5

    def test_version_1_in_a_container(self, groups: Path) -> None:
        top = self.mount(groups, "/docker/x", "cgroup", "rw,cpu,cpuacct", "4:cpu,cpuacct:/docker/x")
        (top / "cpu.cfs_quota_us").write_text("50000\n")
        (top / "cpu.cfs_period_us").write_text("100000\n")
        assert cpus.quota() == 0.5

    def test_version_1_without_limit(self, groups: Path) -> None:
        top = self.mount(groups, "/", "cgroup", "rw,cpu", "4:cpu:/\n")
        (top / "cpu.cfs_quota_us").write_text("-1\n")
        (top / "cpu.cfs_period_us").write_text("100000\n")
        assert cpus.quota() is None

    def test_a_group_seen_from_outside(self, groups: Path) -> None:
        top = self.mount(groups, "/", "cgroup2", "rw", "0::/../../elsewhere\n")
        (top / "cpu.max").write_text("200000 100000\n")
        assert cpus.quota() == 2.0

    def test_nothing_to_read(self, groups: Path) -> None:
        assert cpus.quota() is None
