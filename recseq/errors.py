"""Errors that a user can mend; printed as one message without a traceback, exit code 1."""

from hydra.errors import CompactHydraException


class RecseqError(CompactHydraException):
    """Base of all errors whose cause lies in what the user gave.

    Hydra prints a `CompactHydraException` as its message alone and lets the other jobs of a sweep go on.
    """


class ConfigError(RecseqError):
    """The composed configuration cannot be run; the message lists every problem with its config path."""

    @classmethod
    def from_problems(cls, problems: list[str]) -> "ConfigError":
        """Join problems into one error, one line each."""
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        return cls("\n".join([f"The configuration has {count}:", *(f"  - {problem}" for problem in problems)]))


class TrainingError(RecseqError):
    """A model that cannot be a result: its training diverged."""


class DataError(RecseqError):
    """The data cannot be used; the message names file, column, row and an example value where there is one."""


class TrialPruned(RecseqError):  # noqa: N818 - it is no error of anybody's
    """A trial of a search that has been stopped because it was losing; no failure."""


class SearchError(RecseqError):
    """A search of which some trials failed; the others have run, and everything is written."""


class RankError(RecseqError):
    """A process that trains with others, on another device, failed or died."""


class JobError(RecseqError):
    """A job of a sweep that failed in another process."""
