"""Numbers of system calls that libc has no function for, by architecture. syscall(2)"""

import platform

_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
FUTEX = _FUTEX.get(platform.machine(), 98)  # the generic table, include/uapi/asm-generic/unistd.h
