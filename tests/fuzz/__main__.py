"""`python -m tests.fuzz TARGET [libFuzzer's arguments]`: searches, guided by coverage, for what breaks a contract.

Needs atheris, see tests/environments/fuzz. What is found is written to tests/fuzz/crashes/TARGET, where every run of
the tests tries it again.
"""

import sys
import tempfile
from pathlib import Path

import atheris

# NOTE: not "RegEx": its stand-in for a pattern cannot start to match behind the first letter.
atheris.enabled_hooks.add("str")
with atheris.instrument_imports(include=["remit", "remit_server"]):
    from tests.fuzz.targets.every import EVERY

from tests.fuzz.target import CRASHES, Target  # noqa: E402 - what is fuzzed is instrumented first

# A hang that no step of ours counts, in a regular expression or in a library, shows after so many seconds.
_HANG = 120
_LONGEST = 4096


def main() -> None:
    """Fuzzes one target until it is stopped, or until libFuzzer's own bounds; `--list` names the targets."""
    if sys.argv[1:] == ["--list"]:
        print(*EVERY)
        return
    if len(sys.argv) < 2 or sys.argv[1] not in EVERY:
        sys.exit(f"say which target: {', '.join(EVERY)}")
    target = EVERY[sys.argv[1]]
    found = CRASHES / target.name
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        arguments = [f"-artifact_prefix={found}/", f"-timeout={_HANG}", f"-max_len={_LONGEST}", *sys.argv[2:]]
        _fill(Path(corpus), target)
        atheris.Setup([sys.argv[0], *arguments, corpus], target, internal_libfuzzer=True)
        atheris.Fuzz()


def _fill(corpus: Path, target: Target) -> None:
    for number, seed in enumerate(target.begin_with()):
        (corpus / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    main()
