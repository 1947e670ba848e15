"""Origins of pages (scheme, host and port), as browsers send them in `Origin`."""

import re

_ORIGIN = re.compile(
    r"https?://"
    r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)"
    r"(:[0-9]{1,5})?"
)


def parse_origins(written: str) -> tuple[str, ...]:
    """The origins in a list with commas, as browsers spell them.

    Raises:
        ValueError: one is none: it has a path, no scheme, or is a pattern.
    """
    origins = tuple(dict.fromkeys(part.strip().lower() for part in written.split(",") if part))
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is no origin: write them like https://studio.example or"
                " http://localhost:3000, without a path, separated by commas"
            )
    return origins
