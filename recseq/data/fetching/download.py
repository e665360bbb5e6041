"""One file over HTTP: with a progress bar, tried again where that can help, and errors in one sentence."""

import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
import urllib3

from recseq.errors import DataError

log = logging.getLogger(__name__)

TIMEOUT_VARIABLE = "RECSEQ_DATA_TIMEOUT"
CHUNK = 1 << 16
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be others in a moment."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a download waits and how often it is tried.

    Args:
        timeout_s: Seconds that the server may send nothing.
        attempts: Tries in all, each from the beginning.
        pause_s: Seconds before the second try; twice as many before each later one.
    """

    timeout_s: float = 30.0
    attempts: int = 3
    pause_s: float = 2.0

    @classmethod
    def from_environment(cls) -> "Patience":
        """The default, with the seconds of the variable RECSEQ_DATA_TIMEOUT where it is set.

        Raises:
            DataError: The variable is no positive number.
        """
        text = os.environ.get(TIMEOUT_VARIABLE)
        if not text:
            return cls()
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            raise DataError(f"the environment variable {TIMEOUT_VARIABLE} is {text!r}, must be a number of seconds > 0")
        return cls(timeout_s=seconds)


def download(url: str, target: Path, patience: Patience) -> None:
    """Download a file; what comes is not checked but for its length.

    Args:
        url: Where from.
        target: Where to; overwritten.
        patience: How long to wait, how often to try.

    Raises:
        DataError: It failed for good; the message is the reason alone.
    """
    loader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=CHUNK,
        timeout=patience.timeout_s,
        headers={"Accept-Encoding": "identity"},  # a .gz is wanted as it is
    )
    for attempt in range(1, patience.attempts + 1):
        try:
            loader(url, str(target), None)
            return
        except requests.RequestException as error:
            reason = explain(error, url, patience.timeout_s)
            answer = error.response.status_code if error.response is not None else None
            if answer is not None and answer not in PASSING:
                raise DataError(reason) from None
            if attempt == patience.attempts:
                tries = f" ({attempt} tries)" if attempt > 1 else ""
                raise DataError(reason + tries) from None
        pause = patience.pause_s * 2 ** (attempt - 1)
        log.warning("%s; trying again in %g s", reason, pause)
        time.sleep(pause)


def explain(error: requests.RequestException, url: str, timeout_s: float) -> str:
    """What happened, for people."""
    host = urlsplit(url).netloc
    if error.response is not None:
        return f"{host} answers {error.response.status_code} {error.response.reason}"
    causes = list(chain(error))
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.IncompleteRead) and isinstance(cause.expected, int):
            return f"the connection to {host} ended early, after {cause.partial:,} of {cause.partial + cause.expected:,} bytes"
    if any(isinstance(cause, urllib3.exceptions.NameResolutionError) for cause in causes):
        return f"{host} cannot be found: no network?"
    if any(isinstance(cause, urllib3.exceptions.ProxyError) for cause in causes):
        return f"the proxy on the way to {host} does not let the request through"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return f"{host} refuses connections"
    if any(isinstance(cause, ConnectionResetError) for cause in causes):
        return f"{host} has reset the connection"
    if isinstance(error, requests.ConnectTimeout):
        return f"{host} cannot be reached within {timeout_s:g} s"
    # A timeout while the body comes in is a ConnectionError to requests; urllib3 calls any failure to connect a timeout, so it is last.
    if any(isinstance(cause, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)) for cause in causes):
        return f"{host} has sent nothing for {timeout_s:g} s ({TIMEOUT_VARIABLE}=SECONDS waits longer)"
    return f"the connection to {host} failed: {type(causes[-1]).__name__}: {causes[-1]}"


def chain(error: BaseException) -> list[BaseException]:
    """An error and all that it wraps, in `args`, `reason` or as its cause, outermost first."""
    found: list[BaseException] = []
    todo: list[BaseException] = [error]
    while todo:
        one = todo.pop(0)
        if any(one is known for known in found):
            continue
        found.append(one)
        inner = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        todo += [cause for cause in inner if isinstance(cause, BaseException)]
    return found
