"""The task whose credentials a command runs with, as the loopback endpoint of `remit run` tells of it."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from remit.local.container import HOST, TASK_PATH

LARGEST_ANSWER = 64 * 1024
SECONDS = 5.0
_OK = 200


def surrounding_task(environ: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Returns the task that `remit run` began for the command which this is; none outside of one."""
    address = urlsplit(environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", ""))
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    # NOTE: the token is shown to a process of this machine only, whatever the variable says.
    if address.scheme != "http" or address.hostname != HOST or not token:
        return []
    connection = http.client.HTTPConnection(HOST, address.port, timeout=SECONDS)
    try:
        connection.request("GET", TASK_PATH, headers={"Authorization": token})
        with connection.getresponse() as response:
            found = json.loads(response.read(LARGEST_ANSWER)) if response.status == _OK else None
    except (OSError, ValueError, http.client.HTTPException):
        return []
    finally:
        connection.close()
    return [found] if isinstance(found, dict) else []
