"""Bytes for a reader that may sleep, or be gone."""

from __future__ import annotations

import os

from refresh.run.feed import Feed

MEGABYTE = b"x" * (1 << 20)


def test_reader_that_sleeps_holds_up_nobody() -> None:
    """What a pipe has no room for waits, and is written once it is read; then the pipe is closed."""
    reader, writer = os.pipe()
    feed = Feed([writer])
    feed.put(writer, MEGABYTE)
    feed.finish()
    read = os.read(reader, 1 << 10)
    assert read
    feed.flush()
    while data := os.read(reader, 1 << 16):
        read += data
        feed.flush()
    assert read == MEGABYTE
    assert feed.is_closed
    os.close(reader)


def test_reader_that_is_gone() -> None:
    """What nobody reads any more is dropped."""
    reader, writer = os.pipe()
    feed = Feed([writer])
    os.close(reader)
    feed.put(writer, MEGABYTE)
    feed.finish()
    assert feed.is_closed


def test_everything_is_dropped() -> None:
    """A builder that was killed has nothing to tell, whether its output is read or not."""
    reader, writer = os.pipe()
    feed = Feed([writer])
    feed.put(writer, MEGABYTE)
    feed.drop()
    assert feed.is_closed
    feed.put(writer, b"late")
    os.close(reader)
