"""Errors of the APIs: a status, and JSON in the form that OpenAI's clients read."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
"""The types of errors by status. Others are `invalid_request_error`, or from 500 up `server_error`."""
FIRST_SERVER_ERROR = 500


class ApiError(Exception):
    """A request that is refused. The text says what is wrong, where, and what to do."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        """A word for programs."""
        self.param = param
        """The field or header that is wrong."""
        self.retry_after_s = retry_after_s

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        other = "server_error" if self.status >= FIRST_SERVER_ERROR else "invalid_request_error"
        type_ = TYPES.get(self.status, other)
        return {"error": {"message": str(self), "type": type_, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        found = {}
        if self.retry_after_s is not None:
            found["retry-after"] = str(max(1, round(self.retry_after_s)))
        if self.status == 401:  # noqa: PLR2004 -- Unauthorized
            found["www-authenticate"] = "Bearer"
        return found

    @property
    def response(self) -> Response:
        """The answer."""
        return JSONResponse(self.body, self.status, self.headers)


async def refused(_request: Request, error: Exception) -> Response:
    """Answer a request that a handler refused."""
    assert isinstance(error, ApiError)  # noqa: S101 -- it is registered for these alone
    return error.response


async def not_found(request: Request, error: Exception) -> Response:
    """Answer a request whose path or method is not known."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- it is registered for these alone
    what = f"{request.method} {request.url.path[:200]}"
    answer = ApiError(error.status_code, f"there is no {what}: {error.detail}").response
    answer.headers.update(error.headers or {})
    return answer


async def failed(_request: Request, _error: Exception) -> Response:
    """Answer a request whose handler failed. The guard logs the error."""
    return ApiError(500, "the server failed; its log says why", code="internal_error").response
