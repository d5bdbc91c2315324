"""Who does what is done on the database itself, where no gateway asks."""

import os
import pwd


def local_user() -> str:
    """Returns who does this, as records name them: by the operating system, whatever the environment says."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"offline:{name}"
