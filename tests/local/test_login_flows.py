"""Signing in by a code on another device and by a browser: the honest way, and everything that is refused."""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from tests.scripted_issuer import Said, ScriptedIssuer, jwt_of
from tests.visitor import Visitor

from remit.local.errors import IssuerUnavailable, LoginNeeded
from remit.local.login import https
from remit.local.login.browser import sign_in_by_browser
from remit.local.login.callback import CallbackServer
from remit.local.login.device import Clock, Prompt, sign_in_by_device
from remit.local.login.issuer import discover
from remit.local.login.keeping.sign_in import SignIn
from remit.local.login_settings import LoginSettings
from remit_sandbox.certificates import Authority
from remit_sandbox.issuer import LocalIssuer

PENDING = Said({"error": "authorization_pending"}, status=400)
DEVICE = {
    "device_code": "device-code",
    "user_code": "BCDF-GHJK",
    "verification_uri": "https://idp.example.com/device",
    "expires_in": 600,
}


def settings_of(issuer: LocalIssuer, authority: Authority) -> LoginSettings:
    return LoginSettings(issuer.url, "copilot", ca_file=authority.bundle_path, token="access_token")


class Hours:
    """A clock that moves only by sleeping; it remembers how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.clock = Clock(self.slept.append, lambda: sum(self.slept))


def by_device(issuer: ScriptedIssuer, hours: Hours | None = None, shown: list[Prompt] | None = None) -> SignIn:
    hours, shown = hours or Hours(), [] if shown is None else shown
    return sign_in_by_device(discover(issuer.settings()), shown.append, hours.clock)


def test_somebody_signs_in_with_a_code_on_another_device(honest: LocalIssuer, authority: Authority) -> None:
    visitor = Visitor(honest, authority)

    found = sign_in_by_device(discover(settings_of(honest, authority)), visitor.enters)

    assert (found.subject, found.issuer, found.client_id) == ("alice", honest.url, "copilot")
    assert found.refresh_token is not None
    assert found.expire_time > time.time() + 600


def test_somebody_signs_in_with_a_browser(honest: LocalIssuer, authority: Authority) -> None:
    pages: list[httpx.Response] = []
    visitor = Visitor(honest, authority, user="bob")

    def opens(url: str) -> None:
        threading.Thread(target=lambda: pages.append(visitor.visits(url))).start()

    found = sign_in_by_browser(discover(settings_of(honest, authority)), opens)

    assert found.subject == "bob"
    assert found.token.reveal() not in repr(found)
    assert "You may close this window" in pages[0].text
    assert pages[0].headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("way", ["device", "browser"])
def test_a_person_who_says_no_is_not_signed_in(honest: LocalIssuer, authority: Authority, way: str) -> None:
    visitor, issuer = Visitor(honest, authority, answer="deny"), discover(settings_of(honest, authority))

    def opens(url: str) -> None:
        threading.Thread(target=visitor.visits, args=(url,)).start()

    with pytest.raises(LoginNeeded) as refused:
        sign_in_by_device(issuer, visitor.enters) if way == "device" else sign_in_by_browser(issuer, opens)

    assert refused.value.reason == "LOGIN_REFUSED"


def test_the_device_flow_goes_at_the_issuers_pace(scripted: ScriptedIssuer) -> None:
    scripted.answers["/device_authorization"] = [Said(DEVICE)]
    scripted.answers["/token"] = [
        PENDING,
        Said({"error": "slow_down"}, status=400),
        Said(status=503),
        PENDING,
        scripted.tokens(),
    ]
    hours, shown = Hours(), list[Prompt]()

    found = by_device(scripted, hours, shown)

    assert found.subject == "alice"
    assert hours.slept == [5, 5, 10, 20, 20]
    assert shown == [Prompt("https://idp.example.com/device", None, "BCDF-GHJK")]


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        (Said({"error": "access_denied"}, status=400), "LOGIN_REFUSED", "refused at the issuer"),
        (Said({"error": "expired_token"}, status=400), "LOGIN_EXPIRED", "was not entered in time"),
        (PENDING, "LOGIN_EXPIRED", "was not entered in time"),
        (Said({"error": "invalid_client"}, status=401), "LOGIN_FAILED", "invalid_client"),
        (Said({"error": "eyJhbGciOi\x1b[31m"}, status=400), "LOGIN_FAILED", "another error"),
        (Said({"access_token": "x"}), "LOGIN_FAILED", "gives no ID token"),
    ],
)
def test_a_device_flow_that_comes_to_nothing_says_why(
    scripted: ScriptedIssuer, answer: Said, reason: str, told: str
) -> None:
    scripted.answers["/device_authorization"] = [Said({**DEVICE, "expires_in": 60})]
    scripted.answers["/token"] = [answer]

    with pytest.raises(LoginNeeded, match=told) as failed:
        by_device(scripted)

    assert failed.value.reason == reason
    assert "eyJ" not in str(failed.value)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"verification_uri": "http://idp.example.com/device"}, "verification_uri is no https URL"),
        ({"verification_uri": "javascript:alert(1)"}, "verification_uri is no https URL"),
        ({"verification_uri_complete": "https://idp@evil.example/"}, "verification_uri_complete is no https URL"),
        ({"user_code": "\x1b]0;owned\x07"}, "user_code cannot be shown"),
        ({"user_code": "x" * 65}, "user_code cannot be shown"),
        ({"device_code": 7}, "device_code is none"),
        ({"interval": "5"}, "interval is no number"),
        ({"expires_in": None}, "expires_in is no number"),
    ],
)
def test_a_device_flow_that_cannot_be_trusted_shows_nothing(
    scripted: ScriptedIssuer, members: dict[str, object], told: str
) -> None:
    scripted.answers["/device_authorization"] = [Said({**DEVICE, **members})]
    shown: list[Prompt] = []

    with pytest.raises(LoginNeeded, match=told):
        by_device(scripted, shown=shown)

    assert "/token" not in [path for path, _ in scripted.asked]
    assert "interval" in told or "expires_in" in told or not shown


def comes_back(**changed: str | None) -> Callable[[str], None]:
    """Returns a browser that comes straight back with a code, its parameters changed or left out."""

    def opens(url: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        usual = {"code": "the-code", "state": asked["state"], "iss": f"https://{urlsplit(url).netloc}"}
        answer = {name: value for name, value in {**usual, **changed}.items() if value is not None}
        target = f"{asked['redirect_uri']}?{urlencode(answer)}"
        threading.Thread(target=lambda: httpx.get(target, trust_env=False, timeout=60)).start()

    return opens


@pytest.mark.parametrize(
    ("changed", "reason", "told"),
    [
        ({"iss": "https://evil.example"}, "LOGIN_FAILED", "is another issuer's"),
        ({"iss": None}, "LOGIN_FAILED", "is another issuer's"),
        ({"error": "access_denied"}, "LOGIN_REFUSED", "refuses the sign-in: access_denied"),
        ({"error": "<script>"}, "LOGIN_FAILED", "another error"),
        ({"code": ""}, "LOGIN_FAILED", "without a code"),
        ({"state": "guessed"}, "LOGIN_EXPIRED", "did not come back in time"),
    ],
)
def test_a_browser_that_comes_back_otherwise_signs_nobody_in(
    scripted: ScriptedIssuer, changed: dict[str, str | None], reason: str, told: str
) -> None:
    scripted.answers["/token"] = [scripted.tokens()]

    with pytest.raises(LoginNeeded, match=told) as failed:
        sign_in_by_browser(discover(scripted.settings()), comes_back(**changed), seconds=1)

    assert failed.value.reason == reason
    assert scripted.grants() == []


def test_requests_that_carry_another_state_do_not_stand_in_the_way(scripted: ScriptedIssuer) -> None:
    def answered(form: dict[str, str]) -> Said:
        assert form["code"] == "the-code"
        return scripted.tokens({"nonce": nonces[0]})

    nonces: list[str] = []
    scripted.answers["/token"] = [answered]  # type: ignore[list-item]

    def opens(url: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        nonces.append(asked["nonce"])
        honest = {"code": "the-code", "state": asked["state"], "iss": scripted.url}
        for query in (
            {**honest, "state": "guessed", "code": "mallorys"},
            {**honest, "state": ""},
            [*honest.items(), ("code", "mallorys")],
            honest,
        ):
            last = httpx.get(f"{asked['redirect_uri']}?{urlencode(query)}", trust_env=False, timeout=60)
            statuses.append(last.status_code)

    statuses: list[int] = []

    found = sign_in_by_browser(
        discover(scripted.settings()), lambda url: threading.Thread(target=opens, args=(url,)).start(), seconds=20
    )

    assert found.subject == "alice"
    assert statuses[:3] == [400, 400, 400]


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"aud": "other"}, "made for another client"),
        ({"aud": ["copilot", "other"], "azp": "other"}, "made for another client"),
        ({"iss": "https://evil.example"}, "another issuer's"),
        ({"exp": 1}, "is over already"),
        ({"exp": "soon"}, "does not say when it ends"),
        ({"sub": ""}, "does not say whose it is"),
        ({"sub": "a\n"}, "does not say whose it is"),
    ],
)
def test_an_id_token_that_was_made_for_somebody_else_is_not_kept(
    scripted: ScriptedIssuer, claims: dict[str, object], told: str
) -> None:
    scripted.answers["/device_authorization"] = [Said(DEVICE)]
    scripted.answers["/token"] = [scripted.tokens(claims)]

    with pytest.raises(LoginNeeded, match=told) as failed:
        by_device(scripted)

    assert failed.value.reason == "LOGIN_FAILED"


@pytest.mark.parametrize("claims", [{"nonce": "another"}, {"nonce": None}, {}])
def test_an_id_token_of_another_sign_in_is_not_kept(scripted: ScriptedIssuer, claims: dict[str, object]) -> None:
    scripted.answers["/token"] = [scripted.tokens(claims)]

    with pytest.raises(LoginNeeded, match="its nonce is not the one"):
        sign_in_by_browser(discover(scripted.settings()), comes_back(), seconds=10)


@pytest.mark.parametrize(
    "token",
    ["x", "a.b", "a.!!.c", f"a.{'x' * 20_000}.c", "a.e30.c\n", jwt_of({}).replace(".", ".e30x", 1), 7],
    ids=["text", "two parts", "no base64", "too long", "line end", "no JSON", "number"],
)
def test_what_is_no_token_is_not_kept(scripted: ScriptedIssuer, token: object) -> None:
    scripted.answers["/device_authorization"] = [Said(DEVICE)]
    scripted.answers["/token"] = [Said({"id_token": token})]

    with pytest.raises(LoginNeeded) as failed:
        by_device(scripted)

    assert failed.value.reason == "LOGIN_FAILED"
    assert len(str(failed.value)) < 300


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"issuer": "https://evil.example"}, "is another issuer's"),
        ({"token_endpoint": "http://127.0.0.1/token"}, "token_endpoint is no https URL"),
        ({"token_endpoint": None}, "token_endpoint is no https URL"),
        ({"device_authorization_endpoint": "https://user@127.0.0.1/"}, "device_authorization_endpoint is no https URL"),
        ({"authorization_endpoint": "file:///etc/passwd"}, "authorization_endpoint is no https URL"),
    ],
)
def test_an_issuer_whose_description_cannot_be_trusted_is_refused(
    scripted: ScriptedIssuer, metadata: dict[str, object], told: str
) -> None:
    scripted.metadata.update(metadata)

    with pytest.raises(LoginNeeded, match=told):
        discover(scripted.settings())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (Said(status=302, headers={"Location": "https://127.0.0.1/"}), "redirects, which is not followed"),
        (Said(content=b"x" * 300_000), "answers more than 262144 bytes"),
        (Said(content=b"[]"), "is no JSON object"),
        (Said(content=b"{"), "is no JSON"),
        (Said(content=b"[" * 100_000), "is no JSON"),
        (Said(content=b'{"issuer": "a", "issuer": "b"}'), "is no JSON"),
        (Said(status=404), "it answers 404"),
    ],
    ids=["redirect", "large", "list", "broken", "deep", "twice", "absent"],
)
def test_a_description_that_is_none_is_refused(scripted: ScriptedIssuer, said: Said, told: str) -> None:
    scripted.answers["/.well-known/openid-configuration"] = [said]

    with pytest.raises(LoginNeeded, match=told) as failed:
        discover(scripted.settings())

    assert failed.value.reason == "LOGIN_FAILED"


def test_an_issuer_by_http_is_not_asked_on_loopback_either(scripted: ScriptedIssuer) -> None:
    with pytest.raises(LoginNeeded, match=r"issuer of \[login\] is no https URL"):
        discover(scripted.settings(issuer=scripted.url.replace("https:", "http:")))

    assert scripted.asked == []


def test_an_issuer_whose_certificate_is_not_trusted_is_told_so(scripted: ScriptedIssuer) -> None:
    with pytest.raises(LoginNeeded, match="a certificate that is not trusted"):
        discover(scripted.settings(ca_file=None))


@pytest.mark.parametrize("said", [Said(status=503), Said(drips=True)], ids=["out of order", "drips"])
def test_an_issuer_that_does_not_answer_is_unavailable(scripted: ScriptedIssuer, said: Said) -> None:
    scripted.answers["/.well-known/openid-configuration"] = [said]

    with pytest.raises(IssuerUnavailable) as away:
        https.ask(
            f"{scripted.url}/.well-known/openid-configuration", what="the issuer", ca_file=scripted.ca_file, seconds=1
        )

    assert away.value.reason == "ISSUER_UNAVAILABLE"


def test_an_issuer_that_is_not_there_is_unavailable(scripted: ScriptedIssuer) -> None:
    with pytest.raises(IssuerUnavailable, match="cannot be reached: Connection refused"):
        discover(scripted.settings(issuer="https://127.0.0.1:9"))


def test_an_issuer_without_pkce_is_not_signed_in_to_by_browser(scripted: ScriptedIssuer) -> None:
    scripted.metadata["code_challenge_methods_supported"] = ["plain"]

    with pytest.raises(LoginNeeded, match="no sign-in by browser with PKCE"):
        sign_in_by_browser(discover(scripted.settings()), comes_back(), seconds=1)


def test_what_is_asked_for_is_what_the_settings_say(scripted: ScriptedIssuer) -> None:
    scripted.answers["/device_authorization"] = [Said(DEVICE)]
    scripted.answers["/token"] = [scripted.tokens()]
    settings = scripted.settings(scopes=("openid", "profile"), audience="remit", token="access_token")

    found = sign_in_by_device(discover(settings), lambda _: None, Hours().clock)

    assert dict(scripted.asked)["/device_authorization"] == {
        "client_id": "copilot",
        "scope": "openid profile",
        "audience": "remit",
    }
    assert found.token.reveal() == "access-token"


def test_a_sign_in_reads_back_as_it_was_kept(scripted: ScriptedIssuer) -> None:
    scripted.answers["/device_authorization"] = [Said(DEVICE)]
    scripted.answers["/token"] = [scripted.tokens()]

    found = by_device(scripted)

    again = SignIn.parse(found.text())
    assert json.loads(again.text().reveal()) == json.loads(found.text().reveal())


def test_a_request_that_dawdles_does_not_hold_up_the_browser() -> None:
    with CallbackServer("the-state") as server, socket.create_connection(("127.0.0.1", port_of(server))) as dawdler:
        dawdler.sendall(b"GET /callback?state=")
        answered = httpx.get(f"{server.redirect_uri}?state=the-state&code=c", trust_env=False, timeout=60)
        found = server.wait(60)

    assert answered.status_code == 200
    assert found == {"state": "the-state", "code": "c"}


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with CallbackServer("a") as server, pytest.raises(LoginNeeded, match="give another --port"):
        CallbackServer("b", port=port_of(server))


def port_of(server: CallbackServer) -> int:
    port = urlsplit(server.redirect_uri).port
    assert port is not None
    return port


def test_an_issuer_is_asked_through_the_proxy_that_the_environment_names(
    scripted: ScriptedIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy() as (url, asked):
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("NO_PROXY", "")
        through = discover(scripted.settings())
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        around = discover(scripted.settings())

    assert through == around
    assert asked == [scripted.url.removeprefix("https://")]


@contextmanager
def connect_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that makes tunnels (RFC 9110, 9.3.6), and remembers whereto."""
    asked: list[str] = []

    class Tunnel(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = self.request.recv(4096)
            host, _, port = head.split(b" ")[1].decode().partition(":")
            asked.append(f"{host}:{port}")
            with socket.create_connection((host, int(port))) as there:
                self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=passed, args=(there, self.request))
                back.start()
                passed(self.request, there)
                back.join()

    def passed(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()
