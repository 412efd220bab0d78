"""What the figures were measured on, and that the server keeps what it has promised to keep."""

from __future__ import annotations

import os
import platform
from typing import Any

from sqlalchemy import Engine, text

_SAFE = ("fsync", "full_page_writes", "synchronous_commit")


def machine(engine: Engine) -> dict[str, Any]:
    """Cores, memory, operating system, Python, PostgreSQL, and the settings that speed must not be bought with."""
    with engine.connect() as connection:
        version = connection.execute(text("SHOW server_version")).scalar_one()
        settings = {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in _SAFE}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": version.split()[0],
        **settings,
    }


def first_line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    settings = ", ".join(f"{name} {machine[name]}" for name in _SAFE)
    return (
        f"{machine['cores']} cores, {machine['memory_gb']} GB, {machine['os']}, Python {machine['python']}, "
        f"PostgreSQL {machine['postgresql']} ({settings})"
    )
