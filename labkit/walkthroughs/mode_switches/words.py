"""What a frame says of a moment: phase, title, a few sentences, and one for a shared step."""

from labkit.walkthroughs.mode_switches.frames import (
    ANNOUNCED,
    ASKED,
    BACK,
    FETCHED,
    FETCHES,
    HANDED,
    INSIDE,
    RETURNED,
    ROOM,
    WAITS,
    WOKEN,
)
from labkit.walkthroughs.one_message import Channel

Words = tuple[int, str, str, str]


def calls(number: int) -> str:
    """So many system calls."""
    return "1 system call" if number == 1 else f"{number} system calls"


def looked_at(word: int) -> str:
    """What the consumer has seen in the ready word before it asked."""
    return f"""In user mode it has looked at the ready word of the place: it holds
        {word >> 1}, the number of an earlier message, not of the one awaited. It has
        set the word's lowest bit: somebody sleeps."""


def asks(name: str, pid: int, looked: str) -> Words:
    """The consumer enters the kernel for a message, or to wait for one."""
    return (
        ASKED,
        f"The consumer asks: {name}",
        f"""{looked} The consumer calls {name}: a mode switch, from user mode to kernel
        mode. It is the same process, PID {pid}; now the kernel's code runs in it.""",
        f"the consumer calls {name} and is in the kernel.",
    )


def sends(name: str, pid: int) -> Words:
    """The producer enters the kernel with its message."""
    return (
        HANDED,
        f"The producer calls {name}",
        f"""The producer calls {name}: a mode switch, in the same process, PID {pid}. Only
        the kernel can put the message where both will find it.""",
        f"the producer calls {name} and is in the kernel.",
    )


def announces(name: str, pid: int, way: Channel, asleep: bool) -> Words:
    """The producer enters the kernel to say that a message is there."""
    lies = "in the segment" if way.shares else "in the producer's memory"
    if asleep and way.waiting not in ("sysv_sem", "eventfd"):
        why = "Somebody sleeps, and only the kernel can wake a sleeper"
    elif way.own:
        why = "This mechanism's publish makes a call"
    else:
        why = f"With {way.waiting}, every step is a system call"
    return (
        ANNOUNCED,
        f"{'Shared memory enters' if way.shares else 'Into'} the kernel: {name}",
        f"""The message lies {lies}, but memory wakes nobody. {why}: the producer
        calls {name}, a mode switch in PID {pid}.""",
        f"the producer calls {name}, to wake the consumer, and is in the kernel, too.",
    )


def fetches(name: str, pid: int) -> Words:
    """The consumer enters the kernel to have a message copied from the other process."""
    return (
        FETCHES,
        f"The consumer calls {name}",
        f"""The consumer knows that a message is ready, and where; it asks the kernel to
        copy it from the other process's memory. A mode switch, in PID {pid}.""",
        f"the consumer calls {name} and is in the kernel.",
    )


def room(name: str, taken: bool, way: Channel, times: int) -> Words:
    """A whole call about free room."""
    phase = ROOM if taken else BACK
    if way.own:
        verb, who = ("claim", "The producer") if taken else ("release", "The consumer")
        often = f"{times} times into the kernel and out again" if times > 1 else "Into and out"
        return (
            phase,
            f"{who} calls {name} in {verb}",
            f"""{who}'s {verb} calls {name}. {often}: {calls(times)}, {2 * times} mode switches,
            for the room and not for the message.""",
            f"{verb} makes {calls(times)}, for the room.",
        )
    what = "A free place is taken" if taken else "The place is given back"
    return (
        phase,
        f"{what}: {name}",
        f"""{what}: another counter, of free places, and another {name}. Into the kernel
        and out again, two mode switches, although nobody waits for it.""",
        f"one more {name}, for the free place: into the kernel and out again.",
    )


def returns(name: str, became: str, brief: str) -> Words:
    """The producer's call is back, and this became of the message."""
    return (
        RETURNED,
        f"{name} returns to the producer",
        f"""{became} The producer is back in user mode: the second mode switch
        of its call.""",
        brief,
    )


def lent(size: int, between: str) -> tuple[str, str]:
    """What became of a message that the kernel only refers to."""
    return (
        f"""The {between} refers to the producer's own page: {size} bytes are in
        it, and none was copied.""",
        f"the producer's call returns; {size} bytes were lent, not copied.",
    )


def sent(size: int, between: str, gone_on: bool, none_waits: bool) -> tuple[str, str]:
    """What became of a message that the kernel has copied."""
    said = f"The kernel has copied {size} bytes from the producer's buffer into its own memory."
    if gone_on:
        return (
            f"{said} They have gone on to the consumer already.",
            f"the producer's call returns; its {size} bytes have gone on already.",
        )
    if none_waits:
        said += f""" The {between} itself counts none: as the consumer was waiting,
            they go straight to it."""
    return said, f"the producer's call returns; {size} bytes are in the kernel's memory."


def has_announced(name: str, woke: bool) -> Words:
    """The producer's call is back, and the consumer knows."""
    waking = ": waking was all that the kernel was needed for" if woke else ""
    return (
        RETURNED,
        f"{name} returns to the producer",
        f"""{name} returns, the second mode switch of the call. It moved no byte of the
        message{waking}.""",
        f"{name} returns; no byte was moved.",
    )


def wakes_up(name: str, shares: bool) -> Words:
    """The consumer comes out of the call that it slept in."""
    again = " It has not copied anything." if shares else ""
    return (
        WOKEN,
        f"The consumer wakes up: {name} returns",
        f"""The consumer runs again, and {name} takes it back to user mode, where it finds
        that a message is ready.{again}""",
        f"{name} returns: the consumer is awake, and finds that a message is ready.",
    )


def sees_it(name: str, times: int) -> Words:
    """The consumer, which has looked again and again, finds a message."""
    return (
        WOKEN,
        f"The consumer finds it: {name} returns",
        f"""Once more {name} returns, and in user mode the consumer finds that a message is ready.
        It called {name} {times} times, {2 * times} mode switches: how often depends on how long
        it had to wait, and is another number each time.""",
        f"{name} returns, after {times} calls, and the consumer finds that a message is ready.",
    )


def has_received(name: str, size: int, between: str, seen: str) -> Words:
    """The consumer's call is back with the message.

    Args:
        between: what it came out of; "" if it came straight from the producer's memory.
    """
    how = (
        f"out of the {between} into the consumer's buffer"
        if between
        else "straight from the producer's memory into the consumer's buffer, once"
    )
    return (
        WOKEN if between else FETCHED,
        f"{name} returns to the consumer",
        f"""The kernel has copied {size} bytes {how}; {name} returns, and the consumer is
        in user mode again. {seen}""",
        f"{name} returns; the kernel has copied {size} bytes to the consumer.",
    )


def spins() -> Words:
    """The consumer looks again and again, without the kernel."""
    return (
        WAITS,
        "The consumer spins",
        """The consumer looks at the ready word again and again: no message. That takes no
        system call; it takes a CPU.""",
        "the consumer looks again and again, in user mode.",
    )


def polls(name: str, times: int) -> Words:
    """The consumer looks again and again, with a call between two looks."""
    return (
        WAITS,
        f"The consumer looks again and again: {name}",
        f"""No message is there, and the consumer doesn't sleep: it looks, calls {name} and looks
        again, {times} times so far. Nobody will have to wake it, but waiting takes the CPU, and
        {2 * times} mode switches.""",
        f"nothing is there; the consumer looks again and again, {times} calls of {name} so far.",
    )


def sleeps(name: str, one_cpu: bool) -> Words:
    """The consumer is put to sleep."""
    who = "and the CPU goes to the producer" if one_cpu else "and its CPU is free for others"
    return (
        WAITS,
        "Nothing there: the consumer sleeps",
        f"""No message is there. The kernel puts the consumer to sleep, {who}: a context
        switch. Not the mode of a process has changed, but the process that runs.""",
        f"nothing is there; the consumer sleeps in {name}: a context switch.",
    )


def put_in(name: str, size: int, between: str, lends: bool) -> Words:
    """What the kernel must have done by now, as the consumer has the message already."""
    done = f"copies {size} bytes from the producer's buffer into memory of its own"
    if lends:
        done = f"puts a reference to the producer's page into the {between}, no copy"
    return (
        INSIDE,
        f"Lent to the {between}" if lends else "The kernel copies it in",
        f"""In kernel mode, still for the producer, the kernel {done}. No trace shows that: it
        is inferred from what comes next, as {name} gives the consumer {size} bytes before the
        producer's call has returned.""",
        f"the kernel {done}.",
    )
