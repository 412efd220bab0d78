"""One worker of a run that brings its own: a process that runs one builder at a time, and ends with the run."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from refresh.run.local_workers import HOST, settings


async def _work(address: str, name: str, folder: Path) -> None:
    import dask  # noqa: PLC0415 - an extra, slow to import
    from distributed import Worker  # noqa: PLC0415

    with dask.config.set(settings(folder)):
        worker = Worker(
            address,
            name=name,
            nthreads=1,
            host=HOST,
            dashboard=False,
            dashboard_address=f"{HOST}:0",
            local_directory=str(folder),
            memory_limit=0,
        )
        await worker
    finished: Callable[[], Awaitable[None]] = worker.finished
    await finished()


def _end_with_run(line: socket.socket, folder: Path) -> None:
    """Nothing is ever sent, so the line falls silent only when the run is gone."""
    line.recv(1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def main(address: str, name: str, folder: Path, descriptor: int) -> None:
    """Work for the scheduler at an address, until it or the run is gone."""
    line = socket.socket(fileno=descriptor)
    threading.Thread(target=_end_with_run, args=[line, folder], daemon=True).start()
    asyncio.run(_work(address, name, folder))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
