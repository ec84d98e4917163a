"""How many threads compute: as many as this process may use processors."""

from __future__ import annotations

import os
from pathlib import Path

from keymiss.errors import ModelError

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def thread_count(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """The lesser of the processors that this process may run on and its container's CPU quota.

    The quota is that of control groups, version 2 (`cpu.max`) or 1 (`cpu.cfs_quota_us`), of this
    process's group or of one above it: https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    processors = len(os.sched_getaffinity(0))
    quotas = [quota for folder in _folders(cgroups, own) if (quota := _quota(folder)) is not None]
    return max(1, min([processors, *(int(quota + 0.5) for quota in quotas)]))


def checked_threads(threads: int | None) -> int:
    """The threads that are wanted, `thread_count` for None.

    Raises:
        ModelError: they are less than one.
    """
    if threads is not None and threads < 1:
        raise ModelError(f"{threads} threads cannot compute; give at least one")
    return threads or thread_count()


def _folders(cgroups: Path, own: Path) -> list[Path]:
    """The folders of this process's groups, and of those above them."""
    folders: dict[Path, None] = {}
    for line in _text(own).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        # In a container, the group's name may be that on the host: then only the root is there.
        path = root / name.lstrip("/")
        for folder in (path, *path.parents):
            folders[folder] = None
            if folder == root:
                break
    return list(folders)


def _quota(folder: Path) -> float | None:
    """How many processors the group may use; None when it may use all."""
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota = _text(folder / "cpu.cfs_quota_us").strip()
        period = _text(folder / "cpu.cfs_period_us")
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
