"""What a configuration may say of those who tell about users, and what is told of each mistake."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.event_settings import Delivery, EventSettings
from remit_server.config.loading import ConfigurationError, Mistake, load

HTTP = '[listen.http]\naddress = "127.0.0.1:8445"\n\n[[issuers]]'
PUSHED = """
[[transmitters]]
alias = "acme"
issuer = "https://acme.okta.com"
audience = "https://remit.acme.example"
algorithms = ["RS256"]
users_of = "acme"
"""
POLLED = """
[[transmitters]]
alias = "partner"
issuer = "https://signals.partner.example"
audience = "https://remit.acme.example"
algorithms = ["RS256"]
users_of = "people"
delivery = "poll"
access_token_file = "secrets/ssf-partner-access-token"
poll_url = "https://signals.partner.example/poll/1"
"""
HOOK = """
[[webhooks]]
name = "hr"
secret_files = ["secrets/webhook-hr"]
users_of = ["acme", "people"]
"""
ASKED = """
[[status_polls]]
alias = "directory"
users_of = "acme"
url = "https://acme.okta.com/api/v1/users/{subject}"
token_file = "secrets/directory-token"
status_pointer = "/status"
active_values = ["ACTIVE"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("configuration"))


def with_http(text: str) -> str:
    return TEXT.replace("[[issuers]]", HTTP, 1) + text


def mistakes(folder: ConfigurationFolder, text: str) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigurationError) as raised:
        load(folder.write(text), {})
    return raised.value.mistakes


def test_nobody_tells_anything_unless_configured(folder: ConfigurationFolder) -> None:
    assert load(folder.write(TEXT), {}).events == EventSettings()


def test_everybody_who_may_tell_is_read_whole(folder: ConfigurationFolder) -> None:
    authorized = PUSHED + 'authorization_files = ["secrets/ssf-acme"]\nsubject_map = { "00u1" = "alice" }\n'

    events = load(folder.write(with_http(authorized + POLLED + HOOK + ASKED)), {}).events

    pushed, polled = events.transmitters
    assert (pushed.source, pushed.users_of) == ("ssf:acme", "https://login.acme.example")
    assert pushed.subject_issuer == "https://login.acme.example"
    assert pushed.signer.token_type == "secevent+jwt"
    assert pushed.signer.allowed_hosts == {"acme.okta.com"}
    assert pushed.subject_map == (("00u1", "alice"),)
    assert [one.reveal() for one in pushed.authorization] == ["Bearer value-of-ssf-acme-0123456789abcdef"]
    assert (polled.delivery, polled.poll_wait) == (Delivery.POLL, timedelta(seconds=30))
    assert events.are_pushed
    assert events.webhooks[0].issuers == {"https://login.acme.example", "https://people.acme.example"}
    assert events.status_polls[0].issuer == "https://login.acme.example"
    assert "value-of" not in repr(events)


def test_polling_needs_no_http_listener(folder: ConfigurationFolder) -> None:
    events = load(folder.write(TEXT + POLLED + ASKED), {}).events

    assert not events.are_pushed


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        (PUSHED.replace('users_of = "acme"', 'users_of = "nobody"'), "transmitters[0].users_of", "not the alias"),
        (PUSHED.replace('["RS256"]', '["HS256"]'), "transmitters[0].algorithms", "never HS*"),
        (PUSHED.replace("https://acme.okta.com", "http://acme.okta.com"), "transmitters[0].issuer", "https"),
        (PUSHED.replace('alias = "acme"', 'alias = "Acme/1"'), "transmitters[0].alias", "a-z"),
        (PUSHED + 'token_type = "at+jwt"', "transmitters[0].token_type", "must be one of"),
        (PUSHED + "leeway_seconds = 60", "transmitters[0].leeway_seconds", "at most 30"),
        (PUSHED + 'subject_formats = ["phone_number"]', "transmitters[0].subject_formats", "iss_sub, email and opaque"),
        (PUSHED + "subject_formats = []", "transmitters[0].subject_formats", "iss_sub, email and opaque"),
        (PUSHED + 'subject_map = { "" = "alice" }', "transmitters[0].subject_map", "printable"),
        (PUSHED + 'authorization_files = ["secrets/gone"]', "transmitters[0].authorization_files[0]", "cannot be read"),
        (PUSHED + 'authorization_file = "secrets/ssf-acme"', "transmitters[0].authorization_file", "not a known key"),
        (PUSHED + 'authorization = "Bearer x"', "transmitters[0].authorization", "not a known key"),
        (PUSHED + 'poll_url = "https://acme.okta.com/p"', "transmitters[0].poll_url", 'belongs to delivery = "poll"'),
        (PUSHED + 'receiver_url = "http://remit.acme.example/"', "transmitters[0].receiver_url", "https"),
        (PUSHED + 'configuration_url = "https://other.example/"', "transmitters[0].configuration_url", "allowed_hosts"),
        (PUSHED + PUSHED, "transmitters[1].alias", "is that of another"),
        (
            POLLED.replace('access_token_file = "secrets/ssf-partner-access-token"\n', ""),
            "transmitters[0].access_token_file",
            "is missing",
        ),
        (POLLED.replace("/poll/1", "/poll?x=1"), "transmitters[0].poll_url", "without user, query"),
        (POLLED.replace("partner.example/poll", "evil.example/poll"), "transmitters[0].poll_url", "allowed_hosts"),
        (POLLED + 'authorization_files = ["secrets/ssf-acme"]', "transmitters[0].authorization_files", "push"),
        (HOOK.replace("secrets/webhook-hr", "secrets/external-id"), "webhooks[0].secret_files", "at least 32"),
        (HOOK.replace('["secrets/webhook-hr"]', "[]"), "webhooks[0].secret_files", "one file, or two"),
        (HOOK.replace('["acme", "people"]', "[]"), "webhooks[0].users_of", "at least one alias"),
        (HOOK.replace('["acme", "people"]', '["acme", "x"]'), "webhooks[0].users_of[1]", "not the alias"),
        (HOOK + 'secret = "s"', "webhooks[0].secret", "is a secret in the file"),
        (ASKED.replace("{subject}", "alice"), "status_polls[0].url", "must hold {subject} once"),
        (ASKED.replace("acme.okta.com", "{subject}.okta.com"), "status_polls[0].url", "must hold {subject} once"),
        (ASKED.replace("https://acme", "http://acme"), "status_polls[0].url", "https"),
        (ASKED.replace("https://acme", "https://user@acme"), "status_polls[0].url", "without user"),
        (ASKED.replace('status_pointer = "/status"\n', ""), "status_polls[0].active_values", "give both"),
        (ASKED.replace('"/status"', '"status"'), "status_polls[0].status_pointer", "JSON pointer"),
        (ASKED + 'missing = "disabled"', "status_polls[0].probe_subject", "is missing"),
        (ASKED.replace("secrets/directory-token", "secrets/gone"), "status_polls[0].token_file", "cannot be read"),
        (ASKED + "every_seconds = 1", "status_polls[0].every_seconds", "at least 10"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: ConfigurationFolder, text: str, place: str, problem: str) -> None:
    found = mistakes(folder, with_http(text))

    assert [one.place for one in found][:1] == [place]
    assert problem in found[0].problem
    assert found[0].why
    assert found[0].mend


@pytest.mark.parametrize(("text", "place"), [(PUSHED, "transmitters[0]"), (ASKED, "status_polls[0]")])
def test_a_hash_is_no_name_that_anybody_could_be_found_by(folder: ConfigurationFolder, text: str, place: str) -> None:
    readable = with_http(text + 'named_by = "source_claim"\n')
    hashed = readable.replace("actors = true\n", 'actors = true\nsource_identity = "hash"\n', 1)

    (mistake,) = mistakes(folder, hashed)

    assert mistake.place == f"{place}.named_by"
    assert load(folder.write(readable), {}).events != EventSettings()


@pytest.mark.parametrize(("text", "place"), [(PUSHED, "transmitters[0]"), (HOOK, "webhooks[0]")])
def test_what_is_pushed_needs_an_http_listener(folder: ConfigurationFolder, text: str, place: str) -> None:
    (mistake,) = mistakes(folder, TEXT + text)

    assert (mistake.place, mistake.problem) == (place, "there is no [listen.http]")


def test_a_secret_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = ConfigurationFolder.create(tmp_path)
    (tmp_path / "secrets/webhook-hr").chmod(0o644)

    (mistake,) = mistakes(folder, with_http(HOOK))

    assert "open to others" in mistake.problem
