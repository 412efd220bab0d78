"""Disks that are full and folders that take no file, under the data, the log, the JSON and the page."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from databases import execute
from faults.ground import ALL
from faults.scene import Fault, MissedError, Scene, Struck, ends
from faults.signals import felt
from statements import ask
from waiting import eventually

from refresh.errors import ExitCode

MEGABYTE = 1 << 20
LARGE = 256 * MEGABYTE
Arguments = Callable[[Path], tuple[str, ...]]


@contextmanager
def disk(size: int) -> Iterator[Path]:
    """A disk of some bytes, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="refresh-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def resize(disk: Path, options: str) -> None:
    """Change a disk that is in use."""
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def full(scene: Scene, arguments: Arguments, **environ: str) -> Struck:
    """A disk has a few bytes left for a file that the run writes."""
    with disk(MEGABYTE) as folder:
        left = scene.draw.choice([0, 4096, 8192])
        (folder / "others").write_bytes(b"x" * (MEGABYTE - left))
        program = scene.start(*ALL, *arguments(folder), **environ)
        struck = scene.end(program)
        if "No space left on device" not in program.err + program.out:
            raise MissedError
        return struck


def read_only(scene: Scene, arguments: Arguments) -> Struck:
    """A folder takes no file."""
    with disk(MEGABYTE) as folder:
        resize(folder, "ro")
        program = scene.start(*ALL, *arguments(folder))
        struck = scene.end(program)
        if "Read-only file system" not in program.err + program.out:
            raise MissedError
        return struck


def log(folder: Path) -> tuple[str, ...]:
    """The log goes there."""
    return ("--log-dir", str(folder))


def json(folder: Path) -> tuple[str, ...]:
    """The run goes there as JSON."""
    return ("--json", str(folder / "run.json"))


def page(folder: Path) -> tuple[str, ...]:
    """The page goes there."""
    return ("--html", str(folder / "report.html"))


def full_of_data(scene: Scene) -> Struck:
    """The disk of the tables is full anywhere in the middle of a refresh."""
    name, space = scene.url.database, f"space_of_{scene.url.database}"
    ((size,),) = ask(scene.engine, "SELECT pg_database_size(current_database())")
    with disk(LARGE) as folder:
        subprocess.run(["chown", "--reference", scene.ground.server.base_dir + "/data", folder], check=True)
        execute(scene.ground.url, f"CREATE TABLESPACE {space} LOCATION '{folder}'")
        execute(scene.ground.url, f"ALTER DATABASE {name} SET TABLESPACE {space}")
        try:
            resize(folder, f"size={int(size) + scene.draw.randrange(64 << 10, MEGABYTE)}")
            program = scene.start(*ALL, "--retries", "1")
            struck = felt(scene.end(program))
            resize(folder, f"size={LARGE}")
            assert eventually(lambda: not scene.lasts()), scene.lasts()
            if "No space left on device" not in program.err + program.out + program.logged:
                raise MissedError
            return struck
        finally:
            resize(folder, f"size={LARGE}")
            execute(scene.ground.url, f"ALTER DATABASE {name} SET TABLESPACE pg_default")
            execute(scene.ground.url, f"DROP TABLESPACE {space}")


FILES = {"log": log, "JSON": json, "page": page}
BEFORE = ends(ExitCode.DONE, ExitCode.FAILED, ExitCode.USAGE, ExitCode.CANNOT_START)
DISKS = (
    Fault(name="the disk under the data is full", strike=full_of_data, codes=ends(ExitCode.FAILED), as_root=True),
    *(
        Fault(
            name=f"the disk under the {name} is full", strike=partial(full, arguments=there), codes=BEFORE, as_root=True
        )
        for name, there in FILES.items()
    ),
    *(
        Fault(
            name=f"the folder of the {name} is read-only",
            strike=partial(read_only, arguments=there),
            codes=BEFORE,
            as_root=True,
        )
        for name, there in FILES.items()
    ),
)
