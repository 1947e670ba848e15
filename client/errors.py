"""What can go wrong between a client and the service.

ClientError
├── ServiceUnreachable      nothing answers at the address
│   └── ServiceSilent       something took the request, and said nothing for too long
├── ApiProblem              the service refused; carries the problem details
└── JobFailed               the job ended without a picture
"""

from shared.jobs import Job


class ClientError(Exception):
    """Base of all errors of the client. `str(error)` is a sentence for a person."""


class ServiceUnreachable(ClientError):
    """Nothing answers at the address of the service."""

    def __init__(self, message: str, *, was_sent: bool = False) -> None:
        super().__init__(message)
        self.was_sent = was_sent  # perhaps: something took the connection, but gave no answer


class ServiceSilent(ServiceUnreachable):
    """Something took the request, and said nothing for too long."""


class ApiProblem(ClientError):
    """The service answered with problem details (RFC 9457)."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds


class JobFailed(ClientError):
    """The job ended as failed or canceled."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.error.message} ({job.error.code})" if job.error else ""
        super().__init__(f"job {job.id} {job.status}{reason}")
        self.job = job
