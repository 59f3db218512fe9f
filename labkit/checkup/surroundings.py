"""What labkit runs inside of, which decides what its numbers are numbers of."""

from labkit.checkup.check import Finding
from labkit.checkup.remedy import NO_KERNEL
from labkit.kernel import machine


def container() -> Finding:
    """Namespaces of one's own, with limits of their own. namespaces(7)"""
    kind = machine.container()
    if kind is None:
        return Finding(True, "this process is in the machine's first namespaces (/proc/self/ns)")
    name = "a container" if kind == "unnamed" else f"a container ({kind})"
    return Finding(
        False,
        f"in {name}: the kernel is the host's, limits, /dev/shm and CPU quota are the container's"
        " (/proc/self/ns)",
        "labkit compare  # works here too; on the host, the same gives the host's numbers",
    )


def virtual_machine() -> Finding:
    """A hypervisor below, which has a part in waking a CPU."""
    name = machine.virtual_machine()
    if name is None:
        return Finding(True, "no hypervisor is seen (/proc/cpuinfo, /sys/class/dmi/id)")
    whose = "somebody's" if name == "unnamed" else name
    return Finding(
        False,
        f"a virtual machine, {whose} (/proc/cpuinfo, /sys): the hypervisor has a part in waking"
        " another CPU",
        "labkit compare --placement same-cpu  # where it has the least part",
    )


def wsl() -> Finding:
    """The Windows Subsystem for Linux."""
    version = machine.wsl()
    if version is None:
        return Finding(True, "the kernel is not Microsoft's (/proc/sys/kernel/osrelease)")
    if version == 1:
        return Finding(
            False, "WSL 1, which has no Linux kernel: most of the lab is missing", NO_KERNEL
        )
    return Finding(
        False,
        "WSL 2, a virtual machine with a Linux kernel: the lab works, beside what Windows does",
        "cd ~  # keep labkit there and not under /mnt; `wsl.exe --update` in Windows",
    )
