"""The error tree: every failure that crosses a room of Runtara is one of these.

Each class has a stable ``code`` (it goes over the wire and users match on it), a ``kind`` (what sort of
problem it is; a transport turns it into its own status) and ``retryable`` (may the same call succeed later
without anybody changing anything?). A message says what was wrong, where, and what to do about it.
``details`` holds machine-readable facts and never secrets.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


class ErrorKind(StrEnum):
    """What sort of problem an error is."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    DENIED = "denied"
    TOO_LARGE = "too_large"
    EXHAUSTED = "exhausted"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


class RuntaraError(Exception):
    """Something inside Runtara went wrong that it did not foresee; the server's log has the details."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    kind: ClassVar[ErrorKind] = ErrorKind.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or self.code).strip().splitlines()[0]
        self.details: dict[str, Any] = details
        super().__init__(self.message)

    def to_wire(self) -> dict[str, Any]:
        """This error as the JSON object that every transport sends."""
        wire: dict[str, Any] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        if self.details:
            wire["details"] = self.details
        return wire

    @staticmethod
    def from_wire(wire: dict[str, Any]) -> RuntaraError:
        """The error that the other side sent; a code that this side does not know becomes `RemoteError`."""
        code = str(wire.get("code", RemoteError.code))
        message = str(wire.get("message", "the other side gave no message"))
        details = wire.get("details")
        details = details if isinstance(details, dict) else {}
        # A room may have a private subclass under the same code; what travels is the class that the code belongs to.
        known = next((cls for cls in _tree(RuntaraError) if cls.code == code), None)
        if known is None:
            return RemoteError(message, code=code, retryable=bool(wire.get("retryable", False)), **details)
        error = known.__new__(known)
        RuntaraError.__init__(error, message, **details)
        return error


def _tree(cls: type[RuntaraError]) -> list[type[RuntaraError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in _tree(child))]


class RemoteError(RuntaraError):
    """The other side reported an error with a code that this version does not know."""

    code = "REMOTE_ERROR"

    def __init__(self, message: str, *, code: str = "REMOTE_ERROR", retryable: bool = False, **details: Any) -> None:
        super().__init__(message, **details)
        # A remote error keeps the code and the advice that the other side gave.
        self.code = code  # type: ignore[misc]  # per-instance on purpose: the class cannot know it
        self.retryable = retryable  # type: ignore[misc]


# -- requests ---------------------------------------------------------------------------------------------


class InvalidRequest(RuntaraError):
    """The request is malformed: a field is missing, unknown or of the wrong type."""

    code = "INVALID_REQUEST"
    kind = ErrorKind.INVALID


class UnknownOperation(RuntaraError):
    """This server has no operation of that name."""

    code = "UNKNOWN_OPERATION"
    kind = ErrorKind.NOT_FOUND


class InputInvalid(RuntaraError):
    """The input does not satisfy the image's inputSchema."""

    code = "INPUT_INVALID"
    kind = ErrorKind.INVALID


class PayloadTooLarge(RuntaraError):
    """A body is larger than the limit that the server is configured with."""

    code = "PAYLOAD_TOO_LARGE"
    kind = ErrorKind.TOO_LARGE


class Unauthenticated(RuntaraError):
    """The call carries no valid token."""

    code = "UNAUTHENTICATED"
    kind = ErrorKind.DENIED


class Forbidden(RuntaraError):
    """The token is valid but does not allow this action."""

    code = "FORBIDDEN"
    kind = ErrorKind.DENIED


# -- images and instances ---------------------------------------------------------------------------------


class ImageNotFound(RuntaraError):
    """The tenant has no image with that id or name."""

    code = "IMAGE_NOT_FOUND"
    kind = ErrorKind.NOT_FOUND


class ImageInvalid(RuntaraError):
    """The bytes are not an executable image."""

    code = "IMAGE_INVALID"
    kind = ErrorKind.INVALID


class ImageInUse(RuntaraError):
    """The image still has instances that have not ended."""

    code = "IMAGE_IN_USE"
    kind = ErrorKind.CONFLICT


class ChecksumMismatch(RuntaraError):
    """The bytes received do not have the SHA-256 that was announced."""

    code = "CHECKSUM_MISMATCH"
    kind = ErrorKind.INVALID


class InstanceNotFound(RuntaraError):
    """The tenant has no instance with that id."""

    code = "INSTANCE_NOT_FOUND"
    kind = ErrorKind.NOT_FOUND


class InstanceConflict(RuntaraError):
    """An instance with that id exists already, for another image."""

    code = "INSTANCE_CONFLICT"
    kind = ErrorKind.CONFLICT


class InvalidState(RuntaraError):
    """The instance is in a state that does not allow this."""

    code = "INVALID_INSTANCE_STATE"
    kind = ErrorKind.CONFLICT


class CheckpointNotFound(RuntaraError):
    """The instance has no checkpoint with that id."""

    code = "CHECKPOINT_NOT_FOUND"
    kind = ErrorKind.NOT_FOUND


class StaleLaunch(RuntaraError):
    """A newer launch of this instance exists; this process must exit and may not write any more."""

    code = "STALE_LAUNCH"
    kind = ErrorKind.CONFLICT


class QueueFull(RuntaraError):
    """Too many instances wait for a free slot; try again later or raise the limit."""

    code = "QUEUE_FULL"
    kind = ErrorKind.EXHAUSTED
    retryable = True


class LaunchFailed(RuntaraError):
    """The runner could not start a process for the instance."""

    code = "LAUNCH_FAILED"


class CapabilityNotFound(RuntaraError):
    """The agent has no capability with that id."""

    code = "CAPABILITY_NOT_FOUND"
    kind = ErrorKind.NOT_FOUND


class ConnectionUnknown(RuntaraError):
    """The tenant has no connection with that id."""

    code = "CONNECTION_NOT_FOUND"
    kind = ErrorKind.NOT_FOUND


class ConnectionServiceMissing(RuntaraError):
    """Nobody can be asked for connections: configure `[connections] url`, or install a plugin that resolves them."""

    code = "CONNECTION_SERVICE_MISSING"
    kind = ErrorKind.INVALID


class ConnectionFetchFailed(RuntaraError):
    """The connection service did not give the connection."""

    code = "CONNECTION_FETCH_FAILED"
    kind = ErrorKind.UNAVAILABLE
    retryable = True


class ConnectionRateLimited(RuntaraError):
    """The connection must not be used for a while; `retry_after_ms` says how long."""

    code = "CONNECTION_RATE_LIMITED"
    kind = ErrorKind.EXHAUSTED
    retryable = True


# -- the server and its parts -----------------------------------------------------------------------------


class ServerStopping(RuntaraError):
    """The server is stopping and takes no new work; try again when it is back."""

    code = "SERVER_STOPPING"
    kind = ErrorKind.UNAVAILABLE
    retryable = True


class ConnectionFailed(RuntaraError):
    """No connection to the server."""

    code = "CONNECTION_FAILED"
    kind = ErrorKind.UNAVAILABLE
    retryable = True


class CallTimeout(RuntaraError):
    """The other side did not answer in time."""

    code = "CALL_TIMEOUT"
    kind = ErrorKind.TIMEOUT
    retryable = True


class ProtocolError(RuntaraError):
    """The other side sent bytes that are not of the protocol."""

    code = "PROTOCOL_ERROR"
    kind = ErrorKind.INVALID


class StorageError(RuntaraError):
    """The database failed."""

    code = "STORAGE_ERROR"
    kind = ErrorKind.UNAVAILABLE
    retryable = True


class StorageCorrupt(RuntaraError):
    """The database file is damaged or is no database of Runtara."""

    code = "STORAGE_CORRUPT"


class MigrationError(RuntaraError):
    """The database's schema is not one that this version can use."""

    code = "MIGRATION_ERROR"


class DataDirInUse(RuntaraError):
    """Another server uses this data directory."""

    code = "DATA_DIR_IN_USE"
    kind = ErrorKind.CONFLICT


class AddressInUse(RuntaraError):
    """The address to listen on is taken."""

    code = "ADDRESS_IN_USE"
    kind = ErrorKind.CONFLICT


class ConfigError(RuntaraError):
    """The configuration is not valid."""

    code = "CONFIG_INVALID"
    kind = ErrorKind.INVALID


# -- plugins ----------------------------------------------------------------------------------------------


class PluginError(RuntaraError):
    """A plugin cannot be used."""

    code = "PLUGIN_ERROR"


class DriverNotFound(PluginError):
    """No installed distribution offers a driver of that name."""

    code = "DRIVER_NOT_FOUND"
    kind = ErrorKind.NOT_FOUND


class DriverAmbiguous(PluginError):
    """Two installed distributions offer a driver of the same name."""

    code = "DRIVER_AMBIGUOUS"


class DriverBroken(PluginError):
    """The driver's entry point cannot be imported or is not a driver."""

    code = "DRIVER_BROKEN"


class DriverIncompatible(PluginError):
    """The driver was written for another version of its contract."""

    code = "DRIVER_INCOMPATIBLE"


class DriverUnavailable(PluginError):
    """The driver is installed, but something that it needs on this machine is missing."""

    code = "DRIVER_UNAVAILABLE"
    kind = ErrorKind.UNAVAILABLE


class HookBroken(PluginError):
    """A plugin's hook implementation is misspelt or takes arguments that do not exist."""

    code = "HOOK_BROKEN"


# -- scenarios and programs -------------------------------------------------------------------------------


class ScenarioInvalid(RuntaraError):
    """The scenario does not validate; `findings` lists every problem."""

    code = "SCENARIO_INVALID"
    kind = ErrorKind.INVALID


class CompilationFailed(RuntaraError):
    """The scenario validates but could not be compiled."""

    code = "COMPILATION_FAILED"


class NotAWorkflow(RuntaraError):
    """The object named is not a Python workflow."""

    code = "NOT_A_WORKFLOW"
    kind = ErrorKind.INVALID
