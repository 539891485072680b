# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong, as one tree.

DokueiError
├── ConfigurationError          the site's config.yaml: never retried, the node does not start
│   └── ProviderError           an execution provider that is asked for and cannot be used: the next one is tried
├── InputError                  an object or file that a peer sent
│   ├── DicomStructureError     cannot be parsed, or contradicts itself
│   │   └── AdmissionError      is not let in, for a reason out of a closed set
│   └── PixelError              cannot be decoded by the pinned decoder, or claims impossible pixels
├── PackageError                a model package: rejected at load, the node goes on with the others
├── ResultError                 result objects that do not say what became of the study: never delivered as they are
├── WorkerError                 the child process that decodes and infers
│   ├── WorkerCrashedError      it died (signal, abort, out of memory)
│   ├── WorkerTimeoutError      it passed its deadline and was killed
│   └── WorkerUnavailableError  it cannot be started, or the node stops: nothing was tried
├── StorageError                disk or database; the peer is asked to come again (0xA700)
│   └── OutOfSpaceError         below the configured reserve
└── DeliveryError               a destination did not take an object
    ├── DestinationUnreachableError   no association: retried with no maximum age
    │   └── EchoUnsupportedError          it takes associations, but not C-ECHO
    ├── CommitmentUnsupportedError    the destination does not do storage commitment
    ├── QueryUnsupportedError         the destination does not answer queries
    └── RetrieveRefusedError          the destination does not let us look for studies, or have them sent

`retryable` says whether doing the same thing again later can succeed. Messages name the element or option, the
value, the rule and the remedy, and never a patient.
"""

from service.domain.fault import Fault


class DokueiError(Exception):
    """Base of every error that Dokuei raises on purpose."""

    retryable = False


class ConfigurationError(DokueiError):
    """config.yaml asks for something that cannot be."""


class ProviderError(ConfigurationError):
    """An execution provider is not here, does not start, or failed.

    Parameters
    ----------
    reason
        A slug for metrics: "absent", "refused" or "lost".
    """

    def __init__(self, message: str, *, reason: str = "refused") -> None:
        super().__init__(message)
        self.reason = reason


class InputError(DokueiError):
    """A peer sent something that cannot be used."""


class DicomStructureError(InputError):
    """The data set cannot be parsed, or its parts contradict each other."""


class AdmissionError(DicomStructureError):
    """An object that came in is not let in.

    Parameters
    ----------
    fault
        Why, for metrics and for the quarantine.
    offset
        Where in the file.

    Attributes
    ----------
    study_instance_uid
        The study that the object names, where it could be read up to there; it identifies a patient.
    """

    def __init__(self, message: str, *, fault: Fault, offset: int = 0) -> None:
        super().__init__(message)
        self.fault = fault
        self.offset = offset
        self.study_instance_uid = ""


class PixelError(InputError):
    """The pixel data cannot be decoded, or does not fit its description."""


class PackageError(DokueiError):
    """A model package is incomplete, altered, or does not reproduce its golden results."""


class ResultError(DokueiError):
    """The result objects do not say what became of the study."""


class WorkerError(DokueiError):
    """The child process failed; the study is tried again, then set aside.

    Parameters
    ----------
    ended_by
        What ended the process, for example "SIGKILL", "memory" or "deadline"; "" when it lives.
    """

    retryable = True

    def __init__(self, message: str = "", *, ended_by: str = "") -> None:
        super().__init__(message)
        self.ended_by = ended_by


class WorkerCrashedError(WorkerError):
    """The child process died."""


class WorkerTimeoutError(WorkerError):
    """The child process passed its deadline and was killed."""


class WorkerUnavailableError(WorkerError):
    """There is no child process to do the work: that says nothing about the study."""


class StorageError(DokueiError):
    """Disk or database refused a write."""

    retryable = True


class OutOfSpaceError(StorageError):
    """Free space is below the configured reserve."""


class DeliveryError(DokueiError):
    """A destination did not take an object."""

    retryable = True


class DestinationUnreachableError(DeliveryError):
    """No association could be made, or it broke."""


class EchoUnsupportedError(DestinationUnreachableError):
    """The destination takes associations, but not C-ECHO: it is up, and that is all a C-ECHO asks."""


class CommitmentUnsupportedError(DeliveryError):
    """The destination does not offer storage commitment: asking again does not help."""

    retryable = False


class QueryUnsupportedError(DeliveryError):
    """The destination does not answer queries: asking again does not help."""

    retryable = False


class RetrieveRefusedError(DeliveryError):
    """The destination refused C-FIND or C-MOVE, does not offer it, or answered with what cannot be used."""

    retryable = False
