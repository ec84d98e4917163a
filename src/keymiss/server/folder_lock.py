"""One folder, one server: the server process itself holds a lock on its data folder.

The lock is an open file that the server inherits (flock(2)). It lasts as long as the server and its
children run, whatever process started the server, and it is gone with them, however they end.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keymiss.errors import SetupError

LOCK = "keymiss.lock"

LOCK_SECONDS = 1.0
"""How long to try: a server that was killed while it wrote a snapshot leaves a child, which ends a
moment later."""

LOCK_TRY_SECONDS = 0.02


@contextmanager
def locked_folder(folder: Path) -> Iterator[int]:
    """Locks a folder and yields the descriptor, which the server must inherit; at the end this
    process closes its own copy.

    Raises:
        SetupError: another server uses the folder; the message says which one.
    """
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(f"{path} cannot be opened: {error}") from None
    try:
        _lock(descriptor, folder)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                holders = holders_of(folder)
                who = " and ".join(holders) or "a process that cannot be seen from here"
                raise SetupError(
                    f"the data in {folder} is in use by {who}; end it, or choose another folder"
                ) from None
        except OSError as error:
            raise SetupError(f"{folder / LOCK} cannot be locked: {error}") from None
        time.sleep(LOCK_TRY_SECONDS)


def holders_of(folder: Path) -> list[str]:
    """The other processes that hold the folder's lock, in words, as far as /proc shows them."""
    path = str((folder / LOCK).resolve())
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with suppress(OSError):  # the process has ended, or belongs to another user
            if any(_holds(process, each, path) for each in (process / "fd").iterdir()):
                words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                found.append(f"process {process.name} ({' '.join(words).strip()[:100]})")
    return found


def _holds(process: Path, descriptor: Path, path: str) -> bool:
    """Whether this descriptor holds the lock: processes that wait for it open the file, too."""
    with suppress(FileNotFoundError):  # closed since it was listed: the process has others to ask
        if os.readlink(descriptor) == path:
            return "FLOCK" in (process / "fdinfo" / descriptor.name).read_text()
    return False
