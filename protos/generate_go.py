"""Generates the checked-in Go code of `remit.v1` from the protos beside this file, where Go is.

Run as `make protos`; `make protos-check` runs it with `--check`. The plugins are those that clients/go/tools pins. As
for Python, the import of `buf/validate/validate.proto` is taken out first: the module needs no Go package of its rules.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from generate import OWN_PREFIX, PROTOS, built_descriptors, report_drift, without_rules_file

MODULE = "remit.dev/go/remit"
FOLDER = PROTOS.parent / "clients" / "go"
PLUGINS = PROTOS.parent / ".tools" / "go"
GENERATED = "v1/*.pb.go"


def main() -> int:
    """Generates the code, or compares it with what is checked in; returns the process's exit code."""
    parser = argparse.ArgumentParser(description="Generate clients/go/v1 from the protos.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the checked-in code differs")
    arguments = parser.parse_args()
    if not (PLUGINS / "protoc-gen-go").exists():
        return told_that_it_is_missing()

    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if arguments.check:
            return report_drift(generated_files(fresh), generated_files(FOLDER))
        replace(generated_files(fresh))
    return 0


def told_that_it_is_missing() -> int:
    """Says that there are no plugins; an error where nothing real may be missing."""
    required = os.environ.get("REMIT_REQUIRE_REAL") == "1"
    print(f"{'missing' if required else 'skipped'}: Go code (make .tools/go/.ready, which needs Go)")
    return 1 if required else 0


def generate(output: Path) -> None:
    """Writes the Go files of every proto of ours under `output`."""
    descriptors = without_rules_file(built_descriptors())
    own = [file.name for file in descriptors.file if file.name.startswith(OWN_PREFIX)]
    package = ",".join([f"module={MODULE}", *(f"M{name}={MODULE}/v1;remitv1" for name in own)])
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptor_set:
        Path(descriptor_set.name).write_bytes(descriptors.SerializeToString(deterministic=True))
        subprocess.run(
            [
                sys.executable,
                *("-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptor_set.name}"),
                *(f"--plugin=protoc-gen-go={PLUGINS}/protoc-gen-go", f"--go_out={output}", f"--go_opt={package}"),
                *(f"--plugin=protoc-gen-go-grpc={PLUGINS}/protoc-gen-go-grpc", f"--go-grpc_out={output}"),
                *(f"--go-grpc_opt={package}", *own),
            ],
            check=True,
        )


def generated_files(root: Path) -> dict[str, str]:
    """Reads every generated file of a module's folder, by its path from there."""
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.glob(GENERATED)}


def replace(fresh: dict[str, str]) -> None:
    """Makes the generated files be exactly `fresh`."""
    for name in generated_files(FOLDER).keys() - fresh.keys():
        (FOLDER / name).unlink()
    for name, text in fresh.items():
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
