"""Every key in Redis that the records and what hangs on them are made of.

The scripts (`shared/lua`) get these names as well, so that no name is written twice. They touch the
record of a job and several of the others at once: all of them lie on one primary
(docs/decisions/0003-job-record-as-truth.md).
"""

from shared.jobs import JobStatus

QUEUE = "impasto:queue"  # waiting jobs, by priority, then by age
DUE = "impasto:due"  # waiting jobs, by when their message is sent again
LEASES = "impasto:leases"  # running jobs, by when their lease runs out
EXPIRY = "impasto:expiry"  # finished jobs, by when they are forgotten
OUTBOX = "impasto:outbox"  # finished jobs whose webhook waits, by when it is sent
GARBAGE = "impasto:garbage"  # prefixes in S3 that nobody needs, by when they are removed
INPUT_USES = "impasto:input-uses"  # SHA-256 of an input -> number of jobs that use it
UNUSED_INPUTS = "impasto:unused-inputs"  # inputs that no job may use any more, by since when
COUNTERS = "impasto:counters"  # what has happened -> how often; never falls
STATUSES = "impasto:statuses"  # status -> number of jobs
UNFINISHED = "impasto:unfinished"  # owner -> number of unfinished jobs
RUNNING_LIMITS = "impasto:running-limits"  # owner -> how many jobs run at a time; none: no limit
WORKERS = "impasto:workers"  # names of workers, by when their registration runs out
KEYS = "impasto:keys"  # id of an API key -> what is known of it, as JSON


def record(job_id: str) -> str:
    """The record of a job."""
    return f"impasto:job:{{{job_id}}}"


def preview_wanted(job_id: str) -> str:
    """There as long as somebody looks at a job."""
    return f"{record(job_id)}:preview-wanted"


def gone(job_id: str) -> str:
    """What is left of a job that was deleted or has expired: whose it was, for a while."""
    return f"{record(job_id)}:gone"


def index(owner: str, status: JobStatus) -> str:
    """Ids of somebody's jobs in a status, sorted; ids are UUIDv7, so by age."""
    return f"impasto:jobs:{owner}:{status}"


def held_back(owner: str) -> str:
    """Waiting jobs of an owner that a worker put off, since as many run as may; the next first."""
    return f"impasto:held-back:{owner}"


def idempotency(owner: str, key_sha256: str) -> str:
    """Which request came with an idempotency key, and which job it made."""
    return f"impasto:idempotency:{owner}:{key_sha256}"


def input_deleting(sha256: str) -> str:
    """There while an input is being removed from S3."""
    return f"impasto:input-deleting:{sha256}"
