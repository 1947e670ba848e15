"""The OpenAPI document: what flask-openapi3 gathers from the routes, and what it cannot know.

Routes say which statuses they answer, with which body and headers (`api.answers`, `api.problems`).
What is the same for many is added here once and referred to: headers, errors, examples, schemas.
"""

from typing import Any

from flask import Flask
from flask_openapi3 import OpenAPI
from flask_openapi3.utils import parse_rule
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import examples
from api.authentication import is_protected
from api.estimate import EstimateRequest
from api.problems import Problem, problem_response
from api.system import Health, PresetList, Readiness
from api.uploads import FILE_FIELDS, UPLOAD_SCHEMA
from shared import errors
from shared.errors import Fault, ImpastoError
from shared.estimates import JobEstimate
from shared.images import CONTENT_TYPES
from shared.jobs import Job, JobList, LossCurve, Priority, Progress
from shared.parameters import Parameters
from shared.settings import Settings
from shared.webhooks import Message
from shared.workers import WorkerList

DESCRIPTION = """\
Paints a photograph in the style of a painting.

1. `POST /v1/jobs` with the images. It answers 202 at once, with the job and its `Location`.
2. Follow the job: poll it as often as `Retry-After` says, or read its `events`. With `Prefer: \
wait=N` the first answer itself waits for the end.
3. When it has `succeeded`, fetch the `result`.

Every error is a problem (RFC 9457): branch on its `code`. 429 and 503 say in `Retry-After` when \
to ask again. Every answer has an `X-Request-ID`, by which the logs know the request. A method \
that a path does not have is answered 405, with `Allow`. Every GET may be sent as HEAD.
"""
IMAGES = tuple(CONTENT_TYPES.values())
SCHEMA = "#/components/schemas/{model}"
MODELS: tuple[type[BaseModel], ...] = (
    EstimateRequest,
    Health,
    Job,
    JobEstimate,
    JobList,
    LossCurve,
    Message,
    Parameters,
    PresetList,
    Problem,
    Progress,
    Readiness,
    WorkerList,
)
# A worker writes it, and the API hands it on (`worker.manifest`).
MANIFEST = {
    "type": "object",
    "description": "What reproduces a picture, and what came of it.",
    "required": ["parameters", "inputs", "weights", "weights_sha256", "precision", "output"],
    "properties": {
        "parameters": {"$ref": SCHEMA.format(model="Parameters")},
        "inputs": {"$ref": SCHEMA.format(model="Inputs")},
        "output": {"$ref": SCHEMA.format(model="Picture")},
        "weights": {"type": "string", "description": "Of VGG-19."},
        "weights_sha256": {"type": "string"},
        "precision": {"type": "string"},
        "device": {"type": "string", "description": "Its kind: cpu or cuda."},
        "device_name": {"type": "string"},
        "impasto_version": {"type": "string"},
        "losses": {"type": ["object", "null"], "description": "Of the delivered picture."},
        "seconds": {"type": "number", "description": "How long the optimisation took."},
        "created_at": {"type": "string", "format": "date-time"},
    },
}
# Two models have the same name, and pydantic tells them apart by their modules.
NAMES = {"shared__jobs__Output": "Picture", "shared__parameters__Output": "Encoding"}
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key that `impasto keys create` made. A key sees its own jobs only. Where no"
    " key was ever made, none is needed.",
}


def _header(description: str, example: str | int, **schema: Any) -> dict[str, Any]:
    kind = "integer" if isinstance(example, int) else "string"
    return {
        "description": description,
        "schema": {"type": kind, **schema},
        "example": example,
    }


HEADERS = {
    "Allow": _header("The methods that there are", "GET, HEAD, OPTIONS"),
    "Cache-Control": _header("Who may keep it, and for how long", "private, no-cache"),
    "Content-Disposition": _header(
        "The name of the file", f'inline; filename="{examples.JOB_ID}.png"'
    ),
    "ETag": _header("To be sent as `If-None-Match`", f'"{examples.RESULT_SHA256}"'),
    "Idempotent-Replayed": _header(
        "The `Idempotency-Key` was seen before: this is the job that it made then", "true"
    ),
    "Location": _header("Where it is", examples.QUEUED.urls.self, format="uri-reference"),
    "Preference-Applied": _header("It has waited", "wait=30"),
    "RateLimit": _header(
        "What is left now, and in how many seconds there is more", '"requests";r=5999;t=1'
    ),
    "RateLimit-Policy": _header(
        "How often one may ask: so many in a minute", '"requests";q=6000;w=60'
    ),
    "Retry-After": _header("Seconds after which to ask again", 1, minimum=0),
    "WWW-Authenticate": _header("How to show a key", 'Bearer realm="impasto"'),
    "X-Request-ID": _header("By which the logs know this request", examples.REQUEST_ID),
}
REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "A name for this request, which its answer and the logs then have.",
    "schema": {"type": "string"},
    "example": examples.REQUEST_ID,
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "`ETag` of an answer that the client has: 304 when it is still so.",
    "schema": {"type": "string"},
    "example": f'"{examples.RESULT_SHA256}"',
}

# Every error with a sentence that is really said, by status.
ERRORS: dict[str, tuple[str, str, tuple[ImpastoError, ...]]] = {
    "400": (
        "BadRequest",
        "The request is not shaped as it should be",
        (
            errors.InvalidRequest(
                "style: a style image is missing: style_weight=5 needs one",
                (Fault("style", "a style image is missing: style_weight=5 needs one"),),
            ),
        ),
    ),
    "401": (
        "Unauthorized",
        "A key is needed, or this one is not valid",
        (errors.Unauthorized("this is no API key that is known here, or it was revoked"),),
    ),
    "403": (
        "QuotaExceeded",
        "As many of your jobs are kept as may be",
        (errors.QuotaExceeded("100,000 jobs of yours are kept, as many as may be: delete some"),),
    ),
    "404": (
        "NotFound",
        "There is none, or it is somebody else's",
        (errors.NotFound(f"there is no job {examples.OTHER_ID!r}"),),
    ),
    "409": (
        "Conflict",
        "The job is not in a state for this",
        (
            errors.Conflict("the job has not ended yet: cancel it first"),
            errors.InFlight("the first request with this Idempotency-Key is still worked on"),
        ),
    ),
    "410": (
        "Gone",
        "It was there, and is not kept any more",
        (errors.Gone(f"the job {examples.OTHER_ID} was deleted, or kept as long as jobs are"),),
    ),
    "413": (
        "TooLarge",
        "More than is taken",
        (errors.TooLarge("content: 31,457,280 bytes, at most 26,214,400 taken"),),
    ),
    "415": (
        "UnsupportedMedia",
        "Not a kind of body or file that is read here",
        (errors.UnsupportedMedia("send the images as multipart/form-data"),),
    ),
    "422": (
        "InvalidInput",
        "Understood, and out of bounds",
        (
            errors.InvalidInput(
                "params/size: Input should be greater than or equal to 32",
                (Fault("params/size", "Input should be greater than or equal to 32"),),
            ),
            errors.InvalidImage(
                "content: the image is empty: expected the bytes of a picture",
                (Fault("content", "the image is empty: expected the bytes of a picture"),),
            ),
            errors.KeyReused("this Idempotency-Key came with another request before"),
        ),
    ),
    "429": (
        "TooMany",
        "More than one may have, or ask for",
        (
            errors.RateLimited("more than 6,000 requests a minute", retry_after_seconds=1),
            errors.TooMany(
                "you have 1,000 unfinished jobs, as many as one may have: wait for some"
            ),
        ),
    ),
    "500": (
        "InternalError",
        "Something broke; it has been logged",
        (ImpastoError("something broke on our side; it has been logged"),),
    ),
    "503": (
        "Unavailable",
        "Not now; nothing that was accepted is lost",
        (
            errors.Unavailable(
                "Redis does not answer; nothing that was accepted is lost, try again"
            ),
        ),
    ),
}
# What is posted, by operation.
REQUESTS: dict[str, dict[str, Any]] = {
    "create_job": {
        "multipart/form-data": {
            "schema": UPLOAD_SCHEMA,
            "encoding": {
                **{name: {"contentType": ", ".join(IMAGES)} for name in FILE_FIELDS},
                "params": {"contentType": "application/json"},
                "metadata": {"contentType": "application/json"},
            },
            "examples": examples.UPLOADS,
        }
    },
    "estimate_job": {
        "application/json": {
            "schema": {"$ref": SCHEMA.format(model=EstimateRequest.__name__)},
            "examples": examples.ESTIMATES,
        }
    },
}
# What a job's `Location` and `id` are good for.
LINKS = {
    "get_job": "See how the job is doing",
    "follow_job": "Follow it",
    "cancel_job": "End it",
    "retry_job": "Do it again",
    "delete_job": "Forget it",
    "get_preview": "See what it looks like so far",
    "get_losses": "See how the losses fell",
    "get_result": "Fetch the picture",
    "get_manifest": "Fetch what reproduces it",
}
WEBHOOK: dict[str, Any] = {
    "operationId": "job_ended",
    "tags": ["webhooks"],
    "summary": "A job has ended",
    "description": "Posted to the `webhook` of a job, signed as"
    " [Standard Webhooks](https://www.standardwebhooks.com) say. It comes at least once: tell"
    " repetitions by `webhook-id`. Every answer but 2xx is a failure, and it comes again; 410 ends"
    " that.",
    "security": [],
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": description,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, description, example in (
            (
                "webhook-id",
                "`{job}:{status}`, the same each time that this webhook is tried.",
                f"{examples.JOB_ID}:succeeded",
            ),
            (
                "webhook-timestamp",
                "When this attempt was made, seconds since 1970.",
                str(int(examples.FINISHED_AT.timestamp())),
            ),
            (
                "webhook-signature",
                "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; several, separated"
                " by spaces, while secrets are exchanged.",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        )
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": SCHEMA.format(model="Message")},
                "examples": examples.MESSAGES,
            }
        },
    },
    "responses": {
        "204": {"description": "It was received"},
        "410": {"description": "Send no more of this job"},
    },
}
TAGS = [
    {"name": "jobs", "description": "Paint pictures"},
    {"name": "pictures", "description": "Fetch what was painted, and from what"},
    {"name": "service", "description": "What is there and how it is"},
    {"name": "webhooks", "description": "What is told to a URL of yours"},
]


def build(app: OpenAPI, settings: Settings) -> dict[str, Any]:
    """The document. To be called when all routes are known."""
    document: dict[str, Any] = app.api_doc
    names = {
        (parse_rule(rule.rule), method.lower()): rule.endpoint.rpartition(".")[2]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = operation["operationId"] = names[path, method]
            _complete(path, operation)
            if name in REQUESTS:
                operation["requestBody"] = {"required": True, "content": REQUESTS[name]}
    document["info"]["description"] = DESCRIPTION
    document["servers"] = [{"url": "/", "description": "Where this document comes from"}]
    document["tags"] = TAGS
    document["webhooks"] = {"job_ended": {"post": WEBHOOK}}
    document["components"] = {
        "schemas": _schemas(),
        "headers": HEADERS,
        "parameters": {"If-None-Match": IF_NONE_MATCH, "X-Request-ID": REQUEST_ID},
        "responses": _errors(app),
        "examples": {**examples.BODIES, "presets": examples.presets(settings)},
        "links": {
            name: {
                "operationId": name,
                "description": description,
                "parameters": {"job_id": "$response.body#/id"},
            }
            for name, description in LINKS.items()
        },
        "securitySchemes": {"key": KEY},
    }
    return document


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Add what an operation has in common with others."""
    responses: dict[str, Any] = operation["responses"]
    # flask-openapi3's own, an array of problems, wherever a route does not describe its 422.
    if "application/json" in responses["422"].get("content", {}):
        del responses["422"]
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        _mend(parameter)
    statuses = {"500"}
    if is_protected(path):
        operation["security"] = [{"key": []}, {}]  # without keys, it is open to all
        statuses |= {"401", "429", "503"}
        parameters.append({"$ref": "#/components/parameters/X-Request-ID"})
    for status, response in responses.items():
        if "application/problem+json" in response.get("content", {}):
            statuses.add(status)
        elif is_protected(path):
            _add_headers(response, "RateLimit", "RateLimit-Policy", "X-Request-ID")
        else:
            _add_headers(response, "X-Request-ID")
    for status in statuses:
        responses[status] = {"$ref": f"#/components/responses/{ERRORS[status][0]}"}
    operation["responses"] = dict(sorted(responses.items()))
    if "304" in responses:
        parameters.append({"$ref": "#/components/parameters/If-None-Match"})
    if not parameters:
        del operation["parameters"]


def _mend(parameter: dict[str, Any]) -> None:
    """Say of a parameter what it is on its way, where it is text."""
    schema: dict[str, Any] = parameter["schema"]
    for option in schema.pop("anyOf", []):
        if option != {"type": "null"}:  # which is to leave it out
            schema |= option
    if schema.get("default", ...) is None:
        del schema["default"]
    if schema["type"] == "array":
        parameter["explode"] = False  # separated by commas; and twice is once
        schema.pop("uniqueItems", None)
        schema["default"].sort()


def _add_headers(response: dict[str, Any], *names: str) -> None:
    references = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    response["headers"] = {**response.get("headers", {}), **references}


def _errors(app: Flask) -> dict[str, Any]:
    """Every error, as it is really answered."""
    described = {}
    for status, (name, description, found) in ERRORS.items():
        headers = {"RateLimit", "RateLimit-Policy", "X-Request-ID"}
        shown = {}
        for error in found:
            with app.test_request_context(examples.QUEUED.urls.self):
                response = problem_response(error)
            headers |= {"Retry-After"} & {*response.headers.keys()}
            shown[error.code] = {"summary": error.title, "value": response.get_json()}
        if status == "401":
            headers.add("WWW-Authenticate")
        described[name] = {
            "description": description,
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": SCHEMA.format(model=Problem.__name__)},
                    "examples": shown,
                }
            },
        }
        _add_headers(described[name], *sorted(headers))
    return described


def _schemas() -> dict[str, Any]:
    """Those of all models, in which every name stands once."""
    _, found = models_json_schema([(model, "validation") for model in MODELS], ref_template=SCHEMA)
    schemas: dict[str, Any] = _renamed(found["$defs"])
    schemas[Priority.__name__] |= {
        "default": Priority.NORMAL,
        "description": "Workers empty the queues of higher priorities first.",
    }
    return schemas | {"Manifest": MANIFEST}


def _renamed(value: Any) -> Any:
    """The same with the names of `NAMES`, as keys and at the end of references."""
    if isinstance(value, dict):
        return {NAMES.get(name, name): _renamed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if isinstance(value, str) and value.startswith("#/"):
        head, _, name = value.rpartition("/")
        return f"{head}/{NAMES.get(name, name)}"
    return value
