"""Who holds a lock, so that another process of the same machine can see that it has died."""

import os
from functools import lru_cache
from pathlib import Path

from gptfl.spec.base import SpecModel


class Holder(SpecModel):
    """A process, told from all others on all machines."""

    machine: str
    """The boot of the machine and the process namespace in it: numbers mean the same there."""
    pid: int
    started: str
    """Clock ticks since the boot: a number is used again."""


def this_process() -> Holder | None:
    """None where the system does not tell."""
    machine, started = _machine(), _started(os.getpid())
    if machine is None or started is None:
        return None
    return Holder(machine=machine, pid=os.getpid(), started=started)


def is_gone(holder: Holder) -> bool:
    """Whether it is known to be dead; of a process elsewhere nothing is known."""
    return holder.machine == _machine() and holder.started != _started(holder.pid)


@lru_cache
def _machine() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When the process of that number was started, or None when there is none or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ("Z", "X") else fields[18]
