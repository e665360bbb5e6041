"""SIGTERM, with which preemptible machines take a program back: it ends as after Ctrl-C, but training first saves where it is.

Outside of training the signal raises `Terminated` at once. Training defers it: the batch is finished, the state saved, then it is raised.
Nothing here imports torch: the program's start does not wait for it.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EXIT_CODE = 128 + signal.SIGTERM
REPEAT_SECONDS = 5.0


class Terminated(KeyboardInterrupt):
    """The program was told to end; whoever closes things at Ctrl-C closes them now too."""


class _State:
    """What has become of the signals of this process, of which there is one."""

    def __init__(self) -> None:
        self.handling = False
        self.received: float | None = None
        self.interrupted = False
        self.n_deferring = 0
        self.afterwards: Callable[[], Any] | None = None


_state = _State()


def requested() -> bool:
    """Whether the process has been told to end."""
    return _state.received is not None


@contextmanager
def handled() -> Iterator[None]:
    """A block in which SIGTERM raises `Terminated`, and Ctrl-C is remembered (see `raise_if_interrupted`).

    It does nothing outside of the main thread, or where SIGTERM is ignored on purpose.

    In a job of submitit its handler that ignores SIGTERM is replaced, and the one that requeues the job when Slurm announces preemption or
    the time limit (SIGUSR2) waits until training is saved and the run is closed.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if _state.handling or not in_main_thread or signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        yield
        return
    before = {signal.SIGTERM: signal.getsignal(signal.SIGTERM), **dict(_requeueing())}
    _state.handling, _state.received, _state.afterwards, _state.interrupted = True, None, None, False
    for number, handler in before.items():
        signal.signal(number, _on_sigterm if number == signal.SIGTERM else _later(handler))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _on_sigint)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.handling, _state.received, _state.interrupted = False, None, False
        if _state.afterwards is not None:
            _state.afterwards()


def raise_if_interrupted() -> None:
    """Raise the KeyboardInterrupt of a Ctrl-C that was lost: Python ignores what is raised while it finalises an object."""
    if _state.interrupted:
        raise KeyboardInterrupt


def put_back() -> None:
    """Inside of `handled`, put its handler of SIGTERM back in front of one that a library has put there."""
    if _state.handling and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_sigterm)


@contextmanager
def deferred() -> Iterator[None]:
    """A block in which the signal only sets `requested`, for whoever can stop at a better moment; `Terminated` is raised at its end."""
    _state.n_deferring += 1
    try:
        yield
    finally:
        _state.n_deferring -= 1
    if requested() and not _state.n_deferring:
        raise Terminated


def _on_sigint(number: int, frame: FrameType | None) -> None:
    _state.interrupted = True
    raise KeyboardInterrupt


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Ignores repeats that come at once: what ends a whole group of processes often reaches each of them twice."""
    if _state.received is not None and time.monotonic() - _state.received < REPEAT_SECONDS:
        return
    _state.received = time.monotonic()
    if not _state.n_deferring:
        raise Terminated


def _requeueing() -> Iterator[tuple[signal.Signals, Any]]:
    """Signals at which submitit requeues a job."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        handler = signal.getsignal(number)
        if getattr(handler, "__name__", "") == "checkpoint_and_try_requeue":
            yield number, handler


def _later(handler: Any) -> Callable[[int, FrameType | None], None]:
    """A handler that ends the program as SIGTERM does, and has the other one run when everything is closed."""

    def handle(number: int, frame: FrameType | None) -> None:
        _state.afterwards = lambda: handler(number, None)
        _on_sigterm(number, frame)

    return handle
