"""Whether there is memory for vectors: on this host, and in the servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

RESERVE_BYTES = 256 << 20
"""What stays free on a host."""

MEMINFO = Path("/proc/meminfo")
CGROUP_MEMORY = Path("/sys/fs/cgroup")
MEGABYTE = 1 << 20


class VectorsMode(StrEnum):
    """Whether a worker makes vectors: AUTO where there is memory for them."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class VectorsChoice:
    """Whether a worker makes and searches vectors, and why."""

    on: bool
    why: str

    def __str__(self) -> str:
        return f"{'on' if self.on else 'off'}: {self.why}"


def choose_vectors(
    mode: VectorsMode, memory: Iterable[Mapping[str, str]], available: int | None = None
) -> VectorsChoice:
    """Chooses by the memory that there is.

    The vectors of a corpus take about as much as the corpus: in the servers 390 bytes a sentence,
    in each worker 450.

    Args:
        memory: `INFO memory` of the servers that the worker serves.
        available: how many bytes processes of this host may still take; None looks.
    """
    if mode is not VectorsMode.AUTO:
        return VectorsChoice(mode is VectorsMode.ON, "as the worker was started")
    total = 0
    for info in memory:
        data, used, most = (
            _number(info, name) for name in ("used_memory_dataset", "used_memory", "maxmemory")
        )
        total += data
        if most and used + data > most:
            return VectorsChoice(
                False,
                f"a server holds {_shown(used)} and may hold {_shown(most)}; vectors need "
                f"{_shown(data)} more",
            )
    room = available_bytes() if available is None else available
    if room < total + RESERVE_BYTES:
        return VectorsChoice(
            False, f"{_shown(room)} are free here; vectors need {_shown(total + RESERVE_BYTES)}"
        )
    return VectorsChoice(True, f"there is memory: {_shown(room)} are free here")


def memory_is_short() -> bool:
    """Whether nothing more should be kept in memory."""
    return available_bytes() < RESERVE_BYTES // 2


def available_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP_MEMORY) -> int:
    """How many bytes processes may still take: the lesser of what the host and the container have.

    https://docs.kernel.org/admin-guide/cgroup-v2.html, https://man7.org/linux/man-pages/man5/proc.5
    """
    return min(_of_host(meminfo), _of_container(cgroup))


def _of_host(meminfo: Path) -> int:
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return 1 << 62


def _of_container(cgroup: Path) -> int:
    """The container's limit less what it has taken, without pages of files that can be dropped."""
    limit, used = _text(cgroup / "memory.max").strip(), _text(cgroup / "memory.current").strip()
    if not limit.isdigit() or not used.isdigit():
        return 1 << 62
    files = 0
    for line in _text(cgroup / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "active_file") and value.isdigit():
            files += int(value)
    return max(0, int(limit) - int(used) + files)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _number(info: Mapping[str, str], name: str) -> int:
    value = info.get(name, "")
    return int(value) if value.isdigit() else 0


def _shown(count: int) -> str:
    return f"{count / MEGABYTE:,.0f} MiB"
