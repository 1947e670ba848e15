"""The Python client of Impasto.

from client import Impasto

with Impasto("http://127.0.0.1:8080") as impasto:
    job = impasto.submit("photo.jpg", ["painting.jpg"], size=512)
    for job in impasto.follow(job.id):
        print(job.progress)
    impasto.save_result(job.id, "result.png")
"""

from client.client import Impasto
from client.errors import ApiProblem, ClientError, JobFailed, ServiceUnreachable

__all__ = ["ApiProblem", "ClientError", "Impasto", "JobFailed", "ServiceUnreachable"]
