"""A scheduler and workers of this machine, for one run. Nobody else's machine reaches them."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from refresh.run.process import start_python

HOST = "127.0.0.1"


def settings(folder: Path) -> dict[str, object]:
    """What Dask does not do here: serve pages, watch where its threads are, and write outside of a folder."""
    return {
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.profile.enabled": False,
        "temporary-directory": str(folder),
    }


async def opened(stack: AsyncExitStack, *, number: int, environ: Mapping[str, str]) -> str:
    """Start a scheduler in this process and workers in others, until the stack is closed. Returns its address."""
    import dask  # noqa: PLC0415 - an extra, slow to import
    from distributed import Scheduler  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="daily-refresh-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    with dask.config.set(settings(folder)):
        scheduler = Scheduler(host=HOST, port=0, protocol="tcp", dashboard=False, dashboard_address=f"{HOST}:0")
        await stack.enter_async_context(scheduler)
    for position in range(1, number + 1):
        _start_worker(stack, [scheduler.address, str(position), str(folder)], environ)
    return str(scheduler.address)


def _start_worker(stack: AsyncExitStack, arguments: list[str], environ: Mapping[str, str]) -> None:
    line, theirs = socket.socketpair()
    stack.callback(line.close)
    with theirs:
        command = [sys.executable, "-m", "refresh.run.local_worker", *arguments, str(theirs.fileno())]
        process = start_python(command, environ, theirs.fileno())
    stack.callback(process.wait)
    stack.callback(process.kill)
