"""Generates the checked-in TypeScript code of `remit.v1` from the protos beside this file, where Node.js is.

Run as `make protos`; `make protos-check` runs it with `--check`. The plugin is the one that clients/typescript pins. As
for Python, the import of `buf/validate/validate.proto` is taken out first, so the package carries no copy of it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from generate import OWN_PREFIX, PROTOS, built_descriptors, report_drift, without_rules_file
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2

PACKAGE = PROTOS.parent / "clients" / "typescript"
OUTPUT = PACKAGE / "src" / "gen"
PLUGIN = PACKAGE / "node_modules" / ".bin" / "protoc-gen-es"
OPTIONS = "target=ts,import_extension=js"


def main() -> int:
    """Generates the code, or compares it with what is checked in; returns the process's exit code."""
    parser = argparse.ArgumentParser(description="Generate clients/typescript/src/gen from the protos.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the checked-in code differs")
    arguments = parser.parse_args()
    if not PLUGIN.exists():
        return told_that_it_is_missing()

    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if arguments.check:
            return report_drift(files_under(fresh), files_under(OUTPUT))
        replace(files_under(fresh))
    return 0


def told_that_it_is_missing() -> int:
    """Says that there is no plugin; an error where nothing real may be missing."""
    required = os.environ.get("REMIT_REQUIRE_REAL") == "1"
    print("missing:" if required else "skipped:", "TypeScript code (make clients-typescript, which needs Node.js, npm)")
    return 1 if required else 0


def generate(output: Path) -> None:
    """Writes the TypeScript modules of every proto of ours, and of Google's error details, under `output`."""
    descriptors = without_rules_file(built_descriptors())
    own = [file.name for file in descriptors.file if file.name.startswith(OWN_PREFIX)]
    details = FileDescriptorProto()
    error_details_pb2.DESCRIPTOR.CopyToProto(details)
    descriptors.file.append(details)
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptor_set:
        Path(descriptor_set.name).write_bytes(descriptors.SerializeToString(deterministic=True))
        subprocess.run(
            [
                sys.executable,
                *("-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptor_set.name}"),
                *(f"--plugin=protoc-gen-es={PLUGIN}", f"--es_out={output}", f"--es_opt={OPTIONS}"),
                *(*own, details.name),
            ],
            check=True,
        )


def files_under(root: Path) -> dict[str, str]:
    """Reads every file under `root`, by its path from there."""
    found = sorted(path for path in root.rglob("*.ts") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in found}


def replace(fresh: dict[str, str]) -> None:
    """Makes the generated files be exactly `fresh`."""
    for name in files_under(OUTPUT).keys() - fresh.keys():
        (OUTPUT / name).unlink()
    for name, text in fresh.items():
        (OUTPUT / name).parent.mkdir(parents=True, exist_ok=True)
        (OUTPUT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
