"""Everything autodepth raises on purpose.

AutodepthError
├── InputError (also ValueError)   something a person wrote cannot be used: exit 2
│   ├── SpaceFileError             mistakes in a space file, all of them at once
│   ├── BudgetError                a budget that cannot be read or cannot be spent here
│   │   └── BudgetSpentError       nothing is left of it
│   ├── NetworkError               a network that is unknown, cannot be traced or cannot be counted
│   ├── WeightsError               weights that do not fit the network
│   ├── DataError                  data that is missing, unreadable or too small
│   ├── TaskError                  a task of one's own that fails, or gives what cannot be used
│   ├── StudyError                 a study that is unknown, or exists already
│   │   ├── StudyInUseError        another process drives it: exit 75
│   │   ├── StoppedError           it was asked to end before what was asked of it began
│   │   └── NewerStudyError        a newer autodepth wrote what this one does not know
│   ├── NotNowError                what is asked for does not go together with what is there now
│   ├── NotAllowedError            whoever asks may not have it
│   └── SelectionError             no point of a front fits what was asked for
├── ClusterError                   a Ray cluster that cannot be reached, or cannot carry trials out
│   ├── AccessError                it wants another token than it was given: exit 77
│   └── RayStartError              a Ray of a search's own that does not start: exit 69
├── StorageError                   a study's folder takes no more: exit 74, and it can go on later
├── BundleError                    an exported folder that is damaged or was altered: exit 1
├── InfeasibleError                a network that breaks a bound of its study: ends one trial
├── MeasurementError               a runtime or program that timed nothing: a figure stays unknown
├── DivergenceError                training left the finite numbers: ends one trial, not the study
└── TrackingError                  the tracking server did not take an event: never ends anything
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from autodepth.version import __version__


class AutodepthError(Exception):
    """Base of all errors autodepth raises on purpose; the text is meant for a person."""


class InputError(AutodepthError, ValueError):
    """Something a person wrote cannot be used; the command line exits with status 2."""


class SpaceFileError(InputError):
    """A space file with mistakes.

    Args:
        mistakes: one `file:line:col: path: message` per mistake, in the order of the file.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class BudgetError(InputError):
    """A budget that cannot be read, or cannot be spent on this machine."""


class BudgetSpentError(BudgetError):
    """Nothing is left of a study's budget."""


class NetworkError(InputError):
    """A network that is unknown, cannot be traced, or holds an operator that cannot be counted."""


class WeightsError(InputError):
    """Weights that are unreadable or do not fit the network."""


class DataError(InputError):
    """Data that is missing, unreadable, or too small to be split."""


class TaskError(InputError):
    """A task of one's own cannot be used; the text begins with file and line of its code."""


class StudyError(InputError):
    """A study that is unknown, exists already, or is in use."""


class StudyInUseError(StudyError):
    """A study that another process drives; the command line exits with status 75."""


class StoppedError(StudyError):
    """A study was asked to end before what was asked of it began."""


class NewerStudyError(StudyError):
    """What a study says was written by a newer autodepth, in words that this one does not know."""


class NotNowError(InputError):
    """What is asked for does not go together with what is there now; later it may."""


class NotAllowedError(InputError):
    """Whoever asks may not have what is asked for."""


class SelectionError(InputError):
    """No point of the front fits the selection."""


class ClusterError(AutodepthError):
    """A Ray cluster that cannot be reached, or whose nodes cannot carry trials out."""


class AccessError(ClusterError):
    """A Ray cluster that wants another token; the command line exits with status 77."""


class RayStartError(ClusterError):
    """A local Ray does not start, as on a busy machine; the command line exits with status 69."""


class StorageError(AutodepthError):
    """A study's folder is full, read-only or gone; what was written before is whole."""


class BundleError(AutodepthError):
    """An exported folder that is damaged, incomplete or was altered."""


class InfeasibleError(AutodepthError):
    """A network breaks a bound of its study, which shows before it is fine-tuned."""


class DivergenceError(AutodepthError):
    """Training produced a loss that is not finite."""


class MeasurementError(AutodepthError):
    """A runtime, or a program of a person's own, that failed, hung or printed no time."""


class TrackingError(AutodepthError):
    """The tracking server did not take an event; the ledger still has it."""


def check_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names in what autodepth itself wrote that only a newer one can have written.

    Raises:
        NewerStudyError: some are unknown; the message names them.
    """
    if unknown := sorted(set(names) - set(known)):
        raise NewerStudyError(
            f"{what} must be written in what autodepth {__version__} knows, but it has "
            f"{', '.join(map(repr, unknown))}: a newer autodepth wrote it; update this one"
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the nearest known word, or an empty string."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {nearest[0]!r}?" if nearest else ""
