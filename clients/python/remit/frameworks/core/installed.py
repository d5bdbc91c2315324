"""Says what to install where a framework is missing."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(package: str, *modules: str) -> Iterator[None]:
    """Turns the failed import of one of these top-level modules, or of boto3, into an ImportError with what to do."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {module.partition(".")[0] for module in modules}:
            raise
        raise ImportError(f"this part of remit needs {package}: pip install {package}", name=error.name) from None
