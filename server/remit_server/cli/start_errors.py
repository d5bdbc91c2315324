"""What keeps a gateway from starting and is told in one sentence; anything else is a fault of the program."""


def start_errors() -> tuple[type[Exception], ...]:
    """Returns the classes of the errors; what they need is loaded by the call."""
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.rego.pipes import WorkerLost
    from remit_server.config.loading import ConfigurationError
    from remit_server.domain.errors import RemitError

    return ConfigurationError, BundleRefused, DatabaseRefused, WorkerLost, RemitError, RuntimeError, OSError
