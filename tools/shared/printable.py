# SPDX-License-Identifier: MIT
"""Text from files as an error message shows it."""


def printable(text, longest=200):
    """`text` with control characters, which a terminal would obey, and lone surrogates escaped, cut after `longest`."""
    text = str(text)
    cut = text[:longest]
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in cut)
    return shown + ("..." if len(text) > longest else "")


def one_line(error):
    """The kind and the first line of an exception from a library."""
    lines = str(error).strip().splitlines()
    return type(error).__name__ + (f": {printable(lines[0])}" if lines else "")
