"""Alerts and heartbeats: the digest of a run for people, and a sign of life for a monitor.

Whatever happens to them, the run goes on and ends as it would. Addresses and tokens never get into a message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from refresh.errors import SettingsError
from refresh.faces import telegram, web, words
from refresh.faces.sending import Courier
from refresh.run.summary import Severity, Summary
from refresh.wording import escaped, listed, shown_ids

SHOWN_FINDINGS = 5
CHANNELS = ("TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID", "ALERT_URLS", "HEARTBEAT_URL")
"""The settings without which nothing is sent."""
_MARKS = {
    Severity.INFO: "✅",
    Severity.WARNING: "⚠️",
    Severity.ERROR: "❌",
    Severity.CRITICAL: "🚨",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """What people should read: a headline, lines, and whether any of it is news."""

    severity: Severity
    headline: str
    lines: tuple[str, ...] = ()
    is_new: bool = True


def digest(summary: Summary) -> Digest | None:
    """The digest of a run; ``None`` if there is nothing to report."""
    lines = tuple(_lines(summary))
    if not lines:
        return None
    headline = words.verdict(summary)
    return Digest(severity=summary.severity, headline=headline, lines=lines, is_new=_has_news(summary))


def _has_news(summary: Summary) -> bool:
    """Whether there is more to report than failures and notices of earlier runs."""
    validity = summary.validity
    if summary.restated or (validity and (validity.findings or validity.is_void)):
        return True
    if not set(summary.notices) <= set(summary.known_notices):
        return True
    return any(entry.since is None for entry in summary.unfinished)


def _lines(summary: Summary) -> Iterator[str]:
    if summary.validity:
        yield from words.findings(summary.validity, SHOWN_FINDINGS)
        if summary.validity.is_void:
            yield from words.unjudged(summary.validity)
    yield from _problems(summary)
    recovered = {id for _, id in summary.recovered}.difference(summary.unfinished_ids)
    if recovered:
        yield f"recovered: ID {shown_ids(sorted(recovered))}"
    for line in summary.restated:
        yield f"restated: {words.restatement(line)}"
    yield from words.refused(summary)
    yield from summary.notices


def _problems(summary: Summary) -> Iterator[str]:
    """Assets by reason, failures first: an asset has one line, in however many builders it is unfinished."""
    for status in words.WORST_FIRST:
        groups = words.grouped((words.reason(entry), entry.id) for entry in summary.of(status))
        for reason, ids in groups.items():
            yield f"{status.value}: ID {shown_ids(sorted(set(ids)))}: {reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The channels of alerts, the lowest severity that is sent, and the address of the monitor."""

    level: Severity = Severity.INFO
    chat: telegram.Chat | None = None
    urls: tuple[str, ...] = field(default=(), repr=False)
    heartbeat: str | None = field(default=None, repr=False)

    @property
    def has_channel(self) -> bool:
        """Whether there is anywhere to send to."""
        return bool(self.chat or self.urls)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of the environment. Raises ``SettingsError`` for an unknown level."""
    urls = environ.get("ALERT_URLS", "").replace(",", " ")
    return Settings(
        level=_level(environ.get("ALERT_LEVEL", Severity.INFO.name)),
        chat=_chat(environ),
        urls=tuple(urls.split()),
        heartbeat=environ.get("HEARTBEAT_URL"),
    )


def _level(name: str) -> Severity:
    try:
        return Severity[name.upper()]
    except KeyError:
        levels = listed(level.name.lower() for level in Severity)
        raise SettingsError(f"ALERT_LEVEL has an unknown level; use one of {levels}") from None


def _chat(environ: Mapping[str, str]) -> telegram.Chat | None:
    id = environ.get("TELEGRAM_CHAT_ID")
    token = environ.get("TELEGRAM_BOT_TOKEN")
    server = environ.get("TELEGRAM_API_URL", telegram.SERVER)
    if not id or not token:
        return None
    return telegram.Chat(id=id, token=token, server=server)


def send(courier: Courier, settings: Settings, digest: Digest) -> None:
    """Begin to send a digest to every channel if it is severe enough."""
    if digest.severity < settings.level:
        return
    if settings.chat:
        courier.send("Telegram message", partial(_send_to_telegram, settings.chat, digest))
    for number, url in enumerate(settings.urls, 1):
        courier.send(f"message to ALERT_URLS address {number}", partial(_send_by_apprise, url, digest))


def _send_to_telegram(chat: telegram.Chat, digest: Digest) -> str | None:
    is_silent = digest.severity is Severity.INFO or not digest.is_new
    return telegram.send(chat, text(digest), is_silent=is_silent)


def text(digest: Digest) -> str:
    """A digest as a message of Telegram."""
    return telegram.message(_MARKS[digest.severity], digest.headline, digest.lines)


def _send_by_apprise(url: str, digest: Digest) -> str | None:
    try:
        import apprise  # noqa: PLC0415 - an extra, slow to import
    except ImportError:
        return "the package apprise is not installed: pip install apprise"
    logging.getLogger("apprise").propagate = False  # it would print addresses
    alone = apprise.AppriseAsset(async_mode=False, service_timeout=0)  # its own threads would outlive the program
    channel = apprise.Apprise(asset=alone)
    if not channel.add(url):
        return "apprise does not recognize it"
    headline, *lines = map(escaped, (digest.headline, *digest.lines))
    body = "\n".join(lines) or headline
    return None if channel.notify(title=headline, body=body) else "apprise reports a failure"


def beat(courier: Courier, settings: Settings, signal: str) -> None:
    """Begin to report to a monitor that a run started (``start``), went well (empty) or failed (``fail``)."""
    if settings.heartbeat:
        courier.send("heartbeat", partial(_beat, settings.heartbeat, signal))


def _beat(address: str, signal: str) -> str | None:
    try:
        reply = web.request("GET", address, signal)
    except web.NoAnswerError as error:
        return str(error)
    return None if reply.ok else f"HTTP {reply.status}"
