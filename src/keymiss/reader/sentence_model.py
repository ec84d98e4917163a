"""The files of a sentence encoder, as sentence-transformers saves them, and what they ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keymiss.errors import ModelError
from keymiss.reader.checkpoint import BUNDLED_FOLDER, model_folder
from keymiss.reader.tokenizer import tokenizer_files
from keymiss.reader.weights import weight_files

BUNDLED_ENCODER = "all-MiniLM-L6-v2"
"""The encoder that comes with the package."""

ENCODER_FOLDER = BUNDLED_FOLDER.parent / BUNDLED_ENCODER

MODULES, LIMITS = "modules.json", "sentence_bert_config.json"


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """An encoder's folder, the folder of what it shares with another model, and the most tokens of
    a text, special ones included; None when the folder does not say.

    The bundled encoder has the tokenizer and the word embeddings of the bundled reader, which was
    trained from it while these stayed as they were.
    """

    folder: Path
    base: Path | None
    most_tokens: int | None

    @property
    def tokenizer_folder(self) -> Path:
        """The folder that holds the tokenizer."""
        return self.base or self.folder

    @property
    def files(self) -> list[Path]:
        """The files that the vectors depend on."""
        of_base = weight_files(self.base) if self.base else []
        settings = [self.folder / LIMITS] * (self.folder / LIMITS).is_file()
        tokenizer = tokenizer_files(self.tokenizer_folder)
        return [
            self.folder / "config.json",
            *settings,
            *tokenizer,
            *weight_files(self.folder),
            *of_base,
        ]


def sentence_model(name_or_path: str | Path) -> SentenceModel:
    """The files of an encoder: of a folder, of the bundled encoder, or of a name on the hub.

    Raises:
        ModelError: there is no such model, or its vectors are not means of states.
    """
    if name_or_path == BUNDLED_ENCODER:
        return SentenceModel(ENCODER_FOLDER, BUNDLED_FOLDER, _most_tokens(ENCODER_FOLDER))
    folder = model_folder(name_or_path)
    _check_modules(folder)
    return SentenceModel(folder, None, _most_tokens(folder))


def _most_tokens(folder: Path) -> int | None:
    limits = _read(folder / LIMITS)
    most = limits.get("max_seq_length") if isinstance(limits, dict) else None
    return most if type(most) is int and most > 2 else None


def _check_modules(folder: Path) -> None:
    """Refuses models that do more than take the mean: other vectors would come out."""
    modules = _read(folder / MODULES)
    for module in modules if isinstance(modules, list) else ():
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise ModelError(f"{folder}: its vectors pass a module {kind}, which is not known")
        if kind == "Pooling":
            _check_pooling(folder / str(module.get("path", "")) / "config.json")


def _check_pooling(path: Path) -> None:
    pooling = _read(path)
    modes = [name for name, is_on in _modes(pooling) if is_on]
    if modes not in ([], ["pooling_mode_mean_tokens"]):
        raise ModelError(
            f"{path}: vectors are made by {', '.join(modes)}; "
            "only pooling_mode_mean_tokens is known"
        )


def _modes(pooling: Any) -> Sequence[tuple[str, Any]]:
    items = pooling.items() if isinstance(pooling, dict) else ()
    return [(name, value) for name, value in items if name.startswith("pooling_mode_")]


def _read(path: Path) -> Any:
    """What a JSON file holds; None when there is no such file.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
