"""The errors of both vendors, in their words."""

from collections.abc import Mapping

from nanoclaw.testing.models.answers import ModelFailure, Wire

_ANTHROPIC_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_WORDS: Mapping[tuple[Wire, str], str] = {
    ("anthropic", "401"): "invalid x-api-key",
    ("openai", "401"): "Incorrect API key provided: sk-x. You can find your API key on the platform's page.",
    ("anthropic", "402"): "Your credit balance is too low to access the API.",
    ("openai", "402"): "Insufficient credits.",
    ("anthropic", "429"): "This request would exceed your organization's rate limit.",
    ("openai", "429"): "Rate limit reached for requests.",
    ("anthropic", "529"): "Overloaded",
    (
        "anthropic",
        "quota",
    ): "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
    ("openai", "quota"): "You exceeded your current quota, please check your plan and billing details.",
    ("anthropic", "too long"): "prompt is too long: 250000 tokens > 200000 maximum",
    ("openai", "too long"): (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
        "Please reduce the length of the messages."
    ),
    ("anthropic", "no pictures"): "messages.0.content.1: image input is not supported by this model",
    ("openai", "no pictures"): "Invalid content type. image_url is only supported by certain models.",
    ("anthropic", "no model"): "model: no-such-model",
    ("openai", "no model"): "The model `no-such-model` does not exist or you do not have access to it.",
    ("anthropic", "bad history"): (
        "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: call_1."
    ),
    ("openai", "bad history"): (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'."
    ),
}
_OPENAI_CODES: Mapping[str, str] = {
    "quota": "insufficient_quota",
    "too long": "context_length_exceeded",
    "no model": "model_not_found",
}


def failure_body(wire: Wire, failure: ModelFailure) -> Mapping[str, object]:
    """Return the body of an error in the vendor's form."""
    words = _WORDS.get((wire, failure.kind or str(failure.status)), "Internal server error")
    message = failure.message or words
    if wire == "anthropic":
        kind = _ANTHROPIC_TYPES.get(failure.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    code = _OPENAI_CODES.get(failure.kind, "invalid_api_key" if failure.status == 401 else None)  # noqa: PLR2004 -- a status
    kind = "invalid_request_error" if failure.status < 500 else "server_error"  # noqa: PLR2004 -- a status
    return {"error": {"message": message, "type": code or kind, "param": None, "code": code}}
