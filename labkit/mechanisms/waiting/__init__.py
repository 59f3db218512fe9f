"""How one end waits for the other where memory is shared: memory moves bytes, it wakes nobody.

Every strategy is two measured functions over what a channel shares:

    wait(ch, word, semaphore, count)      come back once `count` have been announced
    announce(ch, word, semaphore, count)  say that there are now `count`, wake who sleeps

`word` is the address of a 32-bit count in the segment, `semaphore` what the semaphore strategies
use in its place. `wait` returns what it saw, or a negative errno.

"""

SPIN, FUTEX, POSIX_SEM, SYSV_SEM, EVENTFD = range(5)
NAMES = ("spin", "futex", "posix_sem", "sysv_sem", "eventfd")
