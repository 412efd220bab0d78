"""A real scheduler and real workers of a Dask cluster on this machine, each with an environment of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from programs import PROJECT
from running import Refresh
from waiting import eventually

HOST = "127.0.0.1"
VARIABLE = "PRICES_DB_URL"
"""That from which workers read the address of the database."""
TWO = ("--bars", "--builders", "1d,multi_tf")
QUIET = ["--no-dashboard", "--host", HOST]


class Cluster:
    """A scheduler, and the workers by name. Whatever is killed can be started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.scheduler, self.address = self._start_scheduler()

    def _start(self, module: str, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
        settings = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(PROJECT)}
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *QUIET, *arguments],
                cwd=self._folder,
                env={**settings, "TMPDIR": str(self._folder), **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _start_scheduler(self) -> tuple[subprocess.Popen[bytes], str]:
        file = Path(tempfile.mkdtemp(dir=self._folder), "scheduler")
        process = self._start("dask_scheduler", "--port", "0", "--scheduler-file", str(file))
        assert eventually(lambda: file.exists() and file.read_text().endswith("}"))
        return process, json.loads(file.read_text())["address"]

    def start_again(self) -> None:
        """Another scheduler, and no worker yet."""
        self.close()
        (self._folder / "log").unlink()
        self.scheduler, self.address = self._start_scheduler()

    def need(self, **environs: dict[str, str]) -> None:
        """Have exactly these workers, each with these variables, besides those that are needed to find the package."""
        if self.scheduler.poll() is not None:
            self.start_again()
        for name in set(self.workers).difference(environs):
            end(self.workers.pop(name))
        for name, environ in environs.items():
            if name not in self.workers or self.workers[name].poll() is not None:
                self.workers[name] = self._start(
                    "dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--name", name,
                    "--local-directory", str(self._folder), **environ,
                )  # fmt: skip
        assert eventually(lambda: self.known() == set(environs)), self.log()

    def known(self) -> set[str]:
        """The names of the workers that the scheduler knows."""
        known: set[str] = set()
        for what, name in re.findall(r"(Register|Remove) worker addr: \S+ name: (\S+)", self.log()):
            known = known | {name} if what == "Register" else known - {name}
        return known

    def log(self) -> str:
        """What scheduler and workers have written."""
        return (self._folder / "log").read_text(encoding="utf-8")

    def close(self) -> None:
        """End everything."""
        for process in (*self.workers.values(), self.scheduler):
            end(process)
        self.workers.clear()


def start(folder: Path, address: str, where: str, *arguments: str, **environ: str) -> Refresh:
    """A run on a cluster, of two builders unless something else is asked for."""
    settings = {"REFRESH_CLUSTER": where, "REFRESH_DB_VARIABLE": VARIABLE, **environ}
    return Refresh(folder, address, *(arguments or TWO), **settings)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def recorded(address: str) -> Iterator[tuple[str, bytearray]]:
    """Another address of a scheduler, and all that goes through it in either direction."""
    host, _, port = address.removeprefix("tcp://").partition(":")
    passed = bytearray()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                passed.extend(data)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client = opened.enter_context(listener.accept()[0])
                server = opened.enter_context(socket.create_connection((host, int(port))))
                for ends in ((client, server), (server, client)):
                    threads.append(threading.Thread(target=copy, args=ends))
                    threads[-1].start()

    threads = [threading.Thread(target=serve)]
    with ExitStack() as opened, socket.create_server((HOST, 0)) as listener:
        threads[0].start()
        yield f"tcp://{HOST}:{listener.getsockname()[1]}", passed
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
