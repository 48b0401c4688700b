"""Text as LaTeX has it, in plain ASCII, so that every engine and every font reads it."""

from __future__ import annotations

import re
import unicodedata

CHECK_MARK = "\N{CHECK MARK}"
"""The only character that needs a package: amssymb."""
_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"$\sim$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "`": "{`}",
    '"': "{''}",
    # At the beginning of a row they would belong to the end of the last one.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{MINUS SIGN}": "$-$",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{GREEK SMALL LETTER MU}": r"$\mu$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    CHECK_MARK: r"\checkmark{}",
}
_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": r"\`",
    "\N{COMBINING ACUTE ACCENT}": r"\'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": r"\^",
    "\N{COMBINING TILDE}": r"\~",
    "\N{COMBINING DIAERESIS}": r"\"",
    "\N{COMBINING RING ABOVE}": r"\r",
    "\N{COMBINING CARON}": r"\v",
    "\N{COMBINING CEDILLA}": r"\c",
}
_LETTERS = {"ß": r"\ss{}", "æ": r"\ae{}", "ø": r"\o{}", "œ": r"\oe{}", "ł": r"\l{}"}
_TOKEN = re.compile(r"(?P<minus>^-(?=\d))|(?P<hyphen>-(?=[-\N{EN DASH}\N{EM DASH}]))|.")
_HYPHENS = {"minus": "$-$", "hyphen": "-{}"}
_BREAKS = re.compile(r"\\_|/")


def escaped(text: str, breaks: bool = False) -> str:
    """The text in ASCII and as it reads, whatever it holds; a character that LaTeX has not is told by its number.

    With `breaks` a line may end behind an underscore and a slash.
    """
    shown = _TOKEN.sub(_written, unicodedata.normalize("NFC", " ".join(text.split())))
    return _BREAKS.sub(r"\g<0>\\allowbreak{}", shown) if breaks else shown


def _written(token: re.Match[str]) -> str:
    character = token[0]
    if token.lastgroup:
        return _HYPHENS[token.lastgroup]
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    if character.isascii() and character.isprintable():
        return character
    return _letter(character) or f"U+{ord(character):04X}"


def _letter(character: str) -> str | None:
    if character in _LETTERS:
        return _LETTERS[character]
    apart = unicodedata.normalize("NFD", character)
    base, accent = apart[:1], apart[1:]
    return f"{_ACCENTS[accent]}{{{base}}}" if base.isascii() and accent in _ACCENTS else None
