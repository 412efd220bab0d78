"""A thread that talks to the scheduler of a cluster, with the package ``distributed``, which only it imports.

Parts travel as tasks, each to the worker that was chosen for it. What workers say of them comes back as events.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from refresh.installation import VERSION
from refresh.run.handout import HandOut
from refresh.run.on_worker import TOPIC, build, send_signal

SECONDS_TO_ANSWER = 10.0
"""How long a scheduler may take to answer, and then until it has a worker."""
_SECONDS_TO_SIGNAL = 5.0
_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_TO_CLOSE = 5.0

Opening = Callable[[AsyncExitStack], Coroutine[Any, Any, str]]
"""Starts what has to be started, for as long as the stack is open. Returns the address of the scheduler."""


class Scheduler:
    """The thread. ``ready``: how many builders all workers run at once, or why there is no scheduler."""

    def __init__(
        self, opening: Opening, variable: str, *, workers: int = 1, seconds: float = SECONDS_TO_ANSWER
    ) -> None:
        """``variable``: what workers read the address of the database from. ``workers`` are waited for ``seconds``."""
        self.ready: concurrent.futures.Future[int] = concurrent.futures.Future()
        self.handout = HandOut(self)
        self._opening, self._variable, self._workers = opening, variable, workers
        self._seconds = seconds
        self._client: Any = None
        self._futures: dict[str, Any] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True, name="scheduler")
        self._thread.start()

    def call(self, work: Callable[..., object], *arguments: object) -> None:
        """Do something in the thread, soon. Raises ``OSError`` if the thread has ended."""
        try:
            self._loop.call_soon_threadsafe(work, *arguments)
        except RuntimeError:
            raise OSError("the connection to the scheduler was closed") from None

    def close(self) -> None:
        """End the thread, and whatever was started."""
        if self._thread.is_alive():
            with suppress(OSError, AttributeError):
                self.call(self._closing.set)
            self._thread.join(2 * _SECONDS_TO_CLOSE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run has to learn it
            if not self.ready.done():
                self.ready.set_exception(error)
        finally:
            self.handout.close()

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        silence()
        from distributed import Client  # noqa: PLC0415 - an extra, slow to import

        make_client: Callable[..., Any] = Client
        async with AsyncExitStack() as stack:
            address = await self._opening(stack)
            client = make_client(address, asynchronous=True, timeout=SECONDS_TO_ANSWER, set_as_default=False)
            stack.push_async_callback(self._close_client, client)
            self._client = await client
            client.subscribe_topic(TOPIC, lambda event: self.handout.message(event[1]))
            client.subscribe_topic("all", self._cluster_event)
            slots = await self._first_workers(address)
            self.handout.workers(slots)
            self.ready.set_result(sum(slots.values()))
            await self._follow(address)

    async def _first_workers(self, address: str) -> Mapping[str, int]:
        deadline = self._loop.time() + self._seconds
        slots: Mapping[str, int] = {}
        while len(slots) < self._workers and self._loop.time() < deadline and not self._closing.is_set():
            slots = await self._client.nthreads()
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS / 5)
        if not slots:
            raise OSError(f"the scheduler at {address} has no worker; start one with: dask worker {address}")
        return slots

    async def _follow(self, address: str) -> None:
        """Look after workers and builders until the run is over, or the scheduler is gone."""
        while not self._closing.is_set():
            try:
                self.handout.workers(await self._workers_now())
            except Exception as error:  # noqa: BLE001 - of a scheduler that is gone, anything may be raised
                self.handout.break_off(f"the scheduler at {address} is gone ({error or type(error).__name__})")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _SECONDS_BETWEEN_LOOKS)

    async def _workers_now(self) -> Mapping[str, int]:
        if self._client.status != "running":
            raise OSError("its connection was closed")
        slots: Mapping[str, int] = await asyncio.wait_for(self._client.nthreads(), SECONDS_TO_ANSWER)
        return slots

    async def _close_client(self, client: Any) -> None:
        with suppress(Exception):
            await asyncio.wait_for(client.close(timeout=_SECONDS_TO_CLOSE / 2), _SECONDS_TO_CLOSE)

    def _cluster_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        if event[1].get("action") == "remove-worker":
            self.handout.lost(event[1]["worker"])

    def submit(self, key: str, worker: str, arguments: Sequence[str]) -> None:
        """Let a worker start a builder."""
        future = self._client.submit(
            build, key, list(arguments), self._variable, VERSION,
            key=key, workers=[worker], allow_other_workers=False, pure=False, retries=0,
        )  # fmt: skip
        self._futures[key] = future
        self._spawn(self._watch(key, future))

    async def _watch(self, key: str, future: Any) -> None:
        """A task that fails never started a builder; one that ends without having told how was dropped."""
        with suppress(asyncio.CancelledError):
            error = await future.exception()
            if key not in self._futures:
                return
            if future.status == "finished":
                self.handout.dropped(key)
            elif future.status == "error":
                reason = f"it cannot start a builder ({type(error).__name__}: {error})"
                self.handout.failed(key, f"{reason}; install daily-refresh {VERSION} there")

    def forget(self, key: str) -> None:
        """Want nothing more of a part."""
        future = self._futures.pop(key, None)
        if future is not None:
            future.release()

    def send(self, key: str, worker: str, number: int) -> None:
        """Send a signal to a builder."""
        self._spawn(self._send(key, worker, number))

    async def _send(self, key: str, worker: str, number: int) -> None:
        with suppress(Exception):
            signalled = self._client.run(send_signal, key, int(number), workers=[worker])
            await asyncio.wait_for(signalled, _SECONDS_TO_SIGNAL)

    def aside(self, work: Callable[[], object], then: Callable[[], None]) -> None:
        """Do something that may take a while in a thread of its own, then something else in this one."""
        self._spawn(self._aside(work, then))

    async def _aside(self, work: Callable[[], object], then: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
        finally:
            then()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)


def silence() -> None:
    """Let Dask print nothing: what concerns a run is told in its own words."""
    import distributed  # noqa: PLC0415 - an extra, slow to import

    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).propagate = False
        for other in (name, *(known for known in logging.Logger.manager.loggerDict if known.startswith(f"{name}."))):
            logging.getLogger(other).handlers = [logging.NullHandler()]  # without any, Python prints by itself
    warnings.filterwarnings("ignore", module=r"distributed\b")
    warnings.filterwarnings("ignore", category=distributed.versions.VersionMismatchWarning)
