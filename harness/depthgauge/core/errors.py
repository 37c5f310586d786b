"""What can go wrong, by what the user must do about it. Every message is one sentence with the way out in it."""

import traceback
from typing import TypeVar

USAGE_EXIT = 4
INVALID_EXIT = 21


class HarnessError(Exception):
    """Base of all errors that a user can cause or cure: one sentence. `details` is the traceback of what a user's own
    code raised, which is shown below it; empty otherwise. `code` tells errors of one type apart, for programs.
    """

    exit_code = INVALID_EXIT
    details = ""

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


Error = TypeVar("Error", bound=HarnessError)


def raised_by_user_code(error: Error, cause: BaseException) -> Error:
    """The error with the traceback of a method, reward, probe or conftest.py, which says where to look."""
    error.details = "".join(traceback.format_exception(cause)).rstrip()
    return error


class UsageError(HarnessError):
    """The command line names something that does not exist or cannot be used."""

    exit_code = USAGE_EXIT


class InvalidCheckpoint(HarnessError):
    """The folder is not a checkpoint that can be trusted: truncated, not finite, pickled, or with code of its own."""


class NothingNamed(UsageError):
    """The command names nothing that could be judged."""


class InvalidComparison(HarnessError):
    """Two measurements were not taken on the same items, prompts or tokenizer."""


class Stale(HarnessError):
    """A checkpoint that should have been trained is the baseline again: the gate blocks it, as a refuted claim does."""

    exit_code = 1


class CorruptEntry(HarnessError):
    """A finished entry of the store no longer matches what was written."""


class StoreUnusable(HarnessError):
    """The store cannot be written: permission, space, or not a folder."""

    exit_code = USAGE_EXIT


class TrainingFailed(HarnessError):
    """A training ended without a checkpoint."""


class TrainingUnhealthy(TrainingFailed):
    """A training ended, and its log shows a sickness that makes the checkpoint worthless."""


class NotTestable(HarnessError):
    """The checkpoint cannot carry the claim; becomes a verdict, not a failure."""


class NotHere(NotTestable):
    """Memory has no room for it, or a library is missing, which another machine may have: nothing is stored of it."""


class NotCached(NotTestable):
    """In a plan, where nothing is trained or measured: what a claim asked for is not in the store yet."""


class StatisticUndefined(HarnessError, ValueError):
    """A statistic has no value for this input: it is never 0 or NaN instead."""
