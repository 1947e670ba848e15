"""Errors of the engine, each with a stable `code` that services and scripts can rely on.

EngineError
├── InvalidInput     invalid_input    an image or a layer cannot be used; found before any work
├── WeightsError     weights          the network's weights are missing, damaged or not VGG-19's
├── DeviceError      device           the device that was asked for is not there
├── StateError       state            a saved state belongs to another run
├── Diverged         diverged         a loss became infinite or not a number, again and again
└── OutOfMemory      out_of_memory    the picture is too large for the device
"""

from typing import ClassVar


class EngineError(Exception):
    """Base of the engine's errors. `str(error)` is a sentence for the person who can act on it."""

    code: ClassVar[str] = "engine"


class InvalidInput(EngineError):
    """An image, a size or a layer cannot be used. Raised before any work is done."""

    code = "invalid_input"


class WeightsError(EngineError):
    """The network's weights are missing, damaged, or not those of VGG-19."""

    code = "weights"


class DeviceError(EngineError):
    """The device that was asked for is not there."""

    code = "device"


class StateError(EngineError):
    """A saved state does not fit this run."""

    code = "state"


class Diverged(EngineError):
    """A loss became infinite or not a number, and going back did not help."""

    code = "diverged"


class OutOfMemory(EngineError):
    """The picture is too large for the device. The message says which size would fit."""

    code = "out_of_memory"
