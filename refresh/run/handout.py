"""Hands the parts of steps to workers, and sees to it that every asset ends with an outcome. Knows no Dask.

Each worker has some slots, and each slot one part at a time. A part that is lost with its worker is handed to another
one, without the assets that it has reported; a part whose builder ends by itself is not tried again, as on one machine.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from refresh.errors import ExitCode
from refresh.records import Outcome
from refresh.run.hands import Hands
from refresh.run.jobs import Attempt, Job, Part
from refresh.run.parts import cut
from refresh.run.staff import Staff
from refresh.run.unreached import silent_end
from refresh.wording import counted

SECONDS_TO_BE_KILLED = 3.0
"""How long a worker may take to tell that a builder was killed."""


class HandOut:
    """All steps that are handed out at a time. Every method is called in one thread."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._staff = Staff()
        self._jobs: list[Job] = []
        self._attempts: dict[str, Attempt] = {}
        self._numbers = count(1)

    def add(self, job: Job) -> None:
        """Begin with a step."""
        self._staff.forgive()
        self._jobs.append(job)
        self.go_on()

    def stop(self, job: Job, number: int) -> None:
        """Pass on a signal to the builders of a step, and hand out nothing more of it."""
        if number == signal.SIGKILL and job.killed_at is not None:
            return
        job.is_stopping = True
        job.waiting.clear()
        if number == signal.SIGKILL:
            job.killed_at = time.monotonic()
        for key, attempt in self._of(job):
            if attempt.pid is None:
                self._give_up(key)
            else:
                self._hands.send(key, attempt.worker, number)
        self.go_on()

    def message(self, message: Mapping[str, Any]) -> None:
        """What a worker says of a part."""
        attempt = self._attempts.get(message.get("key", ""))
        if attempt is None:  # of another run, or of a worker that was given up
            return
        attempt.name = message.get("by", attempt.name)
        if "began" in message:
            attempt.pid, attempt.host = message["began"], message["host"]
            if attempt.job.is_stopping:
                self._hands.send(message["key"], attempt.worker, signal.SIGTERM)
        self._pass_on(attempt, message.get("outcomes", b""), message.get("output", b""))
        if "lacks" in message:
            self._pass_over(message["key"], message["lacks"])
        elif "refused" in message:
            self._finish(message["key"], f"{attempt.place}: {message['refused']}", is_useless=True)
        elif "ended" in message:
            self._ended(message["key"], attempt, message["ended"])

    def failed(self, key: str, reason: str) -> None:
        """A worker could not even start a builder."""
        attempt = self._attempts.get(key)
        if attempt:
            self._finish(key, f"{attempt.place}: {reason}", is_useless=True)

    def workers(self, slots: Mapping[str, int]) -> None:
        """The workers that there are now, and how many builders each may have."""
        for worker in {attempt.worker for attempt in self._attempts.values()}.difference(slots):
            self.lost(worker)
        self._staff.update(slots)
        self.go_on()

    def lost(self, worker: str) -> None:
        """A worker is gone: what it had is handed to another one, once its builders can do no more."""
        self._staff.remove(worker)
        for key, attempt in list(self._attempts.items()):
            if attempt.worker == worker:
                self._staff.lost = f"{attempt.place} was lost"
                self._give_up(key)
        self.go_on()

    def break_off(self, reason: str) -> None:
        """There is no scheduler any more, so nothing can be learned of any worker."""
        self._staff.give_up(reason)
        for key in list(self._attempts):
            self._give_up(key)
        self.go_on()

    def dropped(self, key: str) -> None:
        """A worker has left a part unfinished, as one does that is asked to end."""
        attempt = self._attempts.get(key)
        if attempt:
            self._staff.lost = f"{attempt.place} dropped its work"
            self._give_up(key)
            self.go_on()

    def close(self) -> None:
        """Nothing is learned of any builder any more."""
        for job in self._jobs:
            job.feed.drop()

    def go_on(self) -> None:
        """Hand out what can be handed out, and end what is over. Is called whenever something changes, and often."""
        for job in list(self._jobs):
            self._kill_overdue(job)
            self._cut(job)
        self._hand_out()
        self._report_hopeless()
        for job in list(self._jobs):
            self._end(job)

    def _end(self, job: Job) -> None:
        """End a step of which nothing more is to come, once everything is read or nobody reads any more."""
        job.feed.flush()
        if job.is_cut and not (job.waiting or job.held or self._of(job)):
            job.feed.finish()
        if job.is_overdue(SECONDS_TO_BE_KILLED):
            job.feed.drop()
        if job.feed.is_closed:
            self._jobs.remove(job)

    def _of(self, job: Job) -> list[tuple[str, Attempt]]:
        return [(key, attempt) for key, attempt in self._attempts.items() if attempt.job is job]

    def _kill_overdue(self, job: Job) -> None:
        if job.is_overdue(SECONDS_TO_BE_KILLED):
            for key, _ in self._of(job):
                self._give_up(key)

    def _cut(self, job: Job) -> None:
        """Cut a step once it is known how many workers there are."""
        if job.is_cut or not (self._staff.slots or job.is_stopping or self._staff.is_hopeless):
            return
        job.is_cut = True
        slots = self._staff.useful
        if not job.is_stopping:
            parts = cut(job.step.tasks, workers=max(len(slots), 1), slots=sum(slots.values()))
            job.waiting = [Part.of(tasks) for tasks in parts]

    def _hand_out(self) -> None:
        """Fill the slots, those of the least busy worker first, with parts of the step that has the fewest at work."""
        while True:
            worker = self._staff.free([attempt.worker for attempt in self._attempts.values()])
            jobs = [job for job in self._jobs if job.waiting]
            if worker is None or not jobs:
                return
            job = min(jobs, key=lambda job: len(self._of(job)))
            self._submit(job, job.waiting.pop(0), worker)

    def _submit(self, job: Job, part: Part, worker: str) -> None:
        key = f"daily-refresh-{job.run.run_id}-{job.step.builder.key}-{next(self._numbers)}"
        self._attempts[key] = Attempt(job=job, part=part, worker=worker)
        arguments = [*job.step.arguments_for(list(part.tasks)), *job.run.arguments]
        self._hands.submit(key, worker, arguments)

    def _report_hopeless(self) -> None:
        if self._staff.is_hopeless:
            for job in self._jobs:
                for part in job.waiting:
                    job.unreached(part, self._staff.despair)
                job.waiting.clear()

    def _pass_on(self, attempt: Attempt, outcomes: bytes, output: bytes) -> None:
        for line in outcomes.splitlines():
            attempt.part.tasks.pop(Outcome.parse(line.decode()).id, None)
        for words in output.decode(errors="replace").splitlines():
            attempt.last_line = words.strip() or attempt.last_line
        attempt.job.feed.put(attempt.job.channel, outcomes)
        attempt.job.feed.put(attempt.job.output, output)

    def _ended(self, key: str, attempt: Attempt, code: int | None) -> None:
        """A builder has ended. One that could not start had a worker with which something is wrong."""
        if (code is None or code < 0) and attempt.pid is not None:
            self._end_sessions(attempt, lambda: None)
        is_useless = code == ExitCode.CANNOT_START
        self._finish(key, f"{attempt.place}: {silent_end(code, attempt.last_line)}", is_useless=is_useless)

    def _pass_over(self, key: str, variable: str) -> None:
        """A worker without the address of this database is there for others: another one gets the part."""
        attempt = self._attempts.pop(key)
        self._hands.forget(key)
        way_out = f"set {variable} (named by REFRESH_DB_VARIABLE) and start the worker again if it should"
        lack = f"{attempt.place}: it has no {variable} in its environment, so it gets nothing of this run; {way_out}"
        self._staff.refuse(attempt.worker, lack)
        attempt.job.feed.put(attempt.job.output, f"{lack}\n".encode())
        if not attempt.job.is_stopping:
            attempt.job.waiting.insert(0, attempt.part)
        self.go_on()

    def _finish(self, key: str, reason: str, *, is_useless: bool) -> None:
        """Nothing more comes from an attempt, and it is not tried again."""
        attempt = self._attempts.pop(key)
        self._hands.forget(key)
        if is_useless:
            self._staff.refuse(attempt.worker, reason)
        attempt.job.unreached(attempt.part, reason)
        self.go_on()

    def _give_up(self, key: str) -> None:
        """Nothing more is known of an attempt. Its builder may still hold locks, which the next one would wait for."""
        attempt = self._attempts.pop(key)
        self._hands.forget(key)
        attempt.job.held += 1
        if attempt.pid is None:
            self._try_again(attempt)
        else:
            self._end_sessions(attempt, lambda: self._try_again(attempt))

    def _end_sessions(self, attempt: Attempt, then: Callable[[], None]) -> None:
        run, pid, host = attempt.job.run, attempt.pid, attempt.host
        self._hands.aside(lambda: run.end_sessions(pid, host), then)

    def _try_again(self, attempt: Attempt) -> None:
        job, part = attempt.job, attempt.part
        job.held -= 1
        if part.tasks and not job.is_stopping:
            part.losses += 1
            if part.losses > job.run.retries:
                times = counted(part.losses, "time")
                reason = self._staff.lost if part.losses == 1 else f"{self._staff.lost}, the last of {times}"
                job.unreached(part, f"{reason}; --retries {job.run.retries} allows no other try")
            else:
                job.waiting.insert(0, part)
        self.go_on()
