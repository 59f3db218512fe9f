"""libc's own functions, declared once and called by two engines.

Each name below is an object that Python can call (through ctypes, for the interpreted engine)
and that `labkit.kernel.compiler` binds to the very same function in compiled code. Signatures are
those of the manual pages named beside them, on 64-bit Linux.
"""

import ctypes
from collections.abc import Sequence

_C_TYPES = {
    "int": ctypes.c_int32,
    "unsigned": ctypes.c_uint32,
    "long": ctypes.c_int64,  # also size_t, ssize_t and addresses: 64 bits on every Linux served
}

_libc = ctypes.CDLL(None, use_errno=True)


class LibcFunction:
    """One function of libc, with the types it takes and returns.

    Args:
        name: the symbol in libc.
        result: `int`, `unsigned` or `long`.
        arguments: the same names, one per argument. Addresses are `long`.
    """

    def __init__(self, name: str, result: str, *arguments: str) -> None:
        self.name = name
        self.result = result
        self.arguments: Sequence[str] = arguments
        self._call = getattr(_libc, name)
        self._call.restype = _C_TYPES[result]
        self._call.argtypes = [_C_TYPES[argument] for argument in arguments]

    def __call__(self, *arguments: int) -> int:
        return int(self._call(*arguments))


# Bytes through a descriptor: pipe(7), read(2), write(2), send(2), recv(2).
read = LibcFunction("read", "long", "int", "long", "long")
write = LibcFunction("write", "long", "int", "long", "long")
send = LibcFunction("send", "long", "int", "long", "long", "int")
recv = LibcFunction("recv", "long", "int", "long", "long", "int")
# Without a copy of the kernel's own: vmsplice(2), process_vm_readv(2).
vmsplice = LibcFunction("vmsplice", "long", "int", "long", "long", "unsigned")
process_vm_readv = LibcFunction(
    "process_vm_readv", "long", "int", "long", "long", "long", "long", "long"
)
# Queues: msgop(2), mq_send(3), mq_receive(3).
msgsnd = LibcFunction("msgsnd", "int", "int", "long", "long", "int")
msgrcv = LibcFunction("msgrcv", "long", "int", "long", "long", "long", "int")
mq_send = LibcFunction("mq_send", "int", "int", "long", "long", "unsigned")
mq_receive = LibcFunction("mq_receive", "long", "int", "long", "long", "long")
mq_getattr = LibcFunction("mq_getattr", "int", "int", "long")
# System V objects: shmget(2), shmat(2), shmdt(2), shmctl(2), msgget(2), msgctl(2), semget(2),
# semctl(2).
shmget = LibcFunction("shmget", "int", "int", "long", "int")
shmat = LibcFunction("shmat", "long", "int", "long", "int")
shmdt = LibcFunction("shmdt", "int", "long")
shmctl = LibcFunction("shmctl", "int", "int", "int", "long")
msgget = LibcFunction("msgget", "int", "int", "int")
msgctl = LibcFunction("msgctl", "int", "int", "int", "long")
semget = LibcFunction("semget", "int", "int", "int", "int")
semctl = LibcFunction("semctl", "int", "int", "int", "int", "long")
# Waiting: semop(2), sem_wait(3), sem_post(3), sched_yield(2); futex(2) has no wrapper in libc.
semop = LibcFunction("semop", "int", "int", "long", "long")
sem_init = LibcFunction("sem_init", "int", "long", "int", "unsigned")
sem_wait = LibcFunction("sem_wait", "int", "long")
sem_trywait = LibcFunction("sem_trywait", "int", "long")
sem_post = LibcFunction("sem_post", "int", "long")
sched_yield = LibcFunction("sched_yield", "int")
syscall = LibcFunction("syscall", "long", "long", "long", "long", "long", "long", "long", "long")
# Memory and clocks: memcpy(3), clock_gettime(2), getrusage(2).
memcpy = LibcFunction("memcpy", "long", "long", "long", "long")
clock_gettime = LibcFunction("clock_gettime", "int", "int", "long")
getrusage = LibcFunction("getrusage", "int", "int", "long")


def errno() -> int:
    """The number of the last error of this thread's last libc call, errno(3)."""
    return ctypes.get_errno()
