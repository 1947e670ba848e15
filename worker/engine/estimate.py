"""What a run will take on a device whose speed is known."""

from shared import estimates
from shared.estimates import Estimate, Speed
from worker.engine.stylization import Stylization


def estimate(run: Stylization, speed: Speed) -> Estimate:
    """What painting `run` from its beginning to its picture takes; see `shared.estimates`.

    `speed` is that of its network's device, from `measure_speed`.
    """
    images = run.shapes
    provenance = run.provenance
    return estimates.estimate(
        run.parameters,
        images.content,
        images.styles,
        speed=speed,
        precision=provenance.precision,
        masked=images.masked,
        on_cpu=provenance.device == "cpu",
    )
