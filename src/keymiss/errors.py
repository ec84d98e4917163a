"""The errors of keymiss, in classes that can tell them to a person, a browser or a client.

    KeymissError              500   something that keymiss can explain
    |- BadInput               422   what was sent cannot be used
    |  `- TooLarge            413   it is longer than the limit
    |- NotFound               404   the document or sentence is not in the corpus
    |- Unavailable            503   nobody can answer: there is no server, worker or corpus
    |  |- NoGraph                   no vocabulary has been loaded
    |  |- Moving                    the text is on its way to another node
    |  `- ShardLost                 the server that holds the keys is away
    |- TooSlow                504   the answer did not come in time
    |- SetupError             500   this installation or its settings cannot work
    |  `- ModelError                a model's folder is incomplete, damaged or of another kind
    `- Superseded             500   workers of another version serve the function

The number is the HTTP status. Three places catch the errors that nothing else has caught:
`cli.main` prints one line and sets the exit status, `web.problems` makes a problem response (RFC
9457), and a worker sends `resp` to the clients that wait for the key.
"""

from __future__ import annotations


class KeymissError(Exception):
    """Something that keymiss can explain. `status` is the HTTP status that fits."""

    status = 500

    @property
    def resp(self) -> str:
        """What a client of the server reads after `-KEYMISS failed `."""
        return f"{type(self).__name__}: {self}"


class BadInput(KeymissError):
    """What was sent cannot be used: the message says why, and what to send instead."""

    status = 422


class TooLarge(BadInput):
    """What was sent is longer than the limit."""

    status = 413


class NotFound(KeymissError):
    """The document or sentence is not in the corpus."""

    status = 404


class Unavailable(KeymissError):
    """Nobody can answer: there is no server, no worker or no corpus."""

    status = 503


class NoGraph(Unavailable):
    """No vocabulary has been loaded, so there are no concepts and no links."""

    def __init__(
        self,
        message: str = "there is no concept graph; load a vocabulary with "
        "`keymiss vocabulary load FILE`",
    ) -> None:
        super().__init__(message)


class Moving(Unavailable):
    """What was asked for is on its way to another node: another try will succeed."""


class ShardLost(Unavailable, ConnectionError):
    """The server that holds the keys could not be reached, or has been silent for too long."""


class TooSlow(KeymissError):
    """The answer did not come in time."""

    status = 504


class SetupError(KeymissError):
    """This installation or its settings cannot work: a port in use, a folder or file missing."""


class ModelError(SetupError):
    """A model folder is incomplete, damaged or of a kind that the reader does not know."""


class Superseded(KeymissError):
    """Workers of another version serve the function: this worker has nothing left to do."""


def missing_extra(package: str, extra: str) -> SetupError:
    """The error for a package that is not installed and comes with an extra of keymiss."""
    return SetupError(f"{package} is not installed: pip install 'keymiss[{extra}]'")


def from_resp(text: str) -> KeymissError | None:
    """The error whose `resp` this is; None when it is not an error of keymiss."""
    name, separator, words = text.partition(": ")
    classes: list[type[KeymissError]] = [KeymissError, *_subclasses(KeymissError)]
    kind = next((each for each in classes if each.__name__ == name), None)
    return kind(words) if kind and separator else None


def outcome(result: object) -> str:
    """The word that metrics and logs use for a result.

    `ok` when it is not an error, the name of an error's class, or `failure` when that class is not
    one of keymiss.
    """
    if not isinstance(result, BaseException):
        return "ok"
    return type(result).__name__ if isinstance(result, KeymissError) else "failure"


def _subclasses(kind: type[KeymissError]) -> list[type[KeymissError]]:
    return [each for child in kind.__subclasses__() for each in (child, *_subclasses(child))]
