#!/usr/bin/env python3
"""Writes texts with what the published filter rule reads in them: crates/channel/tests/golden/filter.json.

    python scripts/golden/channel_filter.py

A second implementation of the rule, in the language of the first, because the rule leans on that language: on what
`str.strip` takes for white space, how `str.split` treats two separators in a row, and which digits a regular expression
finds. Texts are put together from SHA-256, so two runs write the same bytes. `spaces` are all characters that are stripped.
"""

import hashlib
import json
import pathlib
import re
import sys

OUT = pathlib.Path(__file__).parents[2] / "crates/channel/tests/golden/filter.json"

NUMBERS = ["0", "7", "42", "007", "999", "1000", "123", "5", "88", "640"]
ODD_NUMBERS = ["", "-3", "1.5", "x", "\u09e7", "\u0663", "\u00b2", "\uff17"]
SEPARATORS = [", ", ",", " ", "; ", ";", "\n", "\t", ",\n", " ,", " , ", "\n\n"]
ODD_SEPARATORS = ["  ", "\x1c", "\x1f", "\x85", "\xa0", "\u3000", "\u200b", "|", "-", ". ", ",,", ", ,", "/", "\x1c,\x1d"]
WRAPS = [("", ""), ("", ""), ("", ""), ("[", "]"), ("(", ")")]
ODD_WRAPS = [("[", ")"), ("(", ""), ("", "]"), ("[[", "]]"), ("[ ", " ]"), ("{", "}"), (" ", ""), ("", " "), ("", "\n"),
             ("", ","), (".", "")]
STOPS = ["", "", "", "."]
ODD_STOPS = ["..", ". ", "!"]
N_CASES = 600


class Draws:
    """Draws that depend on a name alone."""

    def __init__(self, name):
        self.name, self.count = name, 0

    def below(self, bound):
        self.count += 1
        digest = hashlib.sha256(f"{self.name}/{self.count}".encode()).digest()
        return int.from_bytes(digest[:8], "little") % bound

    def choose(self, usual, odd):
        """Returns one of `usual`, or once in ten times one of `odd`."""
        options = odd if self.below(10) == 0 else usual
        return options[self.below(len(options))]


def case(number):
    draws = Draws(f"case {number}")
    separator = draws.choose(SEPARATORS, ODD_SEPARATORS)
    count = 1 + draws.below(12)
    text = draws.choose(NUMBERS, NUMBERS)
    for _ in range(count - 1):
        between = separator if draws.below(40) else draws.choose(SEPARATORS, ODD_SEPARATORS)
        text += between + (draws.choose(NUMBERS, NUMBERS) if draws.below(30) else draws.choose(NUMBERS, ODD_NUMBERS))
    before, after = draws.choose(WRAPS, ODD_WRAPS)
    return before + text + after + draws.choose(STOPS, ODD_STOPS)


def numbers_in(text):
    """Returns the numbers the rule reads, or None."""
    inner = text[:-1] if text[-1:] == "." else text
    if (inner[:1], inner[-1:]) in (("[", "]"), ("(", ")")):
        inner = inner[1:-1]
    found = [match.span() for match in re.compile(r"\d+").finditer(inner)]
    if not found:
        return None
    if len(found) == 1:
        pieces = [inner] if found[0] == (0, len(inner)) else None
    else:
        between = inner[found[0][1]:found[1][0]]
        pieces = inner.split(between) if between.strip() in ("", ",", ";") else None
    if pieces is None or any(set(piece) - set("0123456789") for piece in pieces) or "" in pieces:
        return None
    return [int(piece) for piece in pieces]


def main():
    texts = [case(number) for number in range(N_CASES)]
    cases = [[text, numbers_in(text)] for text in dict.fromkeys(texts)]
    spaces = [code for code in range(sys.maxunicode + 1) if chr(code).strip() == ""]
    lines = ",\n".join("  " + json.dumps(row) for row in cases)
    OUT.write_text(f'{{\n"format": 1,\n"spaces": {json.dumps(spaces)},\n"cases": [\n{lines}\n]\n}}\n')
    accepted = sum(numbers is not None for _, numbers in cases)
    print(f"{len(cases)} texts, {accepted} accepted")


if __name__ == "__main__":
    main()
