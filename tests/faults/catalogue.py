"""All faults, in groups, and those few that strike in every test run."""

from __future__ import annotations

from faults.disks import DISKS
from faults.embedded import EMBEDDED
from faults.interrupted import INTERRUPTED
from faults.machines import MACHINES
from faults.others import OTHERS, OURS, SOURCES
from faults.readers import SERVICES, STREAMS
from faults.scene import Fault
from faults.servers import SERVERS
from faults.sessions import SESSIONS
from faults.signals import SIGNALS

GROUPS: dict[str, tuple[Fault, ...]] = {
    "Processes": SIGNALS,
    "Sessions and locks": SESSIONS,
    "Servers": SERVERS,
    "Disks and folders": DISKS,
    "The machine": MACHINES,
    "Readers of its output": STREAMS,
    "Services": SERVICES,
    "Others at work": OTHERS,
    "The source": SOURCES,
    "Our tables": OURS,
    "The embedded server": EMBEDDED,
    "Layouts": INTERRUPTED,
}
FAULTS = tuple(fault for faults in GROUPS.values() for fault in faults)
SAMPLE = tuple(faults[0] for faults in tuple(GROUPS.values())[::4])
