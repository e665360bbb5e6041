r"""Lines that are Python literals, as old data sets write their records: `{'asin': '0000031852', 'price': 3.17}`.

`eval` would run what is in the file; `ast.literal_eval` runs nothing but takes three times as long, on one core. So lines are rewritten as
JSON, by polars and all of a block at once, and parsed as such; the few that use what JSON lacks go through `ast.literal_eval`.
"""

import ast
from typing import Any

import polars as pl

STRING = r"""u?'((?:[^'\\]|\\.)*)'|u?"((?:[^"\\]|\\.)*)\""""
"""A Python string with its quotes; outside of strings there are no quotes, so matches from left to right are the strings of a line."""
HARD = r"\\[^nrt'xu]|[\x02\x03]"
"""Escapes that JSON has not, or that could be taken for another one, and the marks below."""
OPEN, CLOSE = "\x02", "\x03"
"""Stand for the quotes of a string while those inside of it are escaped; `repr` never writes them as they are."""
REWRITES = {
    # A value that follows a key's closing quote stands outside of strings for certain.
    f"{CLOSE}: None": '": null',
    f"{CLOSE}: True": '": true',
    f"{CLOSE}: False": '": false',
    OPEN: '"',
    CLOSE: '"',
    "\\'": "'",
    "\\x": "\\u00",
    '"': '\\"',
}


def is_literal(text: str) -> bool:
    """Whether a line begins as a Python dict with a text for its first key; JSON has double quotes there."""
    return text.removeprefix("{").lstrip().startswith(("'", "u'", 'u"'))


def parse_literal(text: str) -> Any:
    """The value of a literal, by Python's own parser, which executes nothing.

    Raises:
        ValueError, SyntaxError, TypeError, MemoryError, RecursionError: It is none.
    """
    return ast.literal_eval(text)


def literals_to_json(lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Rewrite Python literals as JSON.

    Whatever is no literal (a call, a name, an operator) stays what it is outside of strings, so that no JSON parser takes it.

    Args:
        lines: One literal each.

    Returns:
        JSON, "null" for lines that cannot be rewritten so, and a mask of those lines.
    """
    hard = lines.str.contains(HARD)
    text = pl.col("text")
    marked = text.str.replace_all(STRING, f"{OPEN}${{1}}${{2}}{CLOSE}")
    written = marked.str.replace_many(list(REWRITES), list(REWRITES.values()), leftmost=True)
    frame = pl.DataFrame({"text": lines, "hard": hard}).select(pl.when("hard").then(pl.lit("null")).otherwise(written))
    return frame.to_series(), hard
