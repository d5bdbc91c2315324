"""Where a user confirms in person: a page on this machine, after a fresh login of their own, apart from any agent."""

from remit.mcp.confirming.asking import asked_of_the_user, is_declined
from remit.mcp.confirming.confirmation import Confirmation

__all__ = ["Confirmation", "asked_of_the_user", "is_declined"]
