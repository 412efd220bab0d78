"""Alerts and heartbeats on their way to people: what is sent where, and what is never shown."""

from __future__ import annotations

import pytest
from bot_api import CHAT, HEARTBEAT, SILENCE, TOKEN, Bot, Reply, refusal

from refresh.errors import SettingsError
from refresh.faces import alerts
from refresh.faces.alerts import Digest, Settings, read_settings, text
from refresh.faces.sending import Courier, Say
from refresh.faces.telegram import SERVER, Chat
from refresh.options.environment import SETTINGS
from refresh.run.summary import Severity

pytestmark = pytest.mark.usefixtures("direct")
FAILED = Digest(severity=Severity.ERROR, headline="Not complete: 1 of 3 assets", lines=("failed: ID 52: close < 0",))


def to(address: str, level: Severity = Severity.INFO) -> Settings:
    """Settings that send messages to an address."""
    return Settings(level=level, chat=Chat(id=CHAT, token=TOKEN, server=address))


def send(settings: Settings, digest: Digest, say: Say) -> None:
    """Send a digest and wait for it."""
    courier = Courier(say)
    alerts.send(courier, settings, digest)
    courier.finish(60.0, lambda: False)


def beat(settings: Settings, *signals: str, say: Say) -> None:
    """Send heartbeats and wait for them."""
    courier = Courier(say)
    for signal in signals:
        alerts.beat(courier, settings, signal)
    courier.finish(60.0, lambda: False)


# Channels


def test_problem_of_telegram(bot: Bot, problems: list[str]) -> None:
    """A message that Telegram refuses is reported in its words."""
    bot.replies.append(refusal(400, "Bad Request: chat not found"))
    send(to(bot.url), FAILED, problems.append)
    assert problems == ["Telegram message not sent: HTTP 400: Bad Request: chat not found"]


@pytest.mark.parametrize(
    "address", ["telegram", "http://", "http://[", "gopher://127.0.0.1", "http://a..b", "http://*"]
)
def test_malformed_address(address: str, problems: list[str]) -> None:
    """A malformed address is reported and stops nothing."""
    send(to(address), FAILED, problems.append)
    beat(Settings(heartbeat=address), "start", say=problems.append)
    first, second = problems
    assert first.startswith("Telegram message not sent: ")
    assert second.startswith("heartbeat not sent: ")


@pytest.mark.parametrize("level", Severity)
def test_levels(bot: Bot, problems: list[str], level: Severity) -> None:
    """Only digests of at least the level's severity are sent."""
    settings = read_settings({**bot.telegram, "ALERT_LEVEL": level.name.title()})
    for severity in Severity:
        send(settings, Digest(severity=severity, headline=severity.name), problems.append)
    assert [sent.split()[1] for sent in bot.texts] == [severity.name for severity in Severity if severity >= level]
    assert problems == []


@pytest.mark.parametrize(
    ("severity", "is_new", "sound"),
    [
        (Severity.INFO, True, False),
        (Severity.WARNING, True, True),
        (Severity.ERROR, True, True),
        (Severity.CRITICAL, True, True),
        (Severity.ERROR, False, False),
    ],
)
def test_sound(bot: Bot, problems: list[str], severity: Severity, is_new: bool, sound: bool) -> None:
    """Good news and old news make no sound."""
    send(to(bot.url), Digest(severity=severity, headline="x", is_new=is_new), problems.append)
    assert (bot.sounds, problems) == ([sound], [])


@pytest.mark.parametrize(("severity", "mark"), list(zip(Severity, "✅⚠❌🚨", strict=True)))
def test_mark(severity: Severity, mark: str) -> None:
    """The first character shows the severity."""
    assert text(Digest(severity=severity, headline="x")).startswith(mark)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_other_channels(bot: Bot, problems: list[str]) -> None:
    """Any channel of apprise gets headline and lines as they are; an unknown address is named by its number."""
    pytest.importorskip("apprise")
    settings = read_settings({"ALERT_URLS": f"{bot.url.replace('http', 'json')}/ nonsense://{TOKEN}"})
    send(settings, FAILED, problems.append)
    (post,) = bot.posts
    assert (post["title"], post["message"]) == (FAILED.headline, "\n".join(FAILED.lines))
    assert problems == ["message to ALERT_URLS address 2 not sent: apprise does not recognize it"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_other_channels_that_fail(dead: str, problems: list[str], logged: list[str]) -> None:
    """A dead channel is reported without its address, which no log shows either."""
    pytest.importorskip("apprise")
    settings = read_settings({"ALERT_URLS": f"{dead.replace('http', 'json')}/{TOKEN}"})
    send(settings, Digest(severity=Severity.INFO, headline="only a headline"), problems.append)
    assert problems == ["message to ALERT_URLS address 1 not sent: apprise reports a failure"]
    assert not [line for line in logged if TOKEN in line]


# Settings


def test_unknown_level() -> None:
    """The error about an unknown level lists the levels."""
    with pytest.raises(SettingsError) as caught:
        read_settings({"ALERT_LEVEL": "loud", "TELEGRAM_BOT_TOKEN": TOKEN})
    assert str(caught.value) == "ALERT_LEVEL has an unknown level; use one of info, warning, error, critical"


@pytest.mark.parametrize(
    ("environ", "has_channel"),
    [
        ({}, False),
        ({"TELEGRAM_BOT_TOKEN": TOKEN}, False),
        ({"TELEGRAM_CHAT_ID": CHAT}, False),
        ({"HEARTBEAT_URL": "http://127.0.0.1:1"}, False),
        ({"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": CHAT}, True),
        ({"ALERT_URLS": "json://127.0.0.1, xml://127.0.0.1"}, True),
    ],
)
def test_channels(environ: dict[str, str], has_channel: bool) -> None:
    """A token without a chat is no channel, nor the reverse; by default everything is sent."""
    settings = read_settings(environ)
    assert (settings.has_channel, settings.level) == (has_channel, Severity.INFO)


def test_default_server() -> None:
    """By default Telegram is Telegram."""
    settings = read_settings({"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": CHAT})
    assert settings.chat == Chat(id=CHAT, token=TOKEN, server=SERVER)
    assert SERVER == "https://api.telegram.org"


def test_settings_are_declared() -> None:
    """Every variable that is read is declared, with the default that applies."""

    class Asked(dict[str, str]):
        def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
            self[name] = default or ""
            return default

    names = Asked()
    read_settings(names)
    declared = {setting.name: setting for setting in SETTINGS}
    assert names.keys() <= declared.keys()
    assert declared["TELEGRAM_API_URL"].default == names["TELEGRAM_API_URL"] == SERVER
    assert declared["ALERT_LEVEL"].default == names["ALERT_LEVEL"].lower()


def test_no_channel(problems: list[str]) -> None:
    """Without settings nothing is sent and nothing is reported."""
    send(read_settings({}), FAILED, problems.append)
    beat(read_settings({}), "start", say=problems.append)
    assert problems == []


def test_no_secret_in_a_repr(bot: Bot) -> None:
    """Settings can be printed without token, addresses of channels and address of the monitor."""
    shown = repr(read_settings({**bot.environ, "ALERT_URLS": f"json://user:{TOKEN}@127.0.0.1"}))
    assert CHAT in shown
    assert not [secret for secret in (TOKEN, HEARTBEAT, "127.0.0.1") if secret in shown]


# Heartbeats


def test_heartbeats(bot: Bot, problems: list[str]) -> None:
    """Start, success and failure each have an address of their own."""
    settings = read_settings({**bot.environ, "HEARTBEAT_URL": f"{bot.url}{HEARTBEAT}/"})
    beat(settings, "start", "", "fail", say=problems.append)
    assert (bot.beats, problems) == (["start", "", "fail"], [])


def test_dead_monitor(dead: str, problems: list[str], logged: list[str]) -> None:
    """A dead monitor is reported without its address, which no log shows either."""
    beat(Settings(heartbeat=dead + HEARTBEAT), "start", say=problems.append)
    assert problems == ["heartbeat not sent: no connection"]
    assert not [line for line in logged if HEARTBEAT in line]


@pytest.mark.parametrize("reply", [None, SILENCE, Reply(status=502, body="<html>"), Reply(status=404)])
def test_no_secret_in_a_log(
    bot: Bot, problems: list[str], reply: Reply | None, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """Whatever Telegram answers, no log shows the token or the address of the monitor."""
    monkeypatch.setattr("refresh.faces.web.SECONDS_TO_ANSWER", 0.2 if reply is SILENCE else 10.0)
    bot.replies += [reply] * 4 if reply else []
    settings = read_settings(bot.environ)
    send(settings, FAILED, problems.append)
    beat(settings, "start", say=problems.append)
    assert len(bot.beats) == 1
    assert not [line for line in logged if TOKEN in line or HEARTBEAT in line]
