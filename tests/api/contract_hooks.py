"""For the process of schemathesis: what it sends as images, and a list of what was answered.

From a schema it cannot make a file that is an image.
"""

import os
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import Case, HookContext, Response, SerializationContext
from schemathesis.transport.requests import REQUESTS_TRANSPORT, multipart_serializer

from api.uploads import FILE_FIELDS
from shared.images import CONTENT_TYPES
from tests.conftest import picture_bytes

IMAGES = [picture_bytes(kind, 48, 40, kind.upper()) for kind in CONTENT_TYPES]

for media_type in CONTENT_TYPES.values():
    schemathesis.openapi.media_type(media_type, strategies.sampled_from(IMAGES))


@REQUESTS_TRANSPORT.serializer("multipart/form-data")
def upload(context: SerializationContext, value: Any) -> dict[str, Any]:
    """As a client sends it: images are files, which have a name."""
    sent: dict[str, Any] = multipart_serializer(context, value)
    if sent.get("files"):
        sent["files"] = [
            (field, _as_file(part) if field in FILE_FIELDS else part)
            for field, part in sent["files"]
        ]
    return sent


def _as_file(part: tuple[Any, ...]) -> tuple[Any, ...]:
    _, content, *kind = part
    is_example = str(content).startswith("(bytes of")
    return ("picture", IMAGES[0] if is_example else content, *kind)


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Note which answers were seen: `GET /v1/jobs/{job_id} 200`."""
    with Path(os.environ["IMPASTO_TEST_ANSWERS"]).open("a") as seen:
        seen.write(f"{case.method} {case.path} {response.status_code}\n")
