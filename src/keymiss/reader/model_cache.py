"""The user's cache folder: it keeps files between starts, and all of them can be made again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

DIGESTS = "digests.json"
MOST_DIGESTS = 1000


def default_cache() -> Path:
    """The folder for files that keymiss can make again.

    It is `$XDG_CACHE_HOME/keymiss`, or else `~/.cache/keymiss` (XDG Base Directory Specification).
    """
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "keymiss"


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one when the file is missing or damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_object(path: Path, record: dict[str, Any]) -> None:
    """Replaces the file in one step.

    A file that cannot be written is not an error: it only costs time at every start.
    """
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock on this file, which is created, during a block; other processes wait for it.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest_of(files: Sequence[Path]) -> str:
    """One SHA-256 over the SHA-256 of each file, in hexadecimal.

    Hashing a gigabyte takes a second, so the digest of a file is kept, under the file's path,
    inode, size and time of change.
    """
    path = default_cache() / DIGESTS
    known = read_object(path)
    digests = {_identity(file): known.get(_identity(file)) for file in files}
    missing = [file for file in files if not isinstance(digests[_identity(file)], str)]
    if missing:
        digests |= {_identity(file): _sha256(file) for file in missing}
        kept = dict(list(known.items())[-MOST_DIGESTS:])
        write_object(path, kept | digests)
    joined = "".join(str(digest) for digest in digests.values())
    return hashlib.sha256(joined.encode()).hexdigest()


def _identity(path: Path) -> str:
    state = path.stat()
    return f"{path.resolve()} {state.st_ino} {state.st_size} {state.st_mtime_ns}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
