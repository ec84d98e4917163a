"""The default application with a fake reader: it shows what a question costs besides the model."""

from __future__ import annotations

from keymiss.application import application_of
from keymiss.reader.fake_network import fake_reader

index, find, find_here, qa, bertqa, model_info, tokens = application_of(fake_reader()).functions
