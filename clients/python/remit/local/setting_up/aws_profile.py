"""The AWS profile that makes unmodified tools ask `remit` for their credentials."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remit.local.errors import InvalidSettings
from remit.local.setting_up.edits import Edit, edit, outside

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_HEADER = re.compile(rb"(?m)^[ \t]*\[[ \t]*(?:profile[ \t]+)?[\"']?([^\]\"'\r\n]*?)[\"']?[ \t]*\]")


@dataclass(frozen=True, slots=True)
class AwsProfile:
    """An AWS profile: its name, the profile of `remit` that it stands for, and the region of its calls."""

    name: str
    profile: str
    region: str | None = None


def aws_config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns where AWS tools look: `$AWS_CONFIG_FILE`, else `~/.aws/config`."""
    return Path(environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser().absolute()


def remit_command() -> list[str]:
    """Returns how this very `remit` is run by its whole path: tools may have another PATH.

    NOTE: without -P, Python would take modules from the folder that an AWS tool happens to be in, such as an agent's.
    """
    here = Path(sys.argv[0])
    if here.name == "remit" and (found := shutil.which(str(here))):
        return [str(Path(found).absolute())]
    return [sys.executable, "-P", "-m", "remit.cli"]


def with_aws_profile(profile: AwsProfile, file: Path) -> Edit:
    """Returns the edit that writes the profile; raises InvalidSettings for a name that somebody else's profile has."""
    if not NAME.fullmatch(profile.name) or not NAME.fullmatch(profile.profile):
        raise InvalidSettings("a profile's name is 1 to 64 letters, digits, '_', '.' or '-'", advice="choose another")
    if profile.region is not None and not _REGION.fullmatch(profile.region):
        raise InvalidSettings("that is no region's name", advice="give one such as eu-central-1")
    command = " ".join(map(_quoted, [*remit_command(), "credential-process", "--profile", profile.profile]))
    header = "default" if profile.name == "default" else f"profile {profile.name}"
    region = f"region = {profile.region}\n" if profile.region else ""
    found = edit(file, {profile.name: f"[{header}]\ncredential_process = {command}\n{region}"})
    others = outside(found.before or b"", profile.name, file)
    if profile.name.encode() in _HEADER.findall(others):
        raise InvalidSettings(
            f"{file} has a profile {profile.name} that remit did not write",
            advice="choose another name with --aws-profile, or take that profile out",
        )
    return found


def _quoted(word: str) -> str:
    """Returns a word as AWS tools split a command line; raises InvalidSettings for a path that none can hold."""
    if not word.isprintable() or '"' in word or "\\" in word:
        raise InvalidSettings(
            "the path of remit has characters that no AWS profile can hold", advice="install it elsewhere"
        )
    return f'"{word}"' if " " in word or "'" in word else word
