"""Routes for the people who run the process: health and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from valkey.exceptions import ValkeyError

from keymiss.errors import Unavailable
from keymiss.function_names import ASKED
from keymiss.operating.served_functions import missing_functions
from keymiss.web.problems import PROBLEM_RESPONSES

router = APIRouter()


class HealthBody(BaseModel):
    """The state of the process: `live` or `ready`."""

    status: str


@router.get("/health/live")
async def live() -> HealthBody:
    """Whether this process runs."""
    return HealthBody(status="live")


@router.get("/health/ready", responses=PROBLEM_RESPONSES)
async def ready(request: Request) -> HealthBody:
    """Whether a question can be answered: the server can be reached, and workers serve it."""
    try:
        missing = await missing_functions(request.app.state.servers, ASKED)
    except (ValkeyError, OSError) as error:
        raise Unavailable(f"the server cannot be reached: {error}") from error
    if missing:
        raise Unavailable(f"no worker serves {', '.join(missing)}; start `keymiss worker`")
    return HealthBody(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics() -> Response:
    """What this process has measured, for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
