"""Extractive question answering as a library: it finds the span that answers a question.

It knows nothing about Valkey and imports no other package of keymiss.
"""

from keymiss.errors import ModelError
from keymiss.reader.checkpoint import BUNDLED_FOLDER, BUNDLED_MODEL, model_folder
from keymiss.reader.model_cache import default_cache
from keymiss.reader.network import Ids, Network
from keymiss.reader.reader import Answer, Passage, Reader
from keymiss.reader.sentence_encoder import Encoder
from keymiss.reader.sentence_model import BUNDLED_ENCODER
from keymiss.reader.tokenizer import Tokenizer

__all__ = [
    "BUNDLED_ENCODER",
    "BUNDLED_FOLDER",
    "BUNDLED_MODEL",
    "Answer",
    "Encoder",
    "Ids",
    "ModelError",
    "Network",
    "Passage",
    "Reader",
    "Tokenizer",
    "default_cache",
    "model_folder",
]
