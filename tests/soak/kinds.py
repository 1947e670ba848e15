"""What customers ask for: small jobs of every engine, and some that must fail."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from shared.jobs import ErrorCode
from tests.faults.jobs import LASTS, LONG, SMALL
from tests.faults.test_poison import OVERFLOWS


@dataclass(frozen=True)
class Kind:
    """Parameters that many jobs share, so that their pictures can be compared."""

    name: str
    share: float
    params: dict[str, Any] = field(default_factory=dict)
    has_content: bool = True
    has_style: bool = True
    kills: bool = False  # the soak kills every process that paints it
    endless: bool = False  # it ends by being cancelled, or at its deadline
    must_fail_as: ErrorCode | None = None

    def may_fail_as(self, code: ErrorCode) -> bool:
        """Whether this is an end that such a job may come to while workers are being killed."""
        if code in (self.must_fail_as, ErrorCode.MAX_ATTEMPTS):
            return True
        return code == ErrorCode.DEADLINE_EXCEEDED and (self.endless or self.kills)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("short", 3, SMALL),
        Kind("default", 4, LASTS),
        Kind("pyramid", 2, {"size": 64, "pyramid": {"min_size": 32, "steps": [40, 50]}}),
        Kind("neural-style", 3, {"preset": "neural-style", "size": 64, "steps": 80}),
        Kind("content-clone", 3, {"preset": "content-clone", "size": 64, "steps": 100}),
        Kind("d2l", 2, {"preset": "d2l", "size": 48, "steps": 120}),
        Kind("starry-noise", 2, {"preset": "starry-noise", "size": 48, "steps": 120}),
        Kind("wasserstein", 1, {"preset": "wasserstein", "size": 48, "steps": 15}),
        Kind("texture", 2, {"preset": "texture", "size": 64, "steps": 80}, has_content=False),
        Kind("reconstruction", 2, {"preset": "reconstruction", "size": 48}, has_style=False),
        Kind("diverges", 1, {**SMALL, **OVERFLOWS}, must_fail_as=ErrorCode.DIVERGED),
        Kind("kills its workers", 1, LONG, kills=True, must_fail_as=ErrorCode.MAX_ATTEMPTS),
        Kind("endless", 1, LONG, endless=True),
    )
}


def draw(random: Random) -> Kind:
    """A kind of job, by their shares."""
    (kind,) = random.choices(list(KINDS.values()), [kind.share for kind in KINDS.values()])
    return kind
