"""The signed-in user's token: kept for its owner alone, refreshed once for all who ask, and gone when it is over."""

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from tests.scripted_issuer import Said, ScriptedIssuer

from remit.local.errors import IssuerUnavailable, LoginNeeded
from remit.local.login import login_source
from remit.local.login.keeping.sign_in import SignIn
from remit.local.login.keeping.store import LoginStore, UntrustedStore
from remit.local.login.signing_in import sign_out
from remit.local.settings import Settings
from remit.secret import Secret

REFRESH = "refresh-0"


class Drawer(KeyringBackend):
    """A keyring in memory: the real ones need a desktop session."""

    priority: float = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class PlainText(Drawer):
    """One that its own library does not recommend."""

    priority = 0.5


@pytest.fixture
def drawer(request: pytest.FixtureRequest) -> Iterator[Drawer]:
    before = keyring.get_keyring()
    found = getattr(request, "param", Drawer)()
    keyring.set_keyring(found)
    yield found
    keyring.set_keyring(before)


def signed_in(issuer: ScriptedIssuer, *, lifetime: float = 600, refresh_token: str | None = REFRESH) -> SignIn:
    return SignIn(
        issuer=issuer.url,
        client_id="copilot",
        subject="alice",
        token=Secret("token-0"),
        expire_time=time.time() + lifetime,
        refresh_token=None if refresh_token is None else Secret(refresh_token),
    )


def settings_of(issuer: ScriptedIssuer) -> Settings:
    return Settings(Path("client.toml"), login=issuer.settings())


def kept(issuer: ScriptedIssuer, sign_in: SignIn) -> LoginStore:
    store = LoginStore.of(issuer.settings())
    store.write(sign_in, keyring=False)
    return store


def test_a_token_that_works_is_given_without_asking_anybody(scripted: ScriptedIssuer) -> None:
    kept(scripted, signed_in(scripted))

    assert login_source(settings_of(scripted))() == "token-0"
    assert scripted.asked == []


def test_nobody_is_signed_in_until_somebody_does(scripted: ScriptedIssuer) -> None:
    source = login_source(settings_of(scripted))

    with pytest.raises(LoginNeeded, match="sign in: remit login") as needed:
        source()
    kept(scripted, signed_in(scripted))

    assert needed.value.reason == "LOGIN_NEEDED"
    assert source() == "token-0"


def test_a_sign_out_elsewhere_is_noticed(scripted: ScriptedIssuer) -> None:
    store = kept(scripted, signed_in(scripted))
    source = login_source(settings_of(scripted))
    source()

    store.forget()

    with pytest.raises(LoginNeeded):
        source()


def test_a_token_near_its_end_is_refreshed_once_for_all_threads_and_the_refresh_token_rotates(
    scripted: ScriptedIssuer,
) -> None:
    store = kept(scripted, signed_in(scripted, lifetime=30))
    fresh = scripted.tokens(refresh_token="refresh-1")
    scripted.answers["/token"] = [fresh, Said({"error": "invalid_grant"}, status=400)]
    sources = [login_source(settings_of(scripted)) for _ in range(2)]
    given: list[str] = []
    threads = [threading.Thread(target=lambda n=n: given.append(sources[n % 2]())) for n in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    again = store.read()
    assert set(given) == {fresh.members["id_token"]}
    assert len(given) == 8
    assert scripted.grants() == ["refresh_token"]
    assert again is not None
    assert again.refresh_token is not None
    assert again.refresh_token.reveal() == "refresh-1"


PROGRAM = """
import sys
from pathlib import Path
from remit.local.login import login_source
from remit.local.login_settings import LoginSettings
from remit.local.settings import Settings
issuer, ca_file = sys.argv[1:]
settings = Settings(Path("client.toml"), login=LoginSettings(issuer, "copilot", ca_file=Path(ca_file)))
sys.stdin.readline()
print(login_source(settings)())
"""


def test_several_processes_refresh_once(scripted: ScriptedIssuer) -> None:
    kept(scripted, signed_in(scripted, lifetime=30))
    fresh = scripted.tokens()
    scripted.answers["/token"] = [fresh, Said({"error": "invalid_grant"}, status=400)]
    command = [sys.executable, "-c", PROGRAM, scripted.url, str(scripted.ca_file)]
    programs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
        for _ in range(3)
    ]

    for program in programs:
        assert program.stdin is not None
        program.stdin.write("\n")
        program.stdin.flush()
    given = {program.communicate(timeout=60)[0].strip() for program in programs}

    assert given == {fresh.members["id_token"]}
    assert scripted.grants() == ["refresh_token"]


def test_an_issuer_that_ended_the_sign_in_ends_it_here(scripted: ScriptedIssuer) -> None:
    store = kept(scripted, signed_in(scripted, lifetime=30))
    scripted.answers["/token"] = [Said({"error": "invalid_grant"}, status=400)]

    with pytest.raises(LoginNeeded, match="invalid_grant") as over:
        login_source(settings_of(scripted))()

    assert over.value.reason == "LOGIN_EXPIRED"
    assert store.read() is None


@pytest.mark.parametrize("lifetime", [30, -1], ids=["still works", "is over"])
def test_an_issuer_that_is_away_matters_only_once_the_token_is_over(scripted: ScriptedIssuer, lifetime: float) -> None:
    store = kept(scripted, signed_in(scripted, lifetime=lifetime))
    scripted.answers["/token"] = [Said(status=503)]
    source = login_source(settings_of(scripted))

    if lifetime > 0:
        assert source() == "token-0"
    else:
        with pytest.raises(IssuerUnavailable):
            source()

    assert store.read() is not None


def test_without_a_refresh_token_the_sign_in_lasts_as_long_as_its_token(scripted: ScriptedIssuer) -> None:
    source = login_source(settings_of(scripted))
    kept(scripted, signed_in(scripted, lifetime=30, refresh_token=None))
    assert source() == "token-0"
    kept(scripted, signed_in(scripted, lifetime=-1, refresh_token=None))

    with pytest.raises(LoginNeeded) as over:
        source()

    assert over.value.reason == "LOGIN_EXPIRED"
    assert scripted.asked == []


@pytest.mark.parametrize("claims", [{"sub": "mallory"}, {"aud": "other"}, {"iss": "https://evil.example"}])
def test_a_refresh_that_brings_another_persons_token_is_refused_and_not_kept(
    scripted: ScriptedIssuer, claims: dict[str, str]
) -> None:
    store = kept(scripted, signed_in(scripted, lifetime=-1))
    scripted.answers["/token"] = [scripted.tokens(claims)]

    with pytest.raises(LoginNeeded) as refused:
        login_source(settings_of(scripted))()

    now = store.read()
    assert refused.value.reason == "LOGIN_FAILED"
    assert now is not None
    assert now.token.reveal() == "token-0"


def test_an_issuer_that_refreshes_only_other_tokens_ends_the_sign_in(scripted: ScriptedIssuer) -> None:
    kept(scripted, signed_in(scripted, lifetime=-1))
    scripted.answers["/token"] = [Said({"access_token": "a", "expires_in": 60})]

    with pytest.raises(LoginNeeded, match="gives no new id_token") as over:
        login_source(settings_of(scripted))()

    assert over.value.reason == "LOGIN_EXPIRED"


def test_a_sign_in_at_another_issuer_is_not_used(scripted: ScriptedIssuer) -> None:
    other = replace(signed_in(scripted), issuer="https://other.example")
    kept(scripted, other)

    with pytest.raises(LoginNeeded):
        login_source(settings_of(scripted))()


def test_the_file_and_its_folder_are_for_their_owner_alone(scripted: ScriptedIssuer, state_folder: Path) -> None:
    before = os.umask(0)
    try:
        store = kept(scripted, signed_in(scripted))
    finally:
        os.umask(before)

    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state_folder.stat().st_mode) == 0o700
    assert "token-0" not in repr(store.read())


@pytest.mark.parametrize("spoil", ["file", "folder", "link", "kind", "text"])
def test_a_place_that_others_may_reach_is_not_used(scripted: ScriptedIssuer, spoil: str) -> None:
    store = kept(scripted, signed_in(scripted))
    moved = store.folder.parent / "moved"
    match spoil:
        case "file":
            store.file.chmod(0o644)
        case "folder":
            store.folder.chmod(0o755)
        case "link":
            store.file.replace(moved)
            store.file.symlink_to(moved)
        case "kind":
            store.file.unlink()
            os.mkfifo(store.file, 0o600)
        case _:
            store.file.write_text('{"version": 1, "token": "secret-token"}')

    with pytest.raises(UntrustedStore) as refused:
        login_source(settings_of(scripted))()

    assert refused.value.reason == "LOGIN_STORE_UNTRUSTED"
    assert "secret-token" not in str(refused.value)
    assert scripted.asked == []


def test_a_write_that_fails_leaves_what_was_there(scripted: ScriptedIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = kept(scripted, signed_in(scripted))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(replace(signed_in(scripted), subject="bob"), keyring=False)

    now = store.read()
    assert now is not None
    assert now.subject == "alice"
    assert [path.name for path in store.folder.iterdir()] == [store.file.name]


def test_a_keyring_keeps_the_tokens_and_the_file_says_only_so(scripted: ScriptedIssuer, drawer: Drawer) -> None:
    store = LoginStore.of(scripted.settings())

    assert store.write(signed_in(scripted, lifetime=30), keyring=True)
    scripted.answers["/token"] = [scripted.tokens()]
    login_source(settings_of(scripted))()

    assert "token" not in store.file.read_text()
    (text,) = drawer.kept.values()
    assert "refresh-1" in text


@pytest.mark.parametrize("drawer", [PlainText], indirect=True)
def test_a_keyring_that_keeps_no_secrets_is_not_used(scripted: ScriptedIssuer, drawer: Drawer) -> None:
    store = LoginStore.of(scripted.settings())

    assert not store.write(signed_in(scripted), keyring=True)

    assert drawer.kept == {}
    assert store.read() is not None


def test_signing_out_forgets_both_places_and_tells_the_issuer(scripted: ScriptedIssuer, drawer: Drawer) -> None:
    store = LoginStore.of(scripted.settings())
    store.write(signed_in(scripted), keyring=True)
    scripted.metadata["revocation_endpoint"] = f"{scripted.url}/revoke"
    scripted.answers["/revoke"] = [Said(content=b"")]

    assert sign_out(scripted.settings()) == (True, True)
    assert sign_out(scripted.settings()) == (False, False)
    assert drawer.kept == {}
    assert store.read() is None
    assert scripted.asked[-1] == (
        "/revoke",
        {"client_id": "copilot", "token": "refresh-0", "token_type_hint": "refresh_token"},
    )


def test_signing_out_forgets_what_others_could_read(scripted: ScriptedIssuer) -> None:
    store = kept(scripted, signed_in(scripted))
    store.file.chmod(0o644)

    assert sign_out(scripted.settings()) == (True, False)
    assert not store.file.exists()


def test_leaving_the_keyring_leaves_nothing_in_it(scripted: ScriptedIssuer, drawer: Drawer) -> None:
    store = LoginStore.of(scripted.settings())
    store.write(signed_in(scripted), keyring=True)

    store.write(signed_in(scripted), keyring=False)

    assert drawer.kept == {}
    assert store.read() is not None


def test_a_token_that_works_is_given_without_importing_what_speaks_https(scripted: ScriptedIssuer) -> None:
    kept(scripted, signed_in(scripted))
    program = (
        PROGRAM.replace("sys.stdin.readline()\n", "") + "print({'ssl', 'http.client', 'keyring'} & sys.modules.keys())"
    )

    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, scripted.url, str(scripted.ca_file)], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["token-0", "set()"]
