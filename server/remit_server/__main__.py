"""The entry point of `remit-server`."""

from remit_server.cli import app


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
