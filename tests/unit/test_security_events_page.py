"""The page on security events: its configurations load, its webhook is taken, and its tables tell what is done."""

import re
import subprocess
from datetime import UTC, datetime

import pytest
from tests.configuration_folder import DEPLOY, TEXT, ConfigurationFolder
from tests.event_world import EventHandClock

from remit_server.adapters.security_events import event_types
from remit_server.adapters.security_events.webhook import WebhookVerifier
from remit_server.application.security_events.ports import UnverifiedWebhook
from remit_server.config.event_settings import EventSettings
from remit_server.config.loading import load
from remit_server.domain.security_event import EventRefusal, SecurityEventKind

PAGE = (DEPLOY.parent / "docs/security-events.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
CONNECT = (DEPLOY.parent / "docs/connect-your-idp.md").read_text(encoding="utf-8")
ISSUERS = {
    re.findall(r'^alias = "(\w+)"$', block, flags=re.MULTILINE)[0]: block.partition("[[agents]]")[0]
    for block in re.findall(r"^```toml\n(.*?)^```$", CONNECT, flags=re.MULTILINE | re.DOTALL)
}
LISTENING = '[listen.http]\naddress = "127.0.0.1:8445"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("security-events"))


def loaded(folder: ConfigurationFolder, block: str) -> EventSettings:
    """Returns what the usual configuration becomes with a block of the page, and the issuers of the other page."""
    named = set(re.findall(r'^users_of = "(\w+)"$', block, flags=re.MULTILINE)) - {"acme"}
    issuers = "".join(ISSUERS[alias] for alias in sorted(named))
    text = TEXT.replace("[[agents]]", f"{issuers}\n[[agents]]", 1)
    listening = "" if "[listen.http]" in block else LISTENING
    return load(folder.write(f"{text}\n{listening}{block}"), {}).events


def as_posted(folder: ConfigurationFolder) -> tuple[str, bytes]:
    """Runs the page's lines that call the webhook, but for the call itself; returns its signature and body."""
    (lines,) = (
        one for one in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "Remit-Signature" in one
    )
    script = "curl() { printf '%s\\n' \"${@: -3}\"; }\n" + lines
    done = subprocess.run(["/bin/bash", "-ec", script], cwd=folder.folder, capture_output=True, text=True, check=True)  # noqa: S603 - the page's own lines
    header, _, body = done.stdout.splitlines()
    return header.removeprefix("Remit-Signature: "), body.encode()


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
    posted = UnverifiedWebhook(*as_posted(folder))

    event = await WebhookVerifier(hook, EventHandClock(datetime.now(UTC)))(posted)

    assert (event.kind, event.subject_id) == (SecurityEventKind.ACCOUNT_DISABLED, "alice")


def test_every_event_that_is_obeyed_and_every_error_is_on_the_page() -> None:
    names = {event_type.rpartition("/")[2] for event_type in event_types.OBEYED}

    assert {name for name in names | {code.value for code in EventRefusal} if f"`{name}`" not in PAGE} == set()
