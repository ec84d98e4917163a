"""The folder of a model: where it is, and what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from keymiss.errors import ModelError
from keymiss.reader.calibration import CALIBRATION
from keymiss.reader.hub import find, is_hub_name, pull
from keymiss.reader.model_cache import digest_of
from keymiss.reader.tokenizer import tokenizer_files
from keymiss.reader.weights import weight_files

BUNDLED_MODEL = "minilm-qa"
"""The small reader that comes with the package."""

BUNDLED_FOLDER = Path(__file__).parent / "models" / BUNDLED_MODEL

READING = 4
"""The version of this reading code: raise it when the same files give other answers or graphs."""


def model_folder(name_or_path: str | Path) -> Path:
    """The folder of a model, given as a path, as the bundled model's name, or as a name on the hub.

    A model on the hub is downloaded, unless it lies in the hub's cache already.

    Raises:
        ModelError: there is no such model, or it cannot be downloaded.
    """
    if name_or_path == BUNDLED_MODEL:
        return BUNDLED_FOLDER
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    if not is_hub_name(str(name_or_path)):
        raise ModelError(
            f"{folder} is not a model folder; give a folder with config.json, tokenizer.json and "
            f"model.safetensors, {BUNDLED_MODEL!r}, or the name of a model on the hub"
        )
    return find(str(name_or_path)) or pull(str(name_or_path))


def model_name(folder: Path) -> str:
    """The name by which people know the model in a folder."""
    if folder.parent.name == "snapshots":  # in the hub's cache: models--owner--name/snapshots/...
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return folder.name


def model_files(folder: Path) -> list[Path]:
    """The files of a model that its answers depend on."""
    files = [folder / "config.json", *tokenizer_files(folder), *weight_files(folder)]
    return files + [folder / CALIBRATION] * (folder / CALIBRATION).exists()


def model_version(folder: Path, files: Sequence[Path]) -> str:
    """A name for the content of a model's files and for this code's way of reading them."""
    digest = hashlib.sha256(f"{READING} {digest_of(files)}".encode())
    short = model_name(folder).rpartition("/")[2][:40]
    return f"{short}-{digest.hexdigest()[:12]}"
