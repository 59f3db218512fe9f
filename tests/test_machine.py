"""What labkit says of this machine and its limits, and of machines written down as files."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.kernel import limits as kernel_limits
from labkit.kernel import machine
from labkit.kernel.cpus import Times
from labkit.kernel.limits import UNLIMITED, limits
from labkit.kernel.machine import Snapshot, noise, snapshot


class TestLimits:
    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("msgmax", "kernel/msgmax"),
            ("shmmni", "kernel/shmmni"),
            ("semmsl", "kernel/sem"),
            ("msgsize_max", "fs/mqueue/msgsize_max"),
            ("pipe-max-size", "fs/pipe-max-size"),
            ("wmem_max", "net/core/wmem_max"),
            ("max_dgram_qlen", "net/unix/max_dgram_qlen"),
        ],
    )
    def test_they_are_the_kernels(self, name: str, file: str) -> None:
        path = Path("/proc/sys") / file
        if not path.exists():
            assert limits()[name] is None
        else:
            assert limits()[name] == int(path.read_text().split()[0])

    def test_semaphores_have_four(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "kernel").mkdir()
        (tmp_path / "kernel" / "sem").write_text("250\t32000\t32\t128\n")
        monkeypatch.setattr(kernel_limits, "SETTINGS", tmp_path)
        found = kernel_limits.system_v_semaphores()
        assert found == {"semmsl": 250, "semmns": 32000, "semopm": 32, "semmni": 128}

    def test_what_is_hidden_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernel_limits, "SETTINGS", tmp_path)
        monkeypatch.setattr(kernel_limits, "SHARED_MEMORY_FOLDER", str(tmp_path / "shm"))
        told = {name for name, value in limits().items() if value is not None}
        assert told <= {"RLIMIT_MSGQUEUE", "RLIMIT_NOFILE", "RLIMIT_NPROC"}

    def test_soft_limits_are_this_process_s(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
        try:
            assert limits()["RLIMIT_NOFILE"] == before[0] - 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def test_no_limit_is_larger_than_any(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 0))
        assert limits()["RLIMIT_NPROC"] == UNLIMITED

    def test_shared_memory_has_room(self) -> None:
        size, free = limits()["dev_shm_size"], limits()["dev_shm_free"]
        assert size is not None
        assert free is not None
        assert 0 <= free <= size


def strings(value: Any) -> list[str]:
    """All strings in a nest of dicts and lists."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


class TestDescribe:
    def test_it_survives_json(self) -> None:
        told = machine.describe()
        assert json.loads(json.dumps(told)) == told

    def test_it_is_this_machine(self) -> None:
        told = machine.describe()
        assert told["kernel"] == os.uname().release
        assert told["cpus_allowed"] == sorted(os.sched_getaffinity(0))
        assert told["page_size"] == os.sysconf("SC_PAGE_SIZE")
        assert told["memory_bytes"] > 2**20
        assert told["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
        assert told["libraries"]["numba"]

    def test_it_tells_nothing_of_the_student(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("USER", "LOGNAME", "HOME", "HOSTNAME", "PWD"):
            monkeypatch.setenv(name, "/home/ada-of-room-12")
        system, _, release, version, processor = os.uname()
        named = os.uname_result((system, "ada-of-room-12", release, version, processor))
        monkeypatch.setattr(os, "uname", lambda: named)
        told = machine.describe()
        assert not [text for text in strings(told) if "ada-of-room-12" in text]
        assert not [text for text in strings(told) if text.startswith("/")]

    def test_a_bare_system_is_no_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "ROOT", tmp_path)
        told = machine.describe()
        for name in ("cpu_model", "memory_bytes", "frequency_governor", "virtual_machine", "wsl"):
            assert told[name] is None
        assert told["caches"] == []
        assert told["mitigations"] == {}

    def test_importing_it_is_light(self) -> None:
        code = (
            "import sys, labkit.kernel.machine, labkit.kernel.trace\n"
            "heavy = {'numba', 'numpy', 'pandas', 'matplotlib', 'importlib.metadata', 'asyncio'}\n"
            "print(sorted(heavy & sys.modules.keys()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[]\n"


class TestSurroundings:
    """Virtual machines and containers, by the files they show."""

    @pytest.fixture
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(machine, "ROOT", tmp_path)
        for name in ("KUBERNETES_SERVICE_HOST", "container", "APPTAINER_CONTAINER"):
            monkeypatch.delenv(name, raising=False)
        return tmp_path

    def write(self, root: Path, **files: str) -> None:
        places = {
            "cpuinfo": "proc/cpuinfo",
            "release": "proc/sys/kernel/osrelease",
            "vendor": "sys/class/dmi/id/sys_vendor",
            "product": "sys/class/dmi/id/product_name",
            "clocks": "sys/devices/system/clocksource/clocksource0/available_clocksource",
            "xen": "sys/hypervisor/type",
            "capabilities": "sys/hypervisor/capabilities",
            "docker": ".dockerenv",
            "podman": "run/.containerenv",
            "groups": "proc/self/cgroup",
        }
        for name, text in files.items():
            path = root / places[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    GUEST = "processor : 0\nflags : fpu hypervisor sse2\n\nprocessor : 1\n"
    HOST = "processor : 0\nflags : fpu sse2\n\nprocessor : 1\n"
    ARM = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n"

    @pytest.mark.parametrize(
        ("files", "kind"),
        [
            ({"cpuinfo": HOST, "vendor": "Dell Inc.", "product": "XPS 15"}, None),
            ({"cpuinfo": HOST, "vendor": "Amazon EC2", "product": "m5.metal"}, None),
            ({"cpuinfo": HOST, "vendor": "Microsoft Corporation", "product": "Surface"}, None),
            ({"cpuinfo": GUEST, "vendor": "QEMU", "product": "Standard PC"}, "QEMU"),
            ({"cpuinfo": GUEST, "vendor": "innotek GmbH", "product": "VirtualBox"}, "VirtualBox"),
            (
                {
                    "cpuinfo": GUEST,
                    "vendor": "Microsoft Corporation",
                    "product": "Virtual Machine",
                },
                "Hyper-V",
            ),
            ({"cpuinfo": GUEST, "clocks": "tsc kvm-clock acpi_pm"}, "KVM"),
            ({"cpuinfo": GUEST}, "unnamed"),
            ({"cpuinfo": HOST, "xen": "xen"}, "Xen"),
            ({"cpuinfo": HOST, "xen": "xen", "capabilities": "control_d"}, None),
            (
                {"cpuinfo": ARM, "vendor": "Apple Inc.", "product": "Apple Virtualization Generic"},
                "Apple Virtualization",
            ),
            ({"cpuinfo": ARM, "vendor": "Amazon EC2", "product": "c7g.large"}, "Amazon EC2"),
            ({"cpuinfo": ARM, "vendor": "Amazon EC2", "product": "c7g.metal"}, None),
            ({"release": "5.15.90.1-microsoft-standard-WSL2"}, "Hyper-V"),
        ],
    )
    def test_virtual_machines(self, root: Path, files: dict[str, str], kind: str | None) -> None:
        self.write(root, **files)
        assert machine.virtual_machine() == kind

    def test_arm_processors_have_numbers(self, root: Path) -> None:
        self.write(root, cpuinfo=self.ARM)
        assert machine.cpu_model() == "implementer 0x41, part 0xd0c"

    @pytest.mark.parametrize(
        ("release", "version"),
        [("6.1.0-18-amd64", None), ("4.4.0-19041-Microsoft", 1), ("6.6.0-microsoft-custom", 2)],
    )
    def test_windows_underneath(self, root: Path, release: str, version: int | None) -> None:
        self.write(root, release=release)
        assert machine.wsl() == version

    def namespaces(self, root: Path, pid: int) -> None:
        folder = root / "proc" / "self" / "ns"
        folder.mkdir(parents=True)
        (folder / "pid").symlink_to(f"pid:[{pid}]")

    @pytest.mark.parametrize(
        ("files", "kind"),
        [
            ({}, "unnamed"),
            ({"docker": ""}, "docker"),
            ({"podman": 'engine="podman-4.3.1"\nname="lab"\n'}, "podman"),
            ({"podman": ""}, "podman"),
            ({"docker": "", "groups": "0::/kubepods/pod1\n"}, "kubernetes"),
            ({"groups": "1:name=systemd:/lxc/lab\n"}, "lxc"),
            ({"release": "5.15.90.1-microsoft-standard-WSL2"}, None),
        ],
    )
    def test_containers(self, root: Path, files: dict[str, str], kind: str | None) -> None:
        self.namespaces(root, 4026532301)
        self.write(root, **files)
        assert machine.container() == kind

    def test_a_marker_alone_is_no_container(self, root: Path) -> None:
        self.namespaces(root, machine.FIRST_NAMESPACES["pid"])
        self.write(root, docker="")
        assert machine.container() is None


class TestNoise:
    def test_of_this_machine(self) -> None:
        before = snapshot()
        told = noise(before, snapshot())
        assert told["duration_s"] >= 0
        assert set(told) == {
            "duration_s",
            "other_load",
            "stolen",
            "load_average_before",
            "load_average_after",
        }

    def test_ones_own_work_is_taken_off(self) -> None:
        tick = os.sysconf("SC_CLK_TCK")
        before = Snapshot(100.0, {0: Times(0, 0, 0), 1: Times(0, 0, 0)}, 0.5)
        # In ten seconds CPU 0 worked for 8 and waited for the hypervisor for 1; CPU 1 worked for 2.
        after = Snapshot(
            110.0, {0: Times(8 * tick, tick, tick), 1: Times(2 * tick, 8 * tick, 0)}, 1.5
        )
        told = noise(before, after, own_cpu_seconds=7.0)
        assert told == {
            "duration_s": 10.0,
            "other_load": 0.3,
            "stolen": 0.05,
            "load_average_before": 0.5,
            "load_average_after": 1.5,
        }
        assert noise(before, after, own_cpu_seconds=11.0)["other_load"] == 0.0

    def test_where_nothing_is_told(self) -> None:
        told = noise(Snapshot(1.0, {}, 0.0), Snapshot(2.0, {}, 0.0))
        assert told["other_load"] is None
        assert told["stolen"] is None
