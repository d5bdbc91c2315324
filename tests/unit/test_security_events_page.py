"""The page on security events: its configurations load, its webhook is taken, and its tables tell what is done."""

import re
from datetime import UTC, datetime

import pytest
from tests.configuration_folder import DEPLOY, TEXT, ConfigurationFolder
from tests.event_world import EventHandClock

from remit_server.adapters.security_events import event_types
from remit_server.adapters.security_events.webhook import WebhookVerifier, signature
from remit_server.application.security_events.ports import UnverifiedWebhook
from remit_server.config.event_settings import EventSettings
from remit_server.config.loading import load
from remit_server.domain.security_event import EventRefusal, SecurityEventKind

PAGE = (DEPLOY.parent / "docs/security-events.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
LISTENING = '[listen.http]\naddress = "127.0.0.1:8445"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("security-events"))


def loaded(folder: ConfigurationFolder, block: str) -> EventSettings:
    """Returns what the usual configuration becomes with a block of the page."""
    listening = "" if "[listen.http]" in block else LISTENING
    return load(folder.write(f"{TEXT}\n{listening}{block}"), {}).events


@pytest.mark.parametrize("block", BLOCKS, ids=[re.findall(r'(?:alias|name) = "(\w+)"', block)[0] for block in BLOCKS])
def test_every_configuration_on_the_page_loads(folder: ConfigurationFolder, block: str) -> None:
    assert loaded(folder, block) != EventSettings()


def test_the_apis_in_the_table_can_be_configured(folder: ConfigurationFolder) -> None:
    rows = re.findall(r"^\| [^|]+ \| `(https://[^`]+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)

    assert len(rows) >= 5
    for url, pointer, values in rows:
        lines = ["[[status_polls]]", 'alias = "x"', 'users_of = "acme"', f'url = "{url}"']
        lines += ['token_file = "secrets/directory-token"']
        if pointer.startswith("`"):
            lines += [f'status_pointer = "{pointer.strip("`")}"', f"active_values = {values.strip('`')}"]
        else:
            lines += ['missing = "disabled"', 'probe_subject = "octocat"']
        assert loaded(folder, "\n".join(lines)).status_polls[0].url == url


async def test_the_webhook_on_the_page_is_taken(folder: ConfigurationFolder) -> None:
    (block,) = (one for one in BLOCKS if "[[webhooks]]" in one)
    (hook,) = loaded(folder, block).webhooks
    body = re.findall(r"^body='(.*)'$", PAGE, flags=re.MULTILINE)[0].encode()
    clock = EventHandClock(datetime(2026, 11, 29, 20, 16, tzinfo=UTC))
    seconds = int(clock.now().timestamp())

    event = await WebhookVerifier(hook, clock)(
        UnverifiedWebhook(f"t={seconds},v1={signature(hook.secrets[0], seconds, body)}", body)
    )

    assert (event.kind, event.subject_id) == (SecurityEventKind.ACCOUNT_DISABLED, "alice")


def test_every_event_that_is_obeyed_and_every_error_is_on_the_page() -> None:
    names = {event_type.rpartition("/")[2] for event_type in event_types.OBEYED}

    assert {name for name in names | {code.value for code in EventRefusal} if f"`{name}`" not in PAGE} == set()
