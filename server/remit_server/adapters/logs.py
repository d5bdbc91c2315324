"""Logs: one JSON object a line, and no library that would print a secret.

Messages carry fingerprints, never tokens, keys, protobuf messages or upstream bodies; tracebacks carry code, no values.
"""

import logging
import os
import sys

import structlog

from remit_server.adapters.log_lines import log_lines

# NOTE: botocore prints keys and tokens at DEBUG (8-threats.md G8). gRPC's tracer, which prints bearer tokens, is
# refused with the configuration.
PINNED = ("botocore", "boto3", "urllib3", "aiohttp", "grpc", "sqlalchemy", "aiosqlite", "alembic", "asyncio")


def prepare_grpc() -> None:
    """Keeps gRPC out of the processes that this one starts; call it before grpc is imported.

    NOTE: else gRPC's threads start again in the child between fork and exec, with the callers' TLS connections still
    in hand: now and then one wrote to them, and the caller's next record could not be decrypted (grpc/grpc#28557).
    """
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def configure_logs(level: int = logging.INFO) -> None:
    """Sends every record of the process to stderr as JSON, with the noisy libraries held at WARNING.

    Nobody waits for whoever reads stderr: lines that are not taken are dropped, and counted in the log.

    gRPC's core says nothing unless GRPC_VERBOSITY asks it to: its lines are no JSON, and a stranger can cause them.
    Call it before grpc is imported.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    prepare_grpc()
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = log_lines(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in PINNED:
        logging.getLogger(name).setLevel(logging.WARNING)
