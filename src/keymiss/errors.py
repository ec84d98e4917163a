"""What can go wrong, in classes that know how to tell it to a person, a browser or a client."""

from __future__ import annotations


class KeymissError(Exception):
    """Something that keymiss can explain. `status` is the HTTP status that fits."""

    status = 500

    @property
    def resp(self) -> str:
        """What a client of the server reads behind `-KEYMISS failed `."""
        return f"{type(self).__name__}: {self}"


class BadInput(KeymissError):
    """What was sent cannot be used: the message says why and what would do."""

    status = 422


class TooLarge(BadInput):
    """What was sent is longer than the limit."""

    status = 413


class NotFound(KeymissError):
    """The document or sentence is not in the corpus."""

    status = 404


class Unavailable(KeymissError):
    """Nobody is there to answer: no server, no worker, no corpus."""

    status = 503


class NoGraph(Unavailable):
    """No vocabulary has been loaded, so there are no concepts and no links."""


class Moving(Unavailable):
    """What was asked for is on its way to another node: another try will do."""


class TooSlow(KeymissError):
    """The answer did not come in time."""

    status = 504


class SetupError(KeymissError):
    """This installation or its settings cannot work: a port in use, a folder or file missing."""


def from_resp(text: str) -> KeymissError | None:
    """The error whose `resp` this is; None when it is none of ours."""
    name, separator, words = text.partition(": ")
    classes: list[type[KeymissError]] = [KeymissError, *_subclasses(KeymissError)]
    kind = next((each for each in classes if each.__name__ == name), None)
    return kind(words) if kind and separator else None


def _subclasses(kind: type[KeymissError]) -> list[type[KeymissError]]:
    return [each for child in kind.__subclasses__() for each in (child, *_subclasses(child))]
