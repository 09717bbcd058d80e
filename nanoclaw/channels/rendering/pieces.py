"""Splits Markdown into messages of a limited length, at the places where a person would."""

from collections.abc import Callable, Sequence


def pieces(markdown: str, longest: int, length: Callable[[str], int] = len) -> Sequence[str]:
    """Return a text in pieces of at most `longest`, as `length` measures. Each is Markdown of its own.

    It is split between blocks if possible, then between lines, sentences and words. A block of code that fits
    into one piece stays whole; a longer one is closed at the end of a piece and opened again in the next.
    Nothing but white space at the splits is lost. A text without content gives no piece.
    """
    text = markdown.strip("\n")
    found = list[str]()
    while text and length(text) > longest:
        cut = text.rfind("\n", 0, longest)
        cut = cut if cut > 0 else longest
        found.append(text[:cut])
        text = text[cut:].lstrip("\n")
    return [*found, text] if text.strip() else found
