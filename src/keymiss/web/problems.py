"""Turns errors into problem details (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from valkey.exceptions import ValkeyError

from keymiss.errors import KeymissError
from keymiss.web.question_log import QUESTION_ID

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"

SEARCH_PATHS = ("/qasearch", "/search")

_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {PROBLEM_TYPE: {"schema": _SCHEMA}},
    }
    for status in (400, 404, 413, 422, 503, 504)
}
"""The problems that a route may answer with, for the OpenAPI description."""


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A response in RFC 9457's form; `about:blank` means that the status is the type."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, PROBLEM_TYPE)


def problem_response(error: KeymissError) -> JSONResponse:
    """The response for an error that keymiss can explain."""
    return problem(error.status, str(error))


def install_problems(app: FastAPI) -> None:
    """Makes every error of the application a problem response."""

    @app.exception_handler(KeymissError)
    async def explained(request: Request, error: KeymissError) -> JSONResponse:
        response = problem_response(error)
        if question := getattr(request.state, "question", None):
            response.headers[QUESTION_ID] = question
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return problem(400, "the body is not JSON")
        place = ".".join(str(part) for part in first["loc"])
        hint = '; send {"search": "your question"}' if request.url.path in SEARCH_PATHS else ""
        return problem(422, f"{place}: {first['msg']}{hint}")

    @app.exception_handler(ValkeyError)
    async def unreachable(request: Request, error: ValkeyError) -> JSONResponse:
        return problem(503, f"the server cannot be used: {error}")

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        detail = f"{request.method} {request.url.path}: {error.detail}"
        return problem(error.status_code, detail, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "keymiss has met an unexpected error; its log says more")
