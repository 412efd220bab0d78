"""Text on its way to a pipe whose reader sleeps: what is kept, what is dropped, and that nobody waits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest
from waiting import eventually

from refresh import outlet
from refresh.outlet import Outlet, Stream

NOTICE = "lines are missing here, because nobody read them in time"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe. What is written ends when the thread of an outlet is done with it."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def everything(reader: int, wanted: str) -> str:
    """What arrives until a text has arrived."""
    received = ""
    while wanted not in received:
        received += os.read(reader, 1 << 16).decode()
    return received


def test_order(pipe: tuple[int, int]) -> None:
    """Text arrives as it was written, from several streams of the same outlet too."""
    shared = Outlet(pipe[1])
    out, err = Stream(shared), Stream(shared)
    for number in range(1000):
        (out, err)[number % 2].write(f"{number}\n")
    assert everything(pipe[0], "999\n").split() == [str(number) for number in range(1000)]


def test_words_are_dropped(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest waiting lines are dropped whole, counted where they are missing, and the last ones arrive."""
    monkeypatch.setattr(outlet, "LONGEST_BACKLOG", 200_000)
    full = Outlet(pipe[1])
    stream = Stream(full)
    started = time.monotonic()
    for number in range(100_000):
        stream.write(f"line {number}")
        stream.write("\n")
    assert time.monotonic() - started < 30.0
    assert sum(len(data) for data, _ in full._pieces) <= 200_000
    lines = everything(pipe[0], "line 99999\n").splitlines()
    (notice,) = (line for line in lines if NOTICE in line)
    lost = int(notice.split()[1].replace(",", ""))
    numbers = [int(line.split()[1]) for line in lines if line.startswith("line ")]
    assert numbers == sorted(numbers)
    assert len(numbers) + lost in {100_000, 100_001}, "a line that was cut in two is in both"


def test_result_is_kept(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a result is dropped, however many words wait beside it."""
    monkeypatch.setattr(outlet, "LONGEST_BACKLOG", 1000)
    shared = Outlet(pipe[1])
    result, words = Stream(shared, is_result=True), Stream(shared)
    for number in range(20_000):
        result.write(f"result {number}\n")
        words.write(f"word {number}\n")
    assert shared.holds(only_results=True)
    lines = everything(pipe[0], "word 19999\n").splitlines()
    assert [line for line in lines if line.startswith("result")] == [f"result {number}" for number in range(20_000)]
    assert eventually(lambda: not shared.holds(only_results=False))


def test_reader_that_is_gone() -> None:
    """Writing does not raise; the outlet knows why nothing is written any longer."""
    reader, writer = os.pipe()
    os.close(reader)
    gone = Outlet(writer)
    stream = Stream(gone)
    stream.write("x\n")
    assert eventually(lambda: gone.error)
    assert isinstance(gone.error, BrokenPipeError)
    stream.write("y\n")
    assert not gone.holds(only_results=False)
    os.close(writer)


def test_descriptor_that_does_not_block(pipe: tuple[int, int]) -> None:
    """A full pipe that was made non-blocking is tried again."""
    os.set_blocking(pipe[1], False)
    stream = Stream(Outlet(pipe[1]))
    stream.write("x" * 300_000 + "\nend\n")
    assert len(everything(pipe[0], "end\n")) == 300_005


def test_sign_that_the_encoding_lacks(pipe: tuple[int, int]) -> None:
    """It is written as an escape: words are no reason to fail."""
    Stream(Outlet(pipe[1]), "ascii").write("Größe\n")
    assert everything(pipe[0], "\n") == "Gr\\xf6\\xdfe\n"


def test_no_thread_before_the_first_word(pipe: tuple[int, int]) -> None:
    """A program that prints nothing starts no thread."""
    before = threading.active_count()
    Stream(Outlet(pipe[1])).write("")
    assert threading.active_count() == before


def test_no_thread_is_left(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no thread, whoever prints writes."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    full = Outlet(pipe[1])
    Stream(full).write("one\n")
    Stream(full).write("two\n")
    assert not full.holds(only_results=False)
    assert os.read(pipe[0], 100) == b"one\ntwo\n"
