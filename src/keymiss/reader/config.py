"""The shape of a BERT model, from the config.json beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from keymiss.reader.errors import ModelError


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The fields of a Hugging Face BERT configuration that change what is computed."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float


def load_config(folder: Path) -> BertConfig:
    """Reads `config.json`.

    Raises:
        ModelError: the file is missing, is no JSON object, or describes another kind of model.
    """
    path = folder / "config.json"
    raw = _read_object(path)
    if raw.get("model_type") != "bert":
        raise ModelError(f"{path}: model_type is {raw.get('model_type')!r}; only 'bert' is known")
    if raw.get("hidden_act", "gelu") != "gelu":
        raise ModelError(f"{path}: hidden_act is {raw['hidden_act']!r}; only 'gelu' is known")
    values: dict[str, Any] = {}
    for field in fields(BertConfig):
        kinds = (int, float) if field.name == "layer_norm_eps" else (int,)
        value = raw.get(field.name)
        if not isinstance(value, kinds) or isinstance(value, bool) or value <= 0:
            raise ModelError(f"{path}: {field.name} is {value!r}; a positive number is needed")
        values[field.name] = value
    config = BertConfig(**values)
    if config.hidden_size % config.num_attention_heads:
        raise ModelError(f"{path}: hidden_size is no multiple of num_attention_heads")
    return config


def _read_object(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; a model folder holds it beside the weights") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ModelError(f"{path} holds no JSON object")
    return raw
