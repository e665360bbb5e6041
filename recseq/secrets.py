"""Keeps what grants access out of what is logged and written."""

import re


def without_credentials(text: str) -> str:
    """A text with the user and password of every address in it replaced: `http://user:word@host` is `http://***@host`."""
    return re.sub(r"(\w://)[^/@\s'\"]+@", r"\1***@", text)


def place(path: str) -> str:
    """Where data is, without credentials and without an address's query, which may be a signature."""
    return without_credentials(path).partition("?")[0] if "://" in path else path
