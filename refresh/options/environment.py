"""The environment: which settings there are beside those of options, and what the environment and ``.env`` say."""

from __future__ import annotations

from collections.abc import Mapping

from dotenv import dotenv_values

from refresh.options.declaration import Setting

SETTINGS = (
    Setting(
        name="REFRESH_DATA_DIR",
        help="folder in which the embedded PostgreSQL keeps its data",
        default="~/.local/share/daily-refresh, for root /var/lib/daily-refresh",
    ),
    Setting(
        name="PG_BIN_DIR",
        help="folder of the initdb, postgres and pg_ctl to use",
        default="those of the package",
        example="/usr/lib/postgresql/16/bin",
    ),
    Setting(name="TELEGRAM_BOT_TOKEN", help="token of the Telegram bot that sends alerts", default="no messages"),
    Setting(name="TELEGRAM_CHAT_ID", help="Telegram chat that receives alerts", default="no messages"),
    Setting(
        name="TELEGRAM_API_URL",
        help="server of the Telegram Bot API",
        default="https://api.telegram.org",
        example="https://api.telegram.org",
    ),
    Setting(
        name="ALERT_URLS",
        help="other alert channels, as addresses of the package apprise, with spaces between them",
        default="none",
    ),
    Setting(
        name="ALERT_LEVEL",
        help="the lowest severity that is sent: info, warning, error or critical",
        default="info",
        example="info",
    ),
    Setting(
        name="HEARTBEAT_URL",
        help="address to request at the start and end of a run, as healthchecks.io expects",
        default="none",
    ),
)
"""The settings that no option gives."""


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment over the ``.env`` of the current folder. An empty value counts as unset."""
    merged = {**dotenv_values(".env"), **environ}
    return {name: value for name, value in merged.items() if value}
