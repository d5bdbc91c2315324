"""The entry point of `remit`: the way that other programs call again and again is answered before typer is imported."""

import sys


def main() -> int:
    """Runs the command line and returns the exit code; says what to install where only the client is."""
    if sys.argv[1:2] == ["credential-process"]:
        from remit.cli.short_way import answered

        code = answered(sys.argv[2:])
        if code is not None:
            return code
    try:
        from remit.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "remit":
            raise
        sys.stderr.write(f"this command needs {error.name}: pip install 'remit[cli]'\n")
        return 1
    app()
    return 0


if __name__ == "__main__":
    sys.exit(main())
