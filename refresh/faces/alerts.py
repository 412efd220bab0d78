"""Alerts and heartbeats: the digest of a run for people, and a sign of life for a monitor.

Whatever happens to them, the run goes on and ends as it would. Addresses and tokens never get into a message.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from urllib3.exceptions import HTTPError

from refresh.errors import SettingsError
from refresh.faces import words
from refresh.records import Status
from refresh.run.summary import Severity, Summary
from refresh.wording import counted

TELEGRAM = "https://api.telegram.org"
SHOWN_FINDINGS = 5
LONGEST_TEXT = 4096
"""Characters of one message of the Bot API."""
ATTEMPTS = 4
LONGEST_PAUSE = 60.0
SECONDS_TO_ANSWER = 10.0
_TOO_MANY, _SERVER_ERROR = 429, 500
_UNSENT = (requests.RequestException, HTTPError, ValueError)  # the last two: addresses that are none
_MARKS = {Severity.INFO: "✅", Severity.WARNING: "⚠️", Severity.ERROR: "❌", Severity.CRITICAL: "🚨"}

Say = Callable[[str], None]

logging.getLogger("urllib3").propagate = False  # it logs addresses, which hold tokens


@dataclass(frozen=True, slots=True)
class Digest:
    """What is worth telling people: a headline, lines, and whether it is new to them."""

    severity: Severity
    headline: str
    lines: tuple[str, ...] = ()
    new: bool = True


def digest(summary: Summary) -> Digest | None:
    """The digest of a run; ``None`` where there is nothing to tell.

    A run that leaves only what earlier ones left is told without alarm.
    """
    lines = tuple(_lines(summary))
    if not lines:
        return None
    wrong = bool(summary.validity and summary.validity.findings)
    failing = any(one.since is None for one in summary.unfinished)
    new = wrong or failing or bool(summary.restated) or not set(summary.notices) <= set(summary.known_notices)
    return Digest(severity=summary.severity, headline=words.verdict(summary), lines=lines, new=new)


def _lines(summary: Summary) -> Iterator[str]:
    if summary.validity:
        yield from words.findings(summary.validity, SHOWN_FINDINGS)
    for status in (Status.FAILED, Status.NOT_REACHED, Status.SKIPPED):
        for why, ids in _grouped(summary, status).items():
            yield f"{status.value}: ID {words.ids(ids)}: {why}"
    recovered = sorted({id for _, id in summary.recovered} - set(summary.unfinished_ids))
    if recovered:
        yield f"recovered: ID {words.ids(recovered)}"
    for one in summary.restated:
        yield f"restated: {words.restatement(one)}"
    if summary.rejects:
        yield "refused from the source: " + ", ".join(f"{name} {n:,}" for name, n in summary.rejects.items())
    yield from summary.notices


def _grouped(summary: Summary, status: Status) -> dict[str, list[int]]:
    """Assets by why they are not done: one line for an asset, however many builders it is."""
    found: dict[str, set[int]] = {}
    for one in summary.of(status):
        since = f"still failing since {one.since:%Y-%m-%d}: " if one.since else ""
        found.setdefault(since + one.why, set()).add(one.id)
    return {why: sorted(ids) for why, ids in found.items()}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where alerts go and from which severity on. Without a channel nothing is sent."""

    level: Severity = Severity.INFO
    token: str | None = None
    chat: str | None = None
    telegram: str = TELEGRAM
    urls: tuple[str, ...] = ()
    heartbeat: str | None = None

    @property
    def has_channel(self) -> bool:
        """Whether there is anywhere to send to."""
        return bool((self.token and self.chat) or self.urls)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of the environment. Raises ``SettingsError`` for a level that there is not."""
    name = environ.get("ALERT_LEVEL", Severity.INFO.name)
    if name.upper() not in Severity.__members__:
        levels = ", ".join(one.name.lower() for one in Severity)
        raise SettingsError(f"ALERT_LEVEL={name}: no such level; say one of {levels}")
    return Settings(
        Severity[name.upper()],
        environ.get("TELEGRAM_BOT_TOKEN"),
        environ.get("TELEGRAM_CHAT_ID"),
        environ.get("TELEGRAM_API_URL", TELEGRAM).rstrip("/"),
        tuple(environ.get("ALERT_URLS", "").replace(",", " ").split()),
        environ.get("HEARTBEAT_URL"),
    )


def send(settings: Settings, told: Digest, say: Say) -> None:
    """Send a digest to every channel, if it is grave enough; ``say`` what did not get through."""
    if told.severity < settings.level:
        return
    if settings.token and settings.chat:
        _telegram(settings, settings.token, told, say)
    if settings.urls:
        _others(settings.urls, told, say)


def text(told: Digest) -> str:
    """A digest as Telegram's HTML, cut between lines where it would be too long."""
    headline, *lines = (_shortened(html.escape(line, quote=False)) for line in (told.headline, *told.lines))
    return _cut([f"{_MARKS[told.severity]} <b>{headline}</b>", *lines])


def _shortened(line: str) -> str:
    """A line that alone would not fit, cut before an entity and never within."""
    limit = LONGEST_TEXT // 4
    if len(line) <= limit:
        return line
    head, entity, tail = line[:limit].rpartition("&")
    return (head if entity and ";" not in tail else line[:limit]) + "…"


def _cut(lines: Sequence[str]) -> str:
    for number in range(len(lines), 0, -1):
        more = f"\n… and {counted(len(lines) - number, 'line')} more" if number < len(lines) else ""
        whole = "\n".join(lines[:number]) + more
        if len(whole) <= LONGEST_TEXT:
            return whole
    return ""


class _TryAgainError(Exception):
    """The service asks for patience."""

    def __init__(self, problem: str, pause: float | None = None) -> None:
        super().__init__(problem)
        self.pause = pause


def _telegram(settings: Settings, token: str, told: Digest, say: Say) -> None:
    body = {
        "chat_id": settings.chat,
        "text": text(told),
        "parse_mode": "HTML",
        "disable_web_page_preview": True,
        "disable_notification": told.severity is Severity.INFO or not told.new,
    }
    problem = _patiently(lambda: _post(f"{settings.telegram}/bot{token}/sendMessage", body))
    if problem:
        say(f"Telegram was not told: {problem}")


def _patiently(act: Callable[[], str | None]) -> str | None:
    """The problem that is left after all attempts, if one is."""
    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS), wait=_pause, retry=retry_if_exception_type(_TryAgainError), reraise=True
    )
    try:
        return attempts(act)
    except _TryAgainError as error:
        return str(error)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause if isinstance(error, _TryAgainError) else None
    return min(max(asked, 0.0) if asked is not None else 2.0 ** (state.attempt_number - 1), LONGEST_PAUSE)


def _post(url: str, body: Mapping[str, Any]) -> str | None:
    """What the service objects to, if it does. Errors of ``requests`` hold the URL, so only their kind is told."""
    try:
        reply = requests.post(url, json=body, timeout=SECONDS_TO_ANSWER)
    except _UNSENT as error:
        raise _TryAgainError(_kind(error)) from None
    if reply.status_code == _TOO_MANY or reply.status_code >= _SERVER_ERROR:
        raise _TryAgainError(f"it answers {reply.status_code}", _retry_after(reply))
    return None if reply.ok else f"it answers {reply.status_code}: {_said(reply)}"


def _kind(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {SECONDS_TO_ANSWER:.0f} s"
    return "no connection" if isinstance(error, requests.ConnectionError) else type(error).__name__


def _retry_after(reply: requests.Response) -> float | None:
    told = _json(reply).get("parameters", {})
    seconds = told.get("retry_after") if isinstance(told, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else None


def _said(reply: requests.Response) -> str:
    return str(_json(reply).get("description", reply.reason))


def _json(reply: requests.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except requests.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _others(urls: Sequence[str], told: Digest, say: Say) -> None:
    """Whatever channels the package apprise knows."""
    try:
        import apprise  # noqa: PLC0415 - an extra, slow to import
    except ImportError:
        say("ALERT_URLS is set, but the package apprise is not installed: pip install apprise")
        return
    logging.getLogger("apprise").propagate = False  # it would print addresses
    channels = apprise.Apprise()
    for place, url in enumerate(urls, 1):
        if not channels.add(url):
            say(f"ALERT_URLS: number {place} is not an address that apprise knows")
    if len(channels) and not channels.notify(title=told.headline, body="\n".join(told.lines) or told.headline):
        say("ALERT_URLS: not everybody could be told")


def beat(settings: Settings, sign: str, say: Say) -> None:
    """Tell a monitor that a run started (``start``), went well (empty), or failed (``fail``)."""
    if not settings.heartbeat:
        return
    try:
        reply = requests.get(_beside(settings.heartbeat, sign), timeout=SECONDS_TO_ANSWER)
    except _UNSENT as error:
        say(f"the heartbeat did not get through: {_kind(error)}")
    else:
        if not reply.ok:
            say(f"the heartbeat did not get through: it answers {reply.status_code}")


def _beside(url: str, sign: str) -> str:
    """The address of a sign: one more part of the path."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path="/".join(filter(None, [parts.path.rstrip("/"), sign]))))
