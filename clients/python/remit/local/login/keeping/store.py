"""Where a sign-in is kept: the system's keyring, or a file that only its owner may read.

The file is there in both cases; beside a keyring it holds the word that says so, and no secret.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from remit.local.errors import LoginNeeded
from remit.local.login.keeping import keyrings
from remit.local.login.keeping.locks import held
from remit.local.login.keeping.sign_in import SignIn
from remit.local.login_settings import LoginSettings
from remit.secret import Secret

LARGEST_FILE = 128 * 1024
_IN_KEYRING = b'{"version": 1, "kept": "keyring"}\n'


class UntrustedStore(LoginNeeded):
    """Others may read or write what was to be kept to oneself; nothing of it is used."""

    _reason_unless_said = "LOGIN_STORE_UNTRUSTED"


def login_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Returns where sign-ins are kept: `remit/login` in `$XDG_STATE_HOME` or `~/.local/state`."""
    return Path(environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser().absolute() / "remit" / "login"


@dataclass(frozen=True, slots=True)
class LoginStore:
    """Keeps the sign-in of one client at one issuer."""

    folder: Path
    name: str

    @classmethod
    def of(cls, settings: LoginSettings, folder: Path | None = None) -> "LoginStore":
        """Returns the store of this client at this issuer."""
        key = f"{len(settings.issuer)}:{settings.issuer}{settings.client_id}"
        return cls(folder or login_folder(), hashlib.sha256(key.encode()).hexdigest()[:32])

    @property
    def file(self) -> Path:
        """The file that holds the sign-in, or says that the keyring does."""
        return self.folder / f"{self.name}.json"

    @contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Holds off other threads and processes that would change the sign-in; raises LoginBusy after `seconds`."""
        self._make_folder()
        with held(self.folder / f"{self.name}.lock", seconds):
            yield

    def version(self) -> object:
        """Returns a value that changes with what is kept; None when nothing is."""
        try:
            found = self.file.lstat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self) -> SignIn | None:
        """Returns the sign-in, None for none; raises UntrustedStore for a file that others may read, or cannot be."""
        content = self._content()
        if content is None:
            return None
        kept = keyrings.take(self.name) if content == _IN_KEYRING else Secret(content.decode(errors="replace"))
        if kept is None:
            raise UntrustedStore(
                "the keyring that keeps the sign-in cannot be read",
                advice="unlock it; or sign in again with `remit login --no-keyring`",
            )
        try:
            return SignIn.parse(kept)
        except ValueError as error:
            raise UntrustedStore(str(error), advice="sign in again: remit logout, then remit login") from None

    def write(self, sign_in: SignIn, *, keyring: bool) -> bool:
        """Keeps the sign-in, in the keyring if that is wanted and can be had; says whether it is there."""
        self._make_folder()
        text = sign_in.text()
        in_keyring = keyring and keyrings.put(self.name, text)
        if not in_keyring and self._is_marked():
            keyrings.drop(self.name)
        self._replace(_IN_KEYRING if in_keyring else text.reveal().encode())
        return in_keyring

    def _is_marked(self) -> bool:
        """Says whether a keyring keeps, or kept, the sign-in; False where the file cannot be trusted to say so."""
        try:
            return self.keeps_in_keyring()
        except UntrustedStore:
            return False

    def keeps_in_keyring(self) -> bool:
        """Says whether the sign-in that is kept now is in the keyring."""
        return self._content() == _IN_KEYRING

    def forget(self) -> bool:
        """Forgets the sign-in wherever it is; says whether there was one."""
        was_there = self.file.is_symlink() or self.file.exists()
        keyrings.drop(self.name)
        self.file.unlink(missing_ok=True)
        return was_there

    def _make_folder(self) -> None:
        """Makes the folder, for its owner alone; refuses one that is not."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._check(self.folder.lstat(), stat.S_ISDIR, self.folder, "chmod 700")

    def _content(self) -> bytes | None:
        """Returns what the file holds; None where there is none."""
        try:
            self._check(self.folder.lstat(), stat.S_ISDIR, self.folder, "chmod 700")
            descriptor = os.open(self.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UntrustedStore(
                f"{self.file} cannot be read: {error.strerror}", advice="remove it, and sign in: remit login"
            ) from None
        with os.fdopen(descriptor, "rb") as file:
            self._check(os.fstat(descriptor), stat.S_ISREG, self.file, "chmod 600")
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise UntrustedStore(
                f"{self.file} is too large for a sign-in", advice="remove it, and sign in: remit login"
            )
        return content

    def _check(self, found: os.stat_result, is_kind: object, place: Path, mend: str) -> None:
        """Refuses what is not this user's alone: another kind, another owner, a looser mode."""
        if not callable(is_kind) or not is_kind(found.st_mode):
            raise UntrustedStore(f"{place} is not what it should be: a link, or another kind", advice=f"remove {place}")
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise UntrustedStore(
                f"{place} is another user's, or others may reach it, so what it holds may be known to others",
                advice=f"`remit logout`, then {mend} {place}, then `remit login`",
            )

    def _replace(self, content: bytes) -> None:
        """Writes the file as a whole, or not at all."""
        descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=".login-")  # for the owner alone: 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(self.file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
