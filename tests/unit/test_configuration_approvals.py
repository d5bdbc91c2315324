"""`[approvals]` and `[[notifications]]`: what is taken, and what is said of what is not."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.approval_settings import Format
from remit_server.config.loading import ConfigurationError, load
from remit_server.domain.notification import NotificationKind

RIGHT = """
[[notifications]]
name = "approvers"
url = "https://chat.acme.example/remit"
secret_file = "secrets/notifications"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    made = ConfigurationFolder.create(tmp_path_factory.mktemp("notifications"))
    short = made.folder / "secrets/short"
    short.write_text("tooshort\n")
    short.chmod(0o600)
    return made


def mistakes(path: Path) -> dict[str, str]:
    """Returns what is wrong, by its place."""
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    return {mistake.place: mistake.problem for mistake in raised.value.mistakes}


def test_without_a_word_people_are_waited_for_an_hour_and_nobody_is_told(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(TEXT), {})

    assert settings.approvals.lapse == timedelta(hours=1)
    assert settings.notifications == ()


def test_a_receiver_is_told_of_everything_unless_it_says_what(folder: ConfigurationFolder) -> None:
    (everything,) = load(folder.write(TEXT + RIGHT), {}).notifications
    (some,) = load(folder.write(TEXT + RIGHT + 'kinds = ["break_glass_issued"]\n'), {}).notifications

    assert everything.kinds == set(NotificationKind)
    assert some.kinds == {NotificationKind.BREAK_GLASS_ISSUED}


def test_slacks_address_is_read_from_a_file_and_needs_no_secret(folder: ConfigurationFolder) -> None:
    text = RIGHT.replace('url = "https://chat.acme.example/remit"', 'url_file = "secrets/slack-url"\nformat = "slack"')
    text = text.replace('secret_file = "secrets/notifications"\n', "")

    (slack,) = load(folder.write(TEXT + text), {}).notifications

    assert (slack.format, slack.secret) == (Format.SLACK, None)
    assert slack.url.reveal() == "https://hooks.slack.example/T0/B0/x"
    assert "hooks.slack" not in repr(slack)


@pytest.mark.parametrize(
    ("right", "wrong", "place", "problem"),
    [
        ("https://chat", "http://chat", "url", "https"),
        ("https://chat", "https://user@chat", "url", "without user"),
        ('url = "https://chat.acme.example/remit"\n', "", "", "needs either"),
        ('url = "', 'url_file = "secrets/slack-url"\nurl = "', "", "needs either"),
        ('secret_file = "secrets/notifications"\n', "", "secret_file", "is missing"),
        ("secrets/notifications", "secrets/short", "secret_file", "too short"),
        ('name = "approvers"', 'name = "The Approvers"', "name", "no short name"),
        ("secret_file", 'kinds = ["everything"]\nsecret_file', "kinds[0]", "nothing that can be told"),
        ("secret_file", 'format = "xml"\nsecret_file', "format", ""),
    ],
)
def test_a_mistake_is_told_at_its_place(
    folder: ConfigurationFolder, right: str, wrong: str, place: str, problem: str
) -> None:
    found = mistakes(folder.write(TEXT + RIGHT.replace(right, wrong)))

    (told,) = found.items()
    assert told[0] == f"notifications[0].{place}".rstrip(".")
    assert problem in told[1]


def test_two_receivers_have_two_names(folder: ConfigurationFolder) -> None:
    assert set(mistakes(folder.write(TEXT + RIGHT + RIGHT))) == {"notifications[0].name", "notifications[1].name"}


@pytest.mark.parametrize("seconds", [59, 604_801])
def test_people_are_waited_for_a_minute_to_a_week(folder: ConfigurationFolder, seconds: int) -> None:
    assert "approvals.lapse_seconds" in mistakes(folder.write(f"{TEXT}\n[approvals]\nlapse_seconds = {seconds}\n"))
