"""Every error has one shape for a person, a browser and a client of the server."""

import pytest

import keymiss.cli  # noqa: F401  (imports all that defines errors)
from keymiss.asking.computed_get import explain
from keymiss.errors import (
    BadInput,
    KeymissError,
    ModelError,
    Moving,
    NoGraph,
    NotFound,
    SetupError,
    ShardLost,
    Superseded,
    TooLarge,
    TooSlow,
    Unavailable,
    from_resp,
)

SHAPES = {
    KeymissError: 500,
    BadInput: 422,
    TooLarge: 413,
    NotFound: 404,
    Unavailable: 503,
    NoGraph: 503,
    Moving: 503,
    TooSlow: 504,
    SetupError: 500,
    ModelError: 500,
    ShardLost: 503,
    Superseded: 500,
}


def all_errors(kind=KeymissError):
    return {kind}.union(*(all_errors(child) for child in kind.__subclasses__()))


def test_every_error_of_ours_is_listed_here():
    assert all_errors() == set(SHAPES)


@pytest.mark.parametrize(("kind", "status"), SHAPES.items(), ids=lambda each: str(each))
def test_an_error_has_a_status_and_survives_the_way_through_the_server(kind, status):
    error = kind("what was wrong: and what to do")
    assert error.status == status
    assert error.resp == f"{kind.__name__}: what was wrong: and what to do"
    again = explain(f"KEYMISS failed {error.resp}")
    assert (type(again), str(again)) == (kind, str(error))


def test_errors_of_others_are_none_of_ours():
    assert from_resp("ValueError: x") is None
    assert from_resp("NotFound") is None
    assert type(explain("KEYMISS failed ValueError: x")) is KeymissError
