"""Bytes on their way into a descriptor whose reader must never hold up the writer."""

from __future__ import annotations

import os
from collections.abc import Sequence


class Feed:
    """Some descriptors, which are closed once everything is written or nobody reads any more."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._waiting = {descriptor: bytearray() for descriptor in descriptors}
        self._is_complete = False
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)

    def put(self, descriptor: int, data: bytes) -> None:
        """Hand over bytes for a descriptor, without waiting."""
        if descriptor in self._waiting:
            self._waiting[descriptor] += data
            self.flush()

    def finish(self) -> None:
        """There is nothing more to come."""
        self._is_complete = True
        self.flush()

    @property
    def is_closed(self) -> bool:
        """Whether all descriptors are closed."""
        return not self._waiting

    def flush(self) -> None:
        """Write what can be written now."""
        for descriptor, data in list(self._waiting.items()):
            try:
                while data:
                    del data[: os.write(descriptor, data)]
            except BlockingIOError:
                continue
            except OSError:  # its reader is gone
                data.clear()
            if self._is_complete:
                self._close(descriptor)

    def drop(self) -> None:
        """Close everything, whether it is written or not."""
        for descriptor in list(self._waiting):
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        os.close(descriptor)
        del self._waiting[descriptor]
