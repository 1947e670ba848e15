"""`impasto stylize --estimate`: what the picture would take, before it is painted."""

from shared.estimates import Estimate


def in_words(estimate: Estimate) -> str:
    """The estimate, level by level if there are several."""
    lines = [
        f"{estimate.steps} steps, about {_seconds(estimate.seconds)},"
        f" {estimate.memory_bytes / 1e6:,.0f} MB beside the network"
    ]
    if len(estimate.levels) > 1:
        lines += [
            f"  {level.width_px} x {level.height_px} px: {level.steps} steps,"
            f" {_seconds(level.seconds)}"
            for level in estimate.levels
        ]
    return "\n".join(lines)


def _seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
