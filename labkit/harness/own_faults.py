"""How an end of a mechanism of somebody's own died, with what its author should look for."""

from labkit.harness.pair import EndDied, EndStalled


def how_died(name: str, died: EndDied, being_filled: bool = False) -> str:
    """How an end of a mechanism died.

    Args:
        being_filled: whether it was to be seen how much the channel holds.
    """
    if "SIGSEGV" in str(died) or "SIGBUS" in str(died):
        return (
            f"{died} open() or a verb of {name}.py used or returned an address where there is"
            " no memory; engine 'python' tells the line of an exception."
        )
    if isinstance(died, EndStalled) and being_filled:
        return (
            f"{died} It was being filled to see how much it holds: where claim or publish would"
            " have to wait and ch[FLAGS] is not 0, they return -EAGAIN."
        )
    return str(died)
