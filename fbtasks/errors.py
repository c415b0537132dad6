"""Every error this package raises on purpose.

    FbtasksError
    ├── ConfigError            a setting is wrong; the message says which and what to do; the command exits with 2
    │   └── ExtraMissing       a setting wants a library that is not installed on this machine
    ├── BadMessage             bytes from outside that cannot be used; dropped, counted, kept as a dead letter
    │   └── UnknownVersion     well formed, but of a wire version that this build does not read
    ├── EngineError            the model cannot be run as asked; the GPU worker refuses to start
    │   ├── ModelUnsupported   the ONNX file is no detector of a known form
    │   ├── ProviderUnavailable  the execution provider that was asked for does not really run here
    │   └── OutOfDeviceMemory  a batch was too large; the GPU worker goes on with smaller ones
    ├── CatalogueError         a model cannot be added to the list of models; the command exits with 1
    │   ├── FetchFailed        it could not be downloaded, or is not the pinned file
    │   └── ExportFailed       Ultralytics is not to be found or made no ONNX file
    ├── RegistryError          a camera cannot be added, changed or removed at run time; the command exits with 1
    ├── CameraError            a stream cannot be opened or went silent; the camera's loop reconnects with back-off
    ├── OwnershipLost          another task took the camera over; this task's work is dropped, nothing was committed
    ├── OutboxFull             alerts cannot be stored at present; nothing was committed, the sweep tries again
    ├── RecordingError         there is nothing to replay; the command exits with 1
    ├── RequestRefused         what somebody asked of the alerts cannot be done; the command exits with 1
    ├── StoreUnavailable       the database cannot be used at present; the task is tried again
    ├── CopyFailed             the bucket did not take a picture or film; it is tried again
    └── DeliveryFailed         a sink did not take an alert; `retryable` says whether to try again

Whatever else is raised is a bug or the operating system's; supervisors restart the process on it.
"""


class FbtasksError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(FbtasksError):
    """A setting is missing, out of bounds or unknown."""


class ExtraMissing(ConfigError):
    """A setting wants a library that is not installed here; it may be on the machine that needs it."""


class BadMessage(FbtasksError):
    """A message from outside cannot be used. `str(error)` is the reason kept with the dead letter."""


class UnknownVersion(BadMessage):
    """A message of a wire version that this build does not read."""


class EngineError(FbtasksError):
    """The model cannot be run as asked."""


class ModelUnsupported(EngineError):
    """The file is not a detector of a known form."""


class ProviderUnavailable(EngineError):
    """The execution provider that was asked for does not really run the model here."""


class OutOfDeviceMemory(EngineError):
    """A run needed more memory than its device has; a smaller batch may fit."""


class CatalogueError(FbtasksError):
    """A model cannot be added to the list of models under that name."""


class FetchFailed(CatalogueError):
    """A model could not be downloaded, or what came is not the pinned file."""


class ExportFailed(CatalogueError):
    """Ultralytics is not to be found, or made no ONNX file."""


class RegistryError(FbtasksError):
    """A camera cannot be added, changed or removed at run time."""


class CameraError(FbtasksError):
    """A stream cannot be opened, ended, or went silent."""


class OwnershipLost(FbtasksError):
    """The camera belongs to another task now; nothing was committed."""


class OutboxFull(FbtasksError):
    """The outbox is at its cap because alerts are not being stored; nothing was committed."""


class RecordingError(FbtasksError):
    """There is no recording where one was looked for."""


class RequestRefused(FbtasksError):
    """What somebody asked of the alerts cannot be done, as when there is no such alert. The message says what can."""


class StoreUnavailable(FbtasksError):
    """The database of alerts is away, busy or full; the call may be made again."""


class CopyFailed(FbtasksError):
    """The bucket for pictures and films is away, or refuses one; the call may be made again."""


class DeliveryFailed(FbtasksError):
    """A sink did not take an alert.

    Attributes:
        retryable: whether trying again can help.
        retry_after_s: the sink asked to be left alone for so long; 0: it did not.
    """

    def __init__(self, reason: str, *, retryable: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.retry_after_s = retry_after_s
