"""Draws a draft above the prompt: the last lines that fit, wrapped as the terminal will wrap the message."""

from collections.abc import Iterator

from attrs import Factory, frozen
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from nanoclaw.channels.terminal.terminal import harmless

OTHER_LINES = 4
"""Lines of the screen that a draft leaves to what is typed."""
NAME_STYLE = "bold ansicyan"


@frozen(eq=False)
class Draft:
    """The text so far of an answer. The empty one is not drawn."""

    text: str = ""
    _wrapped: dict[tuple[str, int], list[str]] = Factory(dict)
    """The lines at the width that was drawn last: the prompt is also drawn at each key."""

    def drawn(self, name: str, size: Size) -> StyleAndTextTuples:
        """Return the text after its author's name, as lines for a screen of that size."""
        lines = self._lines(name, max(size.columns, 2))
        shown = lines[-max(size.rows - OTHER_LINES, 1) :]
        if len(shown) < len(lines):
            return [("", f"{line}\n") for line in shown]
        begun = shown[0].removeprefix(name)  # a narrow screen cuts the name
        head: StyleAndTextTuples = [(NAME_STYLE, shown[0][: len(shown[0]) - len(begun)]), ("", f"{begun}\n")]
        return [*head, *(("", f"{line}\n") for line in shown[1:])]

    def _lines(self, name: str, columns: int) -> list[str]:
        key = (name, columns)
        if key not in self._wrapped:
            self._wrapped.clear()
            text = harmless(f"{name}  {self.text}").expandtabs(8)
            self._wrapped[key] = [part for line in text.split("\n") for part in _wrapped(line, columns)]
        return self._wrapped[key]


def _wrapped(line: str, columns: int) -> Iterator[str]:
    """Yield the parts of a line, each at most so many columns wide. An empty line has one empty part."""
    begin = width = 0
    for end, character in enumerate(line):
        more = get_cwidth(character)
        if width + more > columns:
            yield line[begin:end]
            begin, width = end, 0
        width += more
    yield line[begin:]
