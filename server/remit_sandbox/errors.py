"""What can go wrong on a laptop, told so that its owner can mend it."""


class SandboxError(Exception):
    """A part of the sandbox could not start or be prepared; the message says what to do."""


class AddressTaken(SandboxError):  # noqa: N818 - named for what it says
    """A port that was free when it was chosen has been taken by somebody else."""
