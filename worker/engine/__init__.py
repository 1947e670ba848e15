"""Neural style transfer by optimisation (Gatys, Ecker, Bethge, CVPR 2016), in pure PyTorch.

Knows nothing of queues, storage or HTTP; see `Stylization` for how to use it.
"""

from shared.levels import Level
from worker.engine.errors import (
    DeviceError,
    Diverged,
    EngineError,
    InvalidInput,
    OutOfMemory,
    StateError,
    WeightsError,
)
from worker.engine.estimate import estimate
from worker.engine.hardware import resolve_device
from worker.engine.objective import Losses
from worker.engine.speed import measure_speed
from worker.engine.stylization import Progress, Provenance, Stylization
from worker.engine.vgg import VGG19
from worker.engine.weights import Weights, load_weights, verify_weights

__all__ = [
    "VGG19",
    "DeviceError",
    "Diverged",
    "EngineError",
    "InvalidInput",
    "Level",
    "Losses",
    "OutOfMemory",
    "Progress",
    "Provenance",
    "StateError",
    "Stylization",
    "Weights",
    "WeightsError",
    "estimate",
    "load_weights",
    "measure_speed",
    "resolve_device",
    "verify_weights",
]
