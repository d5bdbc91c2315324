"""Generates the checked-in Python code of `remit.v1` from the protos beside this file.

Run as `make protos`; `make protos-check` runs it with `--check`, which writes nothing and fails on a difference.

The generated modules must not depend on `buf/validate/validate.proto`: registering it in the process's default
descriptor pool, or shipping a `buf` package, would collide with an application's own copy. So the import is taken out
of every file descriptor before code is generated. The rules themselves stay: they are options, and the option bytes of
an unregistered extension are kept as unknown fields, which is where protovalidate reads them
(docs/decisions/generated-code.md).
"""

import argparse
import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

PROTOS = Path(__file__).resolve().parent
OUTPUT = PROTOS.parent / "clients" / "python"
TOOLS = Path(sys.executable).parent
RULES_FILE = "buf/validate/validate.proto"
OWN_PREFIX = "remit/"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def main() -> int:
    """Generates the code, or compares it with what is checked in; returns the process's exit code."""
    parser = argparse.ArgumentParser(description="Generate clients/python/remit/v1 from the protos.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the checked-in code differs")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if arguments.check:
            return report_drift(generated_files(fresh), generated_files(OUTPUT))
        replace(generated_files(fresh), OUTPUT)
    return 0


def generate(output: Path) -> None:
    """Writes the Python modules, stubs and service classes of every proto of ours under `output`."""
    descriptors = without_rules_file(built_descriptors())
    own = [file for file in descriptors.file if file.name.startswith(OWN_PREFIX)]
    descriptor_set = output / "descriptors.binpb"
    descriptor_set.write_bytes(descriptors.SerializeToString(deterministic=True))

    protoc(descriptor_set, [f"--python_out={output}", f"--mypy_out=quiet:{output}"], [file.name for file in own])
    services = [file.name for file in own if file.service]
    protoc(descriptor_set, [f"--grpc_python_out={output}", f"--mypy_grpc_out=quiet:{output}"], services)


def built_descriptors() -> FileDescriptorSet:
    """Compiles the protos with buf, imports, comments and all options included."""
    image = subprocess.run(
        [TOOLS / "buf", "build", "--as-file-descriptor-set", "-o", "-#format=binpb"],
        cwd=PROTOS,
        check=True,
        stdout=subprocess.PIPE,
    )
    return FileDescriptorSet.FromString(image.stdout)


def without_rules_file(descriptors: FileDescriptorSet) -> FileDescriptorSet:
    """Drops the rules file and every import of it; the rules, being options, stay in the descriptors."""
    stripped = FileDescriptorSet()
    for file in descriptors.file:
        if file.name == RULES_FILE:
            continue
        if file.public_dependency or file.weak_dependency:
            # They point into `dependency` by index; none of our files has any, and none should.
            message = f"{file.name}: public and weak imports are not supported here"
            raise SystemExit(message)
        copy = stripped.file.add()
        copy.CopyFrom(file)
        copy.ClearField("dependency")
        copy.dependency.extend(name for name in file.dependency if name != RULES_FILE)
    return stripped


def protoc(descriptor_set: Path, outputs: list[str], files: list[str]) -> None:
    """Runs grpcio-tools' protoc, with the plugins of this environment, on a compiled descriptor set."""
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptor_set}", *outputs, *files],
        env={**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}"},
        check=True,
    )


def generated_files(root: Path) -> dict[str, str]:
    """Reads every generated file under `root`'s `remit` package, by its path from `root`."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for pattern in GENERATED
        for path in sorted((root / OWN_PREFIX).rglob(pattern))
    }


def replace(fresh: dict[str, str], root: Path) -> None:
    """Makes the generated files under `root` be exactly `fresh`."""
    for name in generated_files(root).keys() - fresh.keys():
        (root / name).unlink()
    for name, text in fresh.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def report_drift(fresh: dict[str, str], checked_in: dict[str, str]) -> int:
    """Prints how the checked-in code differs from freshly generated code; returns 1 when it does."""
    drifted = [name for name in sorted(fresh.keys() | checked_in.keys()) if fresh.get(name) != checked_in.get(name)]
    for name in drifted:
        before, after = checked_in.get(name, "").splitlines(), fresh.get(name, "").splitlines()
        lines = difflib.unified_diff(before, after, f"{name} (checked in)", name, n=1, lineterm="")
        print("\n".join(lines))
    if drifted:
        print("The generated code is not what the protos say. Run `make protos` and commit the result.")
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main())
