"""Texts pass from Markdown to Slack's dialect, and from Slack's texts to plain ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanoclaw.channels.slack.dialect import emoji_name, emoji_of, escaped, mentioned, mrkdwn, plain
from nanoclaw.records import ReactionContent


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("**bold** *it* ~~x~~ `a<b`", "*bold* _it_ ~x~ `a&lt;b`"),
        ("# Head", "*Head*"),
        ("[a](https://example.org/?x=1&y=2)", "<https://example.org/?x=1&amp;y=2|a>"),
        ("```py\n1 < 2\n```", "```\n1 &lt; 2\n```"),
        ("<!channel> <@U1>", "&lt;!channel&gt; &lt;@U1&gt;"),
    ],
)
def test_markdown_is_rendered(markdown: str, shown: str) -> None:
    assert mrkdwn(markdown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hi <@U1>", "hi @Ann"),
        ("<https://example.org|here>", "here (https://example.org)"),
        ("<https://example.org/?a=1&amp;b=2>", "https://example.org/?a=1&b=2"),
        ("<mailto:a@example.org|a@example.org>", "a@example.org"),
        ("<#C1|general> <!here> <!subteam^S1|@team>", "#general @here @team"),
        ("&amp;lt; &lt;b&gt;", "&lt; <b>"),
    ],
)
def test_a_text_of_slack_becomes_plain(text: str, shown: str) -> None:
    assert plain(text, {"U1": "Ann"}.__getitem__) == shown


@given(st.text())
def test_what_a_user_types_arrives_as_it_is(text: str) -> None:
    assert plain(escaped(text), str) == text


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    plain(text, str)
    mentioned(text)


@given(st.text(max_size=300))
def test_no_markdown_mentions_anybody(markdown: str) -> None:
    for target in ("<!", "<@", "<#"):
        assert target not in mrkdwn(f"{markdown} <!channel> <@U1> <#C1>")


@pytest.mark.parametrize(
    ("emoji", "name"),
    [("👍", "thumbsup"), ("❤️", "heart"), ("🙌🏽", "raised_hands::skin-tone-4"), (":our_logo:", "our_logo")],
)
def test_an_emoji_has_the_name_of_slack(emoji: str, name: str) -> None:
    assert emoji_name(ReactionContent("1", emoji)) == name


@pytest.mark.parametrize(
    ("name", "emoji"), [("+1", "👍"), ("raised_hands::skin-tone-4", "🙌🏽"), ("our_logo", ":our_logo:")]
)
def test_a_name_becomes_an_emoji(name: str, emoji: str) -> None:
    assert emoji_of(name) == emoji
