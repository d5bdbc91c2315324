"""How often a gateway looks for garbage that only a search finds: seldom, and not among what it keeps for ever."""

import gc
from typing import Final

_LOOK_AFTER: Final = 10_000  # more objects than were freed; Python's own 700 are two requests'


def keep_what_is_loaded() -> None:
    """Takes what is loaded by now out of every later search, and has the searches come less often.

    Requests leave almost nothing behind that counting references does not free. Python's usual rhythm went through the
    heap several times for each of them: a twentieth of the gateway's CPU, and pauses with a large heap.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_LOOK_AFTER, *gc.get_threshold()[1:])
