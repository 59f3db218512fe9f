"""What the five kinds of shared memory have in common: a ring in a segment.

A kind of shared memory says three things: how the segment is made, how an end attaches it (at
which address it appears in that process), and how it is detached.
"""

import ctypes
import errno
import mmap
import os
from abc import abstractmethod
from typing import Any

from labkit.kernel.limits import system_v_semaphores
from labkit.kernel.objects import error_number
from labkit.mechanisms import ring
from labkit.mechanisms.contract import Channel, End


class SegmentChannel(Channel):
    """A ring of messages in a shared segment."""

    def create(self) -> None:
        self.layout = ring.Layout(self.message_size, self.room)
        self.semaphores: tuple[int, int] | None = None
        self.create_segment(self.layout.size)
        if self.waiting == "eventfd":
            try:
                self.semaphores = _counters(self.layout.slots)
            except OSError:
                self.discard_segment()
                raise
        if self.waiting == "sysv_sem":
            try:
                items = self.objects.sysv_semaphore(0)
                self.semaphores = items, self.objects.sysv_semaphore(self.layout.slots)
            except BaseException as error:
                self.discard_segment()
                if error_number(error) == errno.ENOSPC:
                    # Not the segment's limit, but that of what its ends wait with.
                    bounds = ", ".join(f"{k} {v}" for k, v in system_v_semaphores().items())
                    error.add_note(
                        f"the machine has all the semaphores that kernel.sem allows ({bounds}):"
                        " see `ipcs -s`"
                    )
                raise

    def open(self, end: End, state: Any) -> None:
        self.layout.describe_to(state, self.attach(end), self.waiting)
        ring.start_semaphores(state, end, self.semaphores)

    def close(self) -> None:
        self.detach()
        self._close_counters()

    def discard(self) -> None:
        self.discard_segment()
        if self.waiting == "sysv_sem":
            for identifier in self.semaphores or ():
                self.objects.remove("sysv_sem", identifier)
        self._close_counters()

    def _close_counters(self) -> None:
        """Close this process's descriptors of the eventfds, where they are what is waited with."""
        if self.waiting == "eventfd":
            for descriptor in self.semaphores or ():
                os.close(descriptor)

    def refuse_to_wait(self, state: Any) -> None:
        ring.refuse_to_wait(state)

    @abstractmethod
    def create_segment(self, size: int) -> None:
        """Make a zeroed segment of `size` bytes, in the helper."""

    @abstractmethod
    def attach(self, end: End) -> int:
        """Attach it in the end's process: the address at which it appears."""

    @abstractmethod
    def detach(self) -> None:
        """Detach it from the end's process."""

    @abstractmethod
    def discard_segment(self) -> None:
        """Remove the segment."""


def _counters(slots: int) -> tuple[int, int]:
    """Two eventfds that act as semaphores: of messages, and of free places. eventfd(2)"""
    flags = os.EFD_SEMAPHORE | os.EFD_CLOEXEC
    items = os.eventfd(0, flags)
    try:
        return items, os.eventfd(slots, flags)
    except OSError:
        os.close(items)
        raise


def address_of(mapping: mmap.mmap) -> int:
    """Where a mapping starts in this process's address space."""
    # The view is dropped at once: a mapping with views on it could not be closed.
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))
