"""The Python client of Impasto.

from client import Impasto

with Impasto("http://127.0.0.1:8080") as impasto:
    painting = impasto.paint("photo.jpg", ["painting.jpg"], size=512)
    painting.save("result.png")

`AsyncImpasto` has the same methods for an event loop.
"""

from client.client import AsyncImpasto, Impasto
from client.errors import ApiProblem, ClientError, JobFailed, ServiceSilent, ServiceUnreachable
from client.events import Completed, JobEvent, PreviewMade, Progressed, StatusChanged
from client.painting import Painting

__all__ = [
    "ApiProblem",
    "AsyncImpasto",
    "ClientError",
    "Completed",
    "Impasto",
    "JobEvent",
    "JobFailed",
    "Painting",
    "PreviewMade",
    "Progressed",
    "ServiceSilent",
    "ServiceUnreachable",
    "StatusChanged",
]
