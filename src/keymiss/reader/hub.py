"""Downloads models by their names on the Hugging Face hub, each of them once.

The files lie in the hub's own cache, which other libraries share. They are read from there without
using the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keymiss.errors import ModelError
from keymiss.reader.encoder_config import FAMILIES
from keymiss.reader.model_cache import read_object

FILES = [
    "*.json",
    "vocab.txt",
    "merges.txt",
    "model.safetensors",
    "model-*-of-*.safetensors",
]
"""The files that a reader needs. Weights stored as a pickle are never downloaded."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model in the hub's cache, of a family that the reader knows."""

    name: str
    folder: Path
    bytes: int


def is_hub_name(name: str) -> bool:
    """Whether this can be the name of a model on the hub: `model`, or `owner/model`."""
    parts = name.split("/")
    return len(parts) <= 2 and all(part and part[0].isalnum() for part in parts)


def find(name: str) -> Path | None:
    """The folder of a model in the hub's cache; None when the model is missing or incomplete."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, IncompleteSnapshotError

    try:
        folder = Path(snapshot_download(name, allow_patterns=FILES, local_files_only=True))
    except (FileNotFoundError, HFValidationError, IncompleteSnapshotError):
        return None
    return folder if (folder / "config.json").is_file() else None


def pull(name: str) -> Path:
    """Downloads the missing or changed files of a model, and returns its folder.

    What an earlier try has downloaded is not downloaded again.

    Raises:
        ModelError: there is no such model, it is not open to this user, it has no weights as
            safetensors, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        IncompleteSnapshotError,
        RepositoryNotFoundError,
    )

    try:
        folder = Path(snapshot_download(name, allow_patterns=FILES))
    except HFValidationError:
        raise ModelError(f"{name!r} cannot be the name of a model on the hub") from None
    except GatedRepoError:
        raise ModelError(
            f"{name} is only for users who accept its terms; accept them on its page, and set "
            "HF_TOKEN to your token"
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"the hub has no model {name!r}, or shows it only to users with a token; check the "
            "name, or set HF_TOKEN"
        ) from None
    except (OSError, IncompleteSnapshotError) as error:
        raise ModelError(
            f"{name} cannot be downloaded: {_first_line(error)}; try again (what has arrived "
            "is kept), or give a folder that holds the model"
        ) from None
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{name} cannot be used: {_no_weights(name)}")
    return folder


def pulled() -> Iterator[Pulled]:
    """The models in the hub's cache whose family the reader knows, sorted by name."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda one: one.repo_id):
        folder = find(repository.repo_id) if repository.repo_type == "model" else None
        config = read_object(folder / "config.json") if folder else {}
        if folder and config.get("model_type") in FAMILIES:
            yield Pulled(repository.repo_id, folder, repository.size_on_disk)


def _first_line(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")


def _no_weights(name: str) -> str:
    from huggingface_hub import list_repo_files

    if any(file.endswith((".bin", ".pt", ".ckpt")) for file in list_repo_files(name)):
        return (
            "its weights are a pickle, which can run any program when it is read; look for a "
            "version with model.safetensors"
        )
    return "it has no model.safetensors"
