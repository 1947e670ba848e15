"""The Lua scripts that change job records, each atomic and under Redis's own clock.

A script is made of the names of keys (`shared.names`), the clock, what all scripts share
(`lua/prelude.lua`) and its own body. One that changes a job may be called twice with the same
arguments, as a client does whose answer was lost: the second call changes nothing more.
"""

from pathlib import Path
from typing import Any

from redis import Redis

from shared import names
from shared.jobs import JobStatus, Priority
from shared.storage import checkpoints_prefix, job_prefix

FOLDER = Path(__file__).parent / "lua"
PARTS = frozenset({"clock", "prelude"})
CLOCK = (FOLDER / "clock.lua").read_text()
# Upper bounds of the buckets in which durations are counted, s.
DURATION_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
PRIORITY_RANK = {priority: rank for rank, priority in enumerate(Priority)}  # 0 is served first

_SETS = (
    "QUEUE",
    "DUE",
    "LEASES",
    "EXPIRY",
    "OUTBOX",
    "GARBAGE",
    "INPUT_USES",
    "UNUSED_INPUTS",
    "COUNTERS",
    "STATUSES",
    "UNFINISHED",
    "RUNNING_LIMITS",
)
_PLACE = "%s"  # where Lua's string.format puts an id; Python has no use for it


class Scripts:
    """All scripts of `shared/lua`, by their names."""

    def __init__(self, redis: Redis) -> None:
        self._scripts = {
            path.stem: redis.register_script(source(path.stem))
            for path in FOLDER.glob("*.lua")
            if path.stem not in PARTS
        }

    def run(self, name: str, *arguments: Any) -> Any:
        """Run `lua/<name>.lua`. Raises `RedisError` when Redis does not answer."""
        return self._scripts[name](args=arguments)


def source(name: str) -> str:
    """The whole text of a script."""
    first, body = (FOLDER / f"{name}.lua").read_text().split("\n", 1)
    if not first.startswith("#!"):
        raise ValueError(f"{name}.lua does not begin with #!lua and its flags")
    return "\n".join([first, _names(), CLOCK, (FOLDER / "prelude.lua").read_text(), body])


def _names() -> str:
    lines = [f"local {name} = '{getattr(names, name)}'" for name in _SETS]
    patterns = {
        "RECORD": names.record(_PLACE),
        "PREVIEW_WANTED": names.preview_wanted(_PLACE),
        "GONE": names.gone(_PLACE),
        "INPUT_DELETING": names.input_deleting(_PLACE),
        "INDEX": names.index(_PLACE, JobStatus.QUEUED).replace(JobStatus.QUEUED, _PLACE),
        "HELD_BACK": names.held_back(_PLACE),
        "IDEMPOTENCY": names.idempotency(_PLACE, _PLACE),
        "JOB_PREFIX": job_prefix(_PLACE),
        "CHECKPOINTS_PREFIX": checkpoints_prefix(_PLACE),
    }
    lines += [f"local {name}_PATTERN = '{pattern}'" for name, pattern in patterns.items()]
    ranks = ", ".join(f"{priority} = {rank}" for priority, rank in PRIORITY_RANK.items())
    bounds = ", ".join(map(str, DURATION_BUCKETS))
    statuses = ", ".join(f"'{status}'" for status in JobStatus)
    tables = [
        f"local RANKS = {{{ranks}}}",
        f"local DURATION_BUCKETS = {{{bounds}}}",
        f"local ALL_STATUSES = {{{statuses}}}",
    ]
    return "\n".join([*lines, *tables])
