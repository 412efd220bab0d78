"""Digests and heartbeats on their way to people: what is sent, what is tried again, and what is never told."""

from __future__ import annotations

import html
import logging
import socket
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from bot_api import CHAT, HEARTBEAT, LONGEST, SILENCE, TOKEN, Bot, Reply, plain, refusal, serving

from refresh.records_story import Restated
from refresh.errors import SettingsError
from refresh.faces import alerts
from refresh.faces.alerts import Digest, Settings, beat, digest, read_settings, send, text
from refresh.records import Status
from refresh.run.summary import Severity, StepSummary, Summary, Unfinished

FAILED = Digest(Severity.ERROR, "Not complete: 1 of 3 assets", ("failed: ID 52: close < 0",))
NIGHT = datetime(2024, 1, 26, 2, tzinfo=UTC)
SECRETS = (TOKEN, TOKEN.split(":")[1], HEARTBEAT, "127.0.0.1")
WRONG = {
    "wrong text": (refusal(400, "Bad Request: chat not found"), "it answers 400: Bad Request: chat not found"),
    "wrong token": (refusal(401, "Unauthorized"), "it answers 401: Unauthorized"),
    "blocked": (
        refusal(403, "Forbidden: bot was blocked by the user"),
        "it answers 403: Forbidden: bot was blocked by the user",
    ),
    "no JSON": (Reply(404, "<html>nothing here"), "it answers 404: Not Found"),
    "other JSON": (Reply(400, "[1]"), "it answers 400: Bad Request"),
}
PASSING = {
    "too many": refusal(429, "Too Many Requests: retry after 0", retry_after=0),
    "too many, for long": refusal(429, "Too Many Requests: retry after 3600", retry_after=3600),
    "too many, no time": Reply(429, "slow down"),
    "strange time": refusal(429, "Too Many Requests", retry_after="soon"),
    "server error": refusal(500, "Internal Server Error"),
    "gateway": Reply(502, "<html>Bad Gateway"),
}


@pytest.fixture
def bot() -> Iterator[Bot]:
    """A server that answers as Telegram does."""
    with serving() as made:
        yield made


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the user was told of alerts that did not get through: it never holds an address."""
    lines: list[str] = []
    yield lines
    assert not [secret for secret in SECRETS for line in lines if secret in line]


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What a program that logs everything would find in its log."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, listener = logging.getLogger(), Listener(logging.DEBUG)
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(level)
    root.removeHandler(listener)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, and no long pauses."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(alerts, "LONGEST_PAUSE", 0.01)


@pytest.fixture
def nowhere() -> str:
    """An address of loopback where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def to(address: str, level: Severity = Severity.INFO) -> Settings:
    """Settings that send messages to an address."""
    return Settings(level, TOKEN, CHAT, address)


def summary(
    *unfinished: Unfinished,
    recovered: tuple[tuple[str, int], ...] = (),
    restated: tuple[Restated, ...] = (),
    notices: tuple[str, ...] = (),
    notes: dict[str, int] | None = None,
) -> Summary:
    """A run of three assets in one builder."""
    return Summary(
        "r", "run_daily_refresh.py --all", NIGHT, 2.0, int(bool(unfinished)), 3, 1,
        (StepSummary("bars.1d", "1d bars", 7, 1.0, {"done": 3}, ""),),
        unfinished, recovered, restated, notices, notes or {}, bars=7, next_command="again" if unfinished else None,
    )  # fmt: skip


def failed(id: int, builder: str = "bars.1d", *, why: str = "close < 0", since: datetime | None = None) -> Unfinished:
    """An asset that failed."""
    return Unfinished(builder, id, Status.FAILED, why, since)


def test_what_is_sent(bot: Bot, said: list[str]) -> None:
    """A message names the chat, is HTML with its signs escaped, and shows no preview."""
    told = Digest(Severity.ERROR, 'Not done: <1> & "x"', ("failed: ID 52: a < b & c > d", "&lt; stays"))
    send(to(bot.url), told, said.append)
    assert bot.messages == [
        {
            "chat_id": CHAT,
            "text": '❌ <b>Not done: &lt;1&gt; &amp; "x"</b>\nfailed: ID 52: a &lt; b &amp; c &gt; d\n&amp;lt; stays',
            "parse_mode": "HTML",
            "disable_web_page_preview": True,
            "disable_notification": False,
        }
    ]
    assert bot.texts == ['❌ Not done: <1> & "x"\nfailed: ID 52: a < b & c > d\n&lt; stays']
    assert said == []


@pytest.mark.parametrize(("severity", "mark"), list(zip(Severity, "✅⚠❌🚨", strict=True)))
def test_mark(severity: Severity, mark: str) -> None:
    """The first sign tells how grave it is."""
    assert text(Digest(severity, "x")).startswith(mark)


def test_cut_between_lines(bot: Bot, said: list[str]) -> None:
    """Of too many lines the first ones are sent whole, as many as fit, and the others counted."""
    lines = tuple(f"failed: ID {n}: a < b & c > d" for n in range(500))
    told = Digest(Severity.ERROR, "Not complete", lines)
    send(to(bot.url), told, said.append)
    assert said == []
    (message,) = bot.messages
    _, *shown, last = bot.texts[0].split("\n")
    assert shown == list(lines[: len(shown)])
    assert last == f"… and {500 - len(shown)} lines more"
    following = html.escape(lines[len(shown)], quote=False)
    assert LONGEST - len(following) - len("\n") - 1 <= len(message["text"]) <= LONGEST


def test_one_line_too_many() -> None:
    """A text of exactly the longest length is whole; with one sign more its last line is counted."""
    lines = ("a" * 1000, "b" * 1000, "c" * 1000)
    rest = LONGEST - len(text(Digest(Severity.INFO, "x", lines))) - 1
    whole = text(Digest(Severity.INFO, "x", (*lines, "d" * (rest - 100), "e" * 99)))
    assert len(whole) == LONGEST
    assert whole.endswith("e")
    more = text(Digest(Severity.INFO, "x", (*lines, "d" * (rest - 100), "e" * 100)))
    assert more.endswith("d\n… and 1 line more")


def test_one_enormous_line(bot: Bot, said: list[str]) -> None:
    """A line that would fill the message is shortened, and what follows it is still told."""
    send(to(bot.url), Digest(Severity.ERROR, "Not complete", ("x" * 100_000, "recovered: ID 7")), said.append)
    (received,) = bot.texts
    _, long, last = received.split("\n")
    assert long.rstrip("…") == "x" * (len(long) - 1)
    assert last == "recovered: ID 7"
    assert said == []


@pytest.mark.parametrize("before", range(1010, 1030))
@pytest.mark.parametrize("sign", ["&", "<", ">", "x"])
def test_never_cut_within_an_entity(before: int, sign: str) -> None:
    """Wherever a long line is cut, what is left can be read."""
    cut = text(Digest(Severity.ERROR, "x", ("y" * before + sign * 100,)))
    shown = plain(cut).split("\n")[1]
    assert shown.endswith("…")
    assert ("y" * before + sign * 100).startswith(shown.removesuffix("…"))


@pytest.mark.parametrize("length", range(1005, 1030))
@pytest.mark.parametrize("sign", ["&", "x"])
def test_never_cut_within_a_tag(length: int, sign: str) -> None:
    """Wherever a long headline is cut, it stays bold to its end and can be read."""
    headline = sign + "x" * (length - 1)
    bold, other = text(Digest(Severity.CRITICAL, headline, ("why",))).split("\n")
    assert bold.startswith("🚨 <b>")
    assert bold.endswith("</b>")
    shown = plain(bold).removeprefix("🚨 ")
    assert headline.startswith(shown.removesuffix("…"))
    assert other == "why"


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_tried_again(bot: Bot, said: list[str], reply: Reply) -> None:
    """A service that asks for patience, or is broken for a moment, is told in the end."""
    bot.replies += [reply, reply]
    send(to(bot.url), FAILED, said.append)
    assert (len(bot.tries), len(bot.messages), said) == (3, 1, [])


def test_as_long_as_asked(bot: Bot, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause is the one that the reply asks for."""
    monkeypatch.setattr(alerts, "LONGEST_PAUSE", 60.0)
    bot.replies.append(PASSING["too many"])
    bot.replies.append(refusal(429, "Too Many Requests: retry after 3", retry_after=3))
    send(to(bot.url), FAILED, said.append)
    first, second, third = bot.tries
    assert third - second >= 3.0 > second - first
    assert (len(bot.messages), said) == (1, [])


def test_negative_pause(bot: Bot, said: list[str]) -> None:
    """A time that makes no sense stops nothing."""
    bot.replies.append(refusal(429, "Too Many Requests: retry after -1", retry_after=-1))
    send(to(bot.url), FAILED, said.append)
    assert (len(bot.messages), said) == (1, [])


def test_broken_for_long(bot: Bot, said: list[str]) -> None:
    """After some attempts it is given up."""
    bot.replies += [PASSING["server error"]] * 10
    send(to(bot.url), FAILED, said.append)
    assert (len(bot.tries), bot.messages, said) == (4, [], ["Telegram was not told: it answers 500"])


def test_never_answers(bot: Bot, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the message and says nothing is waited for, but not for ever."""
    monkeypatch.setattr(alerts, "SECONDS_TO_ANSWER", 0.4)
    bot.replies += [SILENCE] * 10
    send(to(bot.url), FAILED, said.append)
    assert said == ["Telegram was not told: no answer within 0 s"]
    assert len(bot.tries) == 4


def test_refused_connection(nowhere: str, said: list[str]) -> None:
    """Where nobody listens, that is said without the address."""
    send(to(nowhere), FAILED, said.append)
    assert said == ["Telegram was not told: no connection"]


@pytest.mark.parametrize(
    "address", ["telegram", "http://", "http://[", "gopher://127.0.0.1", "http://a..b", "http://*"]
)
def test_no_address(address: str, said: list[str]) -> None:
    """An address that is none is told as such, and stops nothing."""
    send(to(address), FAILED, said.append)
    beat(Settings(heartbeat=address), "start", said.append)
    first, second = said
    assert first.startswith("Telegram was not told: ")
    assert second.startswith("the heartbeat did not get through: ")


@pytest.mark.parametrize(("reply", "problem"), WRONG.values(), ids=WRONG)
def test_not_tried_again(bot: Bot, said: list[str], reply: Reply, problem: str) -> None:
    """What is wrong stays wrong: one attempt, and the service's own words."""
    bot.replies.append(reply)
    send(to(bot.url), FAILED, said.append)
    assert (len(bot.tries), said) == (1, [f"Telegram was not told: {problem}"])


@pytest.mark.parametrize("reply", [None, SILENCE, *PASSING.values(), *(reply for reply, _ in WRONG.values())])
def test_no_secret_in_a_log(
    bot: Bot, said: list[str], reply: Reply | None, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """However it goes, neither token nor address of a heartbeat is in any log, even the most talkative."""
    monkeypatch.setattr(alerts, "SECONDS_TO_ANSWER", 0.2 if reply is SILENCE else 10.0)
    bot.replies += [reply] * 4 if reply else []
    send(to(bot.url), FAILED, said.append)
    beat(read_settings(bot.environ), "start", said.append)
    assert len(bot.beats) == 1
    assert not [line for line in logged if TOKEN in line]
    assert not [line for line in logged if HEARTBEAT in line]


def test_no_secret_of_the_dead_in_a_log(nowhere: str, said: list[str], logged: list[str]) -> None:
    """Where nobody listens, no log tells whom one wanted to reach."""
    send(to(nowhere), FAILED, said.append)
    beat(Settings(heartbeat=nowhere + HEARTBEAT), "start", said.append)
    assert len(said) == 2
    assert not [line for line in logged if TOKEN in line]
    assert not [line for line in logged if HEARTBEAT in line]


@pytest.mark.parametrize("level", Severity)
def test_levels(bot: Bot, said: list[str], level: Severity) -> None:
    """Only what is as grave as the level is sent."""
    settings = read_settings({**bot.telegram, "ALERT_LEVEL": level.name.title()})
    for severity in Severity:
        send(settings, Digest(severity, severity.name), said.append)
    assert [message.split()[1] for message in bot.texts] == [one.name for one in Severity if one >= level]
    assert said == []


def test_wrong_level() -> None:
    """A level that there is not is named with those there are."""
    with pytest.raises(SettingsError) as caught:
        read_settings({"ALERT_LEVEL": "loud", "TELEGRAM_BOT_TOKEN": TOKEN})
    assert str(caught.value) == "ALERT_LEVEL=loud: no such level; say one of info, warning, error, critical"


@pytest.mark.parametrize(
    ("environ", "channels"),
    [
        ({}, False),
        ({"TELEGRAM_BOT_TOKEN": TOKEN}, False),
        ({"TELEGRAM_CHAT_ID": CHAT}, False),
        ({"HEARTBEAT_URL": "http://127.0.0.1:1"}, False),
        ({"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": CHAT}, True),
        ({"ALERT_URLS": "json://127.0.0.1, xml://127.0.0.1"}, True),
    ],
)
def test_channels(environ: dict[str, str], channels: bool) -> None:
    """A token without a chat is nobody; without settings nothing is below the least level, and Telegram is Telegram."""
    settings = read_settings(environ)
    assert (settings.channels, settings.level, settings.telegram) == (channels, Severity.INFO, alerts.TELEGRAM)


def test_nobody_to_tell(said: list[str]) -> None:
    """Without settings nothing is sent, and nothing is said about it."""
    send(read_settings({}), FAILED, said.append)
    beat(read_settings({}), "start", said.append)
    assert said == []


@pytest.mark.parametrize(
    ("severity", "new", "sound"),
    [
        (Severity.INFO, True, False),
        (Severity.WARNING, True, True),
        (Severity.ERROR, True, True),
        (Severity.CRITICAL, True, True),
        (Severity.ERROR, False, False),
    ],
)
def test_sound(bot: Bot, said: list[str], severity: Severity, new: bool, sound: bool) -> None:
    """Good news, and what was told before, make no sound."""
    send(to(bot.url), Digest(severity, "x", new=new), said.append)
    assert (bot.sounds, said) == ([sound], [])


def test_nothing_to_tell() -> None:
    """A run that did what it had to, and found nothing, is not told at all."""
    assert digest(summary()) is None


def test_what_is_told() -> None:
    """A line per reason however many builders fail for it, then what recovered, was restated, refused and noticed."""
    day = date(2024, 1, 3)
    found = digest(
        summary(
            failed(52),
            failed(52, "bars.multi_tf"),
            failed(7, "bars.multi_tf"),
            failed(8, since=NIGHT),
            Unfinished("emas.v2", 52, Status.SKIPPED, "bars failed"),
            Unfinished("emas.v2", 9, Status.NOT_REACHED, "stopped"),
            recovered=(("bars.1d", 1), ("bars.1d", 52)),
            restated=(Restated(1, day, day, 1, 1.0, 2.0, "close changed"),),
            notices=("asset 3 is silent",),
            notes={"bad_close": 1234},
        )
    )
    assert found == Digest(
        Severity.ERROR,
        "Not complete: 4 of 3 assets (ID 7, 8, 9, 52) failed, skipped or not reached; 1 s of work left. Next: again",
        (
            "failed: ID 7, 52: close < 0",
            "failed: ID 8: still failing since 2024-01-26: close < 0",
            "not reached: ID 9: stopped",
            "skipped: ID 52: bars failed",
            "recovered: ID 1",
            "restated: ID 1, 2024-01-03, 1 row: close changed",
            "refused from the source: bad_close 1,234",
            "asset 3 is silent",
        ),
    )


def test_what_is_new() -> None:
    """Failures that were all told before are not news; one that was not is."""
    old = digest(summary(failed(8, since=NIGHT)))
    mixed = digest(summary(failed(8, since=NIGHT), failed(9)))
    assert old
    assert mixed
    assert (old.new, mixed.new) == (False, True)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_other_channels(bot: Bot, said: list[str]) -> None:
    """Whatever apprise knows gets headline and lines as they are; an address it does not know is counted."""
    pytest.importorskip("apprise")
    settings = read_settings({"ALERT_URLS": f"{bot.url.replace('http', 'json')}/ nonsense://{TOKEN}"})
    send(settings, FAILED, said.append)
    (post,) = bot.posts
    assert (post["title"], post["message"]) == (FAILED.headline, "\n".join(FAILED.lines))
    assert said == ["ALERT_URLS: number 2 is not an address that apprise knows"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_other_channels_that_fail(nowhere: str, said: list[str], logged: list[str]) -> None:
    """Where another channel is dead, that is said without its address, which no log has either."""
    pytest.importorskip("apprise")
    settings = read_settings({"ALERT_URLS": f"{nowhere.replace('http', 'json')}/{TOKEN}"})
    send(settings, Digest(Severity.INFO, "only a headline"), said.append)
    assert said == ["ALERT_URLS: not everybody could be told"]
    assert not [line for line in logged if TOKEN in line]


def test_heartbeats(bot: Bot, said: list[str]) -> None:
    """Start, success and failure each have an address of their own."""
    settings = read_settings({**bot.environ, "HEARTBEAT_URL": f"{bot.url}{HEARTBEAT}/"})
    for sign in ("start", "", "fail"):
        beat(settings, sign, said.append)
    assert (bot.beats, said) == (["start", "", "fail"], [])


def test_dead_heartbeat(nowhere: str, said: list[str]) -> None:
    """Where nobody listens, that is said without the address."""
    beat(Settings(heartbeat=nowhere + HEARTBEAT), "start", said.append)
    assert said == ["the heartbeat did not get through: no connection"]
