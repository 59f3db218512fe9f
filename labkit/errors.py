"""What labkit raises. Every message is one sentence for a person: what was wrong, what is
allowed, what to try."""


class LabkitError(Exception):
    """Something that ran could not be done (exit status 1 from the command line)."""


class RequestError(LabkitError, ValueError):
    """The request itself was wrong (exit status 2 from the command line)."""
