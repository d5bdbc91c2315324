"""Checks the files that a configuration names: there, readable, and secret where they must be."""

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remit_server.config.mistakes import Notes
from remit_server.domain.secret import Secret

MAX_SECRET_CHARACTERS: Final = 16_384
MAX_CEILING_BYTES: Final = 262_144


@dataclass(frozen=True, slots=True)
class Files:
    """Files named in a configuration; relative paths start at the folder of the configuration."""

    folder: Path
    notes: Notes

    def path(self, text: str) -> Path:
        """Returns the path that a configuration names."""
        return (self.folder / text).absolute()

    def readable(self, place: str, text: str) -> Path | None:
        """Returns the path of a file that can be read, or None after noting a mistake."""
        path = self.path(text)
        try:
            with path.open("rb") as file:
                regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        except OSError as wrong:
            self._note(place, path, f"cannot be read ({wrong.strerror or 'not a path'})")
            return None
        except ValueError:  # a NUL in the path
            self._note(place, path, "is not a path")
            return None
        if not regular:
            self._note(place, path, "is not a file")
            return None
        return path

    def private(self, place: str, text: str) -> Path | None:
        """Returns the path of a readable file that others can neither read nor write, or None."""
        path = self.readable(place, text)
        if path is None:
            return None
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            self.notes.add(
                place,
                f"{path} has mode {mode:04o}: it is open to others",
                why="whoever reads this file can be the gateway",
                mend=f"chmod 600 {path} (0440 with a group of its own is fine: a Kubernetes secret with fsGroup)",
            )
            return None
        return path

    def unchangeable(self, place: str, path: Path) -> None:
        """Notes a mistake when others can write the file: it decides what may be issued."""
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IWOTH:
            self.notes.add(
                place,
                f"{path} has mode {mode:04o}: everyone may change it",
                why="whoever changes this file decides what the gateway issues",
                mend=f"chmod o-w {path}",
            )

    def unforgeable(self, place: str, path: Path) -> None:
        """Notes a mistake when others could put a file of their own in this one's place, now or before it is there.

        The first folder above it that exists must not be writable by everyone, sticky or not: in /tmp anybody makes
        what is missing. Nor may those above that, where anybody renames what is in them, unless they are sticky and
        what is in them belongs to root or to this user: else it may be someone's who made it first.
        """
        try:
            folders = [folder for folder in path.parents if folder.exists()]
            stats = [folder.stat() for folder in folders]
        except OSError as wrong:
            self._note(place, path, f"cannot be reached ({wrong.strerror})")
            return
        owner_below = None
        for folder, found in zip(folders, stats, strict=True):
            mode = stat.S_IMODE(found.st_mode)
            shelters = mode & stat.S_ISVTX and owner_below in {0, os.geteuid()}
            owner_below = found.st_uid
            if mode & stat.S_IWOTH and not shelters:
                self.notes.add(
                    place,
                    f"{folder} has mode {mode:04o}: everyone may put something else in place of {path}",
                    why="whoever answers there decides what the gateway issues",
                    mend=f"keep it in a folder of its own that only its owner and group write to, not {folder}",
                )
                return

    def directory(self, place: str, text: str) -> Path | None:
        """Returns the path of a folder that can be entered, or None after noting a mistake."""
        path = self.path(text)
        if "\0" in text or not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
            self._note(place, path, "is not a folder that can be read")
            return None
        return path

    def secret(self, place: str, text: str) -> Secret | None:
        """Returns the one line that a private file holds, or None after noting a mistake."""
        path = self.private(place, text)
        if path is None:
            return None
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_CHARACTERS + 1)
        value = raw.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")
        plain = value.isascii() and value.isprintable() and " " not in value
        if not value or len(raw) > MAX_SECRET_CHARACTERS or not plain:
            self.notes.add(
                place,
                f"{path} does not hold one line of printable ASCII without spaces",
                why="the value is used exactly as it stands in the file",
                mend="write the value alone into the file",
            )
            return None
        return Secret(value)

    def authorities(self, place: str, text: str) -> Path | None:
        """Returns the path of a PEM file with at least one certificate, or None."""
        path = self.readable(place, text)
        if path is None:
            return None
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(path))
        except (ssl.SSLError, OSError, ValueError):
            self._note(place, path, "holds no PEM certificate")
            return None
        return path

    def key_pair(self, place: str, certificate: str, key: str, *, separator: str = ".") -> tuple[Path, Path] | None:
        """Returns the paths of a certificate chain and its private key that belong together, or None."""
        certificate_path = self.authorities(f"{place}{separator}certificate_file", certificate)
        key_path = self.private(f"{place}{separator}key_file", key)
        if certificate_path is None or key_path is None:
            return None
        try:
            # NOTE: without a password callback OpenSSL would ask on the terminal for an encrypted key's.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path, key_path, password=lambda: "")
        except (ssl.SSLError, OSError, ValueError):
            self._note(
                f"{place}{separator}key_file", key_path, "is not the unencrypted private key of certificate_file"
            )
            return None
        return certificate_path, key_path

    def _note(self, place: str, path: Path, problem: str) -> None:
        self.notes.add(
            place,
            f"{path} {problem}",
            why="it is opened at start, by the user that the gateway runs as",
            mend="check path, owner and mode; a relative path starts at the folder of the configuration",
        )
