"""The examples in the docstrings of what people call: they are there, and they are true."""

import doctest
import inspect

import pytest

from keymiss import pipeline
from keymiss.asking.answers import ask
from keymiss.corpus.ingest import ingest
from keymiss.functions import on_miss, on_write
from keymiss.reader import Reader

PUBLIC = (on_miss, on_write, Reader, pipeline, ask, ingest)


@pytest.mark.parametrize("called", PUBLIC, ids=lambda called: called.__name__)
def test_an_example_shows_how_it_is_called_and_what_comes_of_it(called, stack):
    examples = doctest.DocTestFinder(recurse=False).find(
        called,
        called.__name__,
        module=inspect.getmodule(called),
        globs=vars(inspect.getmodule(called)) | {"url": stack.url},
    )
    (example,) = examples
    assert example.examples, f"{called.__name__} has no example"
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(example, out=told.append).failed == 0, "".join(told)
