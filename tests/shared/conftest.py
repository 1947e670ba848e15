"""What the tests of several packages post."""

from typing import Any

from shared.jobs import Inputs, JobRequest
from shared.parameters import Parameters
from shared.records import new_job_id

INPUTS = Inputs(content="c" * 64, styles=["5" * 64])


def job_request(**fields: Any) -> JobRequest:
    """A request for a job, as the API makes it from an upload."""
    values = {"id": new_job_id(), "params": Parameters(), "inputs": INPUTS} | fields
    return JobRequest(**values)
