"""The entry point of `remit-sandbox`."""

import sys


def main() -> None:
    """Runs the command line; says what to install where only the client is."""
    try:
        from remit_sandbox.commands import app  # noqa: PLC0415 - the client alone does not bring what this needs
    except ModuleNotFoundError as error:
        sys.exit(f"the sandbox is not installed here ({error.name} is missing): pip install 'remit[sandbox]'")
    app()


if __name__ == "__main__":
    main()
