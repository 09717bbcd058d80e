"""Every parser of the API gives a value or a refusal, whatever it reads."""

import json
from typing import Any

from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from nanoclaw.channels.http.completions import read_completion
from nanoclaw.channels.http.errors import ApiError
from nanoclaw.channels.http.guard import hosts_of
from nanoclaw.channels.http.reading import Fields, fields_of, read_json
from nanoclaw.channels.http.uploads import FormReader, PartBegan
from nanoclaw.channels.http.webhooks import Style, read_webhook
from tests.channels.http.test_http_webhooks import NOW, SECRET, signed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "input_audio"]) | VALUES},
    optional=dict.fromkeys(("text", "image_url", "file", "input_audio"), VALUES),
)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"role": st.just("user") | VALUES, "content": st.text() | st.lists(PARTS | VALUES) | VALUES}
)


def refused(error: ApiError) -> None:
    """Check that an error is the client's, and can be told."""
    assert 400 <= error.status < 500
    json.dumps(error.body)


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
@example(b"\xef\xbb\xbf{}")
@example(b'{"a": ' + b"9" * 5000 + b"}")
def test_a_body_is_json_or_refused(body: bytes) -> None:
    try:
        found = read_json(body)
        fields_of(body)
    except ApiError as error:
        refused(error)
    else:
        assert isinstance(found, dict)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.just("main") | VALUES,
            "messages": st.lists(MESSAGES | VALUES, max_size=4) | VALUES,
            "stream": st.booleans() | VALUES,
            "stream_options": VALUES,
            "user": VALUES,
            "n": VALUES,
        },
    )
)
def test_a_completion_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        found = read_completion(evolve(Fields(body), status=400))
    except ApiError as error:
        refused(error)
    else:
        assert found.text.strip() or found.files
        assert found.text.encode()


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=10))
@example(b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n', [3, 1])
@example(b"--x\r\n" * 50, [])
def test_a_form_is_read_or_refused_however_it_is_cut(body: bytes, cuts: list[int]) -> None:
    whole, in_pieces = read_form([body]), read_form(list(pieces(body, cuts)))
    assert whole == in_pieces


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    found, at = [], 0
    for length in cuts:
        found.append(body[at : at + length])
        at += length
    return [*found, body[at:]]


def read_form(chunks: list[bytes]) -> list[tuple[PartBegan, bytes]] | str:
    """Return the parts of a form with their contents, or that it was refused."""
    reader, parts = FormReader(b"x"), list[tuple[PartBegan, bytes]]()
    try:
        for chunk in chunks:
            for each in reader.feed(chunk):
                if isinstance(each, PartBegan):
                    parts.append((each, b""))
                else:
                    parts[-1] = (parts[-1][0], parts[-1][1] + each)
        reader.end()
    except ApiError:
        return "refused"
    return parts


@given(
    st.sampled_from(["secret", "hmac", "github", "standard"]),
    st.binary(max_size=100),
    st.dictionaries(
        st.sampled_from(
            ["content-type", "x-webhook-id", "x-webhook-event", "webhook-timestamp", "x-hub-signature-256"]
        ),
        st.text(max_size=300),
    ),
    st.booleans(),
)
def test_a_webhook_is_read_or_refused(
    style: Style,
    body: bytes,
    headers: dict[str, str],
    is_signed: bool,  # noqa: FBT001 -- drawn
) -> None:
    try:
        read_webhook(style, SECRET, {**headers, **(signed(style, body) if is_signed else {})}, body, NOW)
    except ApiError as error:
        refused(error)


@given(st.text(max_size=50))
def test_only_names_of_the_server_are_hosts(text: str) -> None:
    from nanoclaw.channels.http.guard import _host  # noqa: PLC0415 -- the parser alone

    assert _host(text) == "" or ":" not in _host(text).replace("[", "]").split("]")[0]
    assert "localhost" in hosts_of("0.0.0.0", ())  # noqa: S104 -- a name
