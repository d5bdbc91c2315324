"""How a use case gets the bundle of a caller: after the caller may send one, and never before."""

from collections.abc import Awaitable, Callable

# Returns the whole archive; raises InvalidRequest for a stream that is no bundle's.
Receive = Callable[[], Awaitable[bytes]]
