"""The OpenAPI document says what the routes do."""

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import TestResponse

from api.authentication import is_protected
from api.document import ERRORS, HEADERS, MANIFEST
from api.examples import BODIES, JOB_ID, QUEUED, RUNNING, SUCCEEDED
from api.uploads import FILE_FIELDS
from shared import errors
from shared.errors import ImpastoError
from shared.jobs import Job, JobStatus, Priority, StoredOutput
from shared.parameters import Parameters
from shared.records import JobRecords
from shared.storage import Storage, preview_key
from shared.webhooks import payload
from tests.api.conftest import CONTENT, STYLE, Report, form, post
from tests.conftest import picture_bytes
from worker.manifest import Manifest

# The files that pages are made of.
FILES = {"/web/{name}", "/docs/scalar", "/docs/scalar/{filename}"}
# Of answers, besides these: what HTTP itself says, and what a browser may do with it.
TOLD = {name for name in HEADERS if name not in ("Allow", "Cache-Control")}
Document = dict[str, Any]
Paint = Callable[[str], StoredOutput]


@pytest.fixture(scope="module")
def document(application: Any) -> Document:
    answer = application.test_client().get("/openapi.json")
    assert answer.content_type == "application/json"
    found: Document = answer.get_json()
    return found


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def resolve(document: Document, value: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to, or the value itself."""
    if "$ref" not in value:
        return value
    found: Any = document
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def faults(document: Document, schema: dict[str, Any], value: Any) -> list[str]:
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]


def media(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body that is described: of requests, answers and webhooks."""
    webhook = document["webhooks"]["job_ended"]["post"]
    for path, method, operation in [*operations(document), ("webhook", "post", webhook)]:
        described = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for status, each in described.items():
            for kind, body in resolve(document, each).get("content", {}).items():
                yield f"{method} {path} {status} {kind}", body


# -- the document -------------------------------------------------------------------------------


def test_it_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert document["info"]["title"] == "Impasto"
    assert document["info"]["version"]
    assert document["servers"] == [{"url": "/", "description": "Where this document comes from"}]


def test_every_route_is_documented_and_every_documented_route_is_there(
    application: Any, document: Document
) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    documented = {(path, method) for path, method, _ in operations(document)}
    assert {route for route in served if route[0] not in FILES} == documented
    assert len(documented) == 21


def test_every_reference_leads_somewhere(document: Document) -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))
    assert len(references) > 50
    for reference in references:
        assert resolve(document, {"$ref": reference})


def test_everything_that_is_shared_is_used(document: Document) -> None:
    text = json.dumps({**document, "components": {**document["components"], "schemas": {}}})
    for kind in ("headers", "parameters", "responses", "examples", "links"):
        for name in document["components"][kind]:
            if (kind, name) != ("headers", "Allow"):  # of 405, which the description has
                assert f'"#/components/{kind}/{name}"' in text, (kind, name)


def test_it_is_the_same_in_every_process(application: Any, document: Document) -> None:
    (status,) = [
        parameter
        for parameter in document["paths"]["/v1/jobs"]["get"]["parameters"]
        if parameter.get("name") == "status"
    ]
    assert status["explode"] is False
    assert status["schema"]["items"] == {"$ref": "#/components/schemas/JobStatus"}
    assert status["schema"]["default"] == sorted(JobStatus)


def test_every_operation_has_its_own_id_a_sentence_and_a_known_tag(document: Document) -> None:
    found = [operation for _, _, operation in operations(document)]
    ids = [operation["operationId"] for operation in found]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in ids), ids
    tags = {tag["name"] for tag in document["tags"]}
    for operation in found:
        assert operation["summary"].endswith(".")
        assert set(operation["tags"]) <= tags
        for response in operation["responses"].values():
            assert resolve(document, response)["description"]


def test_links_lead_to_operations_that_take_a_job(document: Document) -> None:
    taking = {
        operation["operationId"]: path
        for path, _, operation in operations(document)
        if "{job_id}" in path
    }
    for link in document["components"]["links"].values():
        assert link["operationId"] in taking
        assert link["parameters"] == {"job_id": "$response.body#/id"}


def test_parameters_in_a_path_are_declared(document: Document) -> None:
    for path, _, operation in operations(document):
        parameters = [resolve(document, each) for each in operation.get("parameters", [])]
        declared = {each["name"] for each in parameters if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), path
        assert all(each["description"] for each in parameters), path


def test_the_upload_is_described_as_it_is_read(document: Document) -> None:
    content = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert list(content) == ["multipart/form-data"]
    schema = content["multipart/form-data"]["schema"]
    assert set(schema["properties"]) == {*FILE_FIELDS, "params", "metadata", "priority", "webhook"}
    assert "required" not in schema  # the parameters decide
    parameters = resolve(document, schema["properties"]["params"])
    assert set(parameters["properties"]) == set(Parameters.model_fields)
    priority = resolve(document, schema["properties"]["priority"])
    assert priority["enum"] == list(Priority)


def test_requests_that_make_a_job_say_how_they_are_sent_again_and_wait(document: Document) -> None:
    for path in ("/v1/jobs", "/v1/jobs/{job_id}/retry"):
        operation = document["paths"][path]["post"]
        parameters = {each.get("name"): each for each in operation["parameters"]}
        assert parameters["Idempotency-Key"]["schema"]["maxLength"] == 255
        assert not parameters["Idempotency-Key"]["required"]
        assert "wait=N" in parameters["Prefer"]["description"]
        assert {"400", "409", "410", "422"} <= set(operation["responses"])
        described = operation["responses"]["202"]["headers"]
        assert {"Location", "Idempotent-Replayed", "Preference-Applied"} <= set(described)


def test_every_route_that_needs_a_key_says_so_and_what_it_may_be_told(document: Document) -> None:
    for path, method, operation in operations(document):
        if is_protected(path):
            assert {"401", "429", "503"} <= set(operation["responses"]), (method, path)
            assert {"key": []} in operation["security"]
        assert "500" in operation["responses"]
    unauthorized = document["components"]["responses"]["Unauthorized"]
    assert "WWW-Authenticate" in unauthorized["headers"]
    for name in ("TooMany", "Unavailable"):
        assert "Retry-After" in document["components"]["responses"][name]["headers"]


def test_what_can_be_asked_for_again_says_how(document: Document) -> None:
    for _, _, operation in operations(document):
        parameters = [resolve(document, each)["name"] for each in operation.get("parameters", [])]
        assert ("If-None-Match" in parameters) == ("304" in operation["responses"])


def test_errors_are_problems_with_a_true_example_of_each(document: Document) -> None:
    shown = set()
    for status, (name, _, _) in ERRORS.items():
        response = document["components"]["responses"][name]
        assert list(response["content"]) == ["application/problem+json"]
        for code, example in response["content"]["application/problem+json"]["examples"].items():
            assert example["value"]["status"] == int(status)
            shown.add(code)
    assert shown == {kind.code for kind in every_error(ImpastoError)}
    for path, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "4" and path != "/readyz":
                assert response == {"$ref": f"#/components/responses/{ERRORS[status][0]}"}


def every_error(kind: type[ImpastoError]) -> Iterator[type[ImpastoError]]:
    if kind.__module__ == errors.__name__:
        yield kind
    for narrower in kind.__subclasses__():
        yield from every_error(narrower)


# -- the examples -------------------------------------------------------------------------------


def test_every_body_has_examples_that_are_as_it_is_described(document: Document) -> None:
    checked = 0
    for where, body in media(document):
        is_json = "json" in where.rsplit(" ", 1)[1]
        assert not is_json or "examples" in body or "openapi.json" in where, where
        for name, example in body.get("examples", {}).items():
            found = resolve(document, example)
            assert found["summary"], (where, name)
            assert faults(document, body.get("schema", {}), found["value"]) == [], (where, name)
            checked += 1
    assert checked > 100


def test_parameters_and_headers_have_examples_that_are_as_they_are_described(
    document: Document,
) -> None:
    for kind in ("parameters", "headers"):
        for name, each in document["components"][kind].items():
            assert faults(document, each["schema"], each["example"]) == [], name


def test_example_uploads_are_accepted_once_the_files_are_there(
    api: FlaskClient, document: Document
) -> None:
    content = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    examples = content["multipart/form-data"]["examples"]
    assert len(examples) >= 4
    for name, example in examples.items():
        fields = MultiDict()
        for field, value in example["value"].items():
            for each in value if isinstance(value, list) else [value]:
                if field in FILE_FIELDS:
                    assert re.fullmatch(r"\(bytes of \w+\.\w+\)", each)
                    picture = io.BytesIO(picture_bytes(each, 64, 48))
                    fields.add(field, FileStorage(picture, filename=f"{field}.png"))
                else:
                    fields.add(field, each if isinstance(each, str) else json.dumps(each))
        answer = api.post("/v1/jobs", data=fields, content_type="multipart/form-data")
        assert answer.status_code == 202, (name, answer.text)


def test_example_estimates_are_answered(api: FlaskClient, document: Document) -> None:
    content = document["paths"]["/v1/estimate"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["examples"]
    assert len(examples) >= 2
    for name, example in examples.items():
        answer = api.post("/v1/estimate", json=example["value"])
        assert answer.status_code == 200, (name, answer.text)


def test_an_example_job_is_as_a_real_one(api: FlaskClient) -> None:
    real = post(api, metadata='{"order": 17}').get_json()
    shown = QUEUED.model_dump(mode="json")
    assert set(shown) == set(real)
    for name in ("urls", "inputs", "metrics", "params"):
        assert set(shown[name]) == set(real[name])
    assert {name: url.replace(JOB_ID, real["id"]) for name, url in shown["urls"].items()} == (
        real["urls"]
    )


def test_the_manifest_is_described_as_workers_write_it() -> None:
    written = Manifest.model_json_schema()
    assert set(MANIFEST["properties"]) <= set(written["properties"])
    assert set(MANIFEST["required"]) <= set(written["required"])
    assert Manifest.model_validate(BODIES["manifest"]["value"])


def test_webhooks_are_described_as_they_are_sent(
    api: FlaskClient, document: Document, records: JobRecords, paint: Paint
) -> None:
    job_id = post(api).get_json()["id"]
    paint(job_id)
    found = records.get(job_id)
    assert found is not None
    sent = json.loads(payload(found[0]))
    webhook = document["webhooks"]["job_ended"]["post"]
    content = webhook["requestBody"]["content"]["application/json"]
    assert faults(document, content["schema"], sent) == []
    shown = content["examples"]["succeeded"]["value"]
    assert (set(shown), set(shown["data"])) == (set(sent), set(sent["data"]))
    assert shown["data"]["output"] == SUCCEEDED.model_dump(mode="json")["output"]


def test_the_example_of_a_stream_is_one(document: Document) -> None:
    content = document["paths"]["/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]
    stream = resolve(document, content["text/event-stream"]["examples"]["stream"])["value"]
    events = re.findall(r"event: (\w+)\nid: (\S+)\ndata: (.+)\n\n", stream)
    assert [name for name, _, _ in events] == ["progress", "preview"]
    progress, preview = (json.loads(data) for _, _, data in events)
    assert progress == RUNNING.model_dump(mode="json")["progress"]
    assert preview["step"] in progress["previews"]


# -- the answers are those that are described ---------------------------------------------------


def answers(
    api: FlaskClient, paint: Paint, report: Report, storage: Storage, records: JobRecords
) -> Iterator[tuple[str, str, TestResponse]]:
    accepted = post(api, metadata='{"a": [1, null]}')
    job = Job.model_validate_json(accepted.data)
    one = "/v1/jobs/{job_id}"
    yield "/v1/jobs", "post", accepted
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        yield "/v1/jobs", "post", api.post("/v1/jobs", headers=key, **form())
    yield "/v1/jobs", "post", api.post("/v1/jobs", headers={"Prefer": "wait=1"}, **form())
    yield "/v1/jobs", "post", api.post("/v1/jobs", headers=key, **form(content=STYLE))
    yield "/v1/jobs", "post", post(api, params="{")
    yield "/v1/jobs", "post", post(api, params='{"size": 1}')
    yield "/v1/jobs", "post", post(api, params='{"preset": "texture"}', content=None)
    yield "/v1/jobs", "post", post(api, params="x" * 100_000)
    yield "/v1/jobs", "post", post(api, content=None)
    yield "/v1/jobs", "post", post(api, ("mask", STYLE), ("mask", STYLE))
    yield "/v1/jobs", "post", api.post("/v1/jobs")
    yield "/v1/jobs", "get", api.get("/v1/jobs")
    yield "/v1/jobs", "get", api.get("/v1/jobs?limit=0")
    seen = api.get(job.urls.self)
    yield one, "get", seen
    yield one, "get", api.get(job.urls.self, headers={"If-None-Match": seen.headers["ETag"]})
    yield one, "get", api.get("/v1/jobs/unknown")
    yield one, "delete", api.delete(job.urls.self)
    yield f"{one}/retry", "post", api.post(job.urls.retry)
    yield f"{one}/result", "get", api.get(job.urls.result)
    yield f"{one}/preview", "get", api.get(job.urls.preview)
    yield f"{one}/preview", "get", api.get(f"{job.urls.preview}?step=x")

    paint(job.id)
    storage.put(preview_key(job.id, 4), CONTENT, "image/jpeg")
    report(job.id, step=4, previews=[4])
    for path, url in (
        ("preview", job.urls.preview),
        ("preview", f"{job.urls.preview}?step=4"),
        ("result", f"{job.urls.result}?proxy=1"),
        ("inputs/{sha256}", f"{job.urls.self}/inputs/{job.inputs.content}"),
    ):
        found = api.get(url)
        assert found.status_code == 200
        yield f"{one}/{path}", "get", found
        again = api.get(url, headers={"If-None-Match": found.headers["ETag"]})
        assert again.status_code == 304
        yield f"{one}/{path}", "get", again
    yield f"{one}/result", "get", api.get(job.urls.result)
    yield f"{one}/inputs/{{sha256}}", "get", api.get(f"{job.urls.self}/inputs/none")
    stream = api.get(job.urls.events)
    (last,) = re.findall(r"id: (\S+)", stream.text)
    yield f"{one}/events", "get", stream
    ended = api.get(job.urls.events, headers={"Last-Event-ID": last})
    assert ended.status_code == 204
    yield f"{one}/events", "get", ended
    yield f"{one}/cancel", "post", api.post(job.urls.cancel)

    again = api.post(job.urls.retry)
    yield f"{one}/retry", "post", again
    yield f"{one}/cancel", "post", api.post(f"{again.headers['Location']}/cancel")
    yield one, "delete", api.delete(again.headers["Location"])
    for name in ("", "/manifest", "/result", "/preview", "/events"):
        yield f"{one}{name}", "get", api.get(f"{again.headers['Location']}{name}")
    for path in ("/v1/presets", "/v1/workers", "/healthz", "/readyz", "/metrics", "/docs"):
        yield path, "get", api.get(path)
    for path in ("/", "/openapi.json"):
        with api.get(path) as found:
            yield path, "get", found
        with api.get(path, headers={"If-None-Match": found.headers["ETag"]}) as unchanged:
            assert unchanged.status_code == 304
            yield path, "get", unchanged


def test_answers_are_as_they_are_described(
    api: FlaskClient,
    document: Document,
    paint: Paint,
    report: Report,
    storage: Storage,
    records: JobRecords,
) -> None:
    described: dict[str, int] = {}
    for path, method, answer in answers(api, paint, report, storage, records):
        status = str(answer.status_code)
        where = f"{method} {path} {status}"
        responses = document["paths"][path][method]["responses"]
        assert status in responses, where
        response = resolve(document, responses[status])
        headers = set(response.get("headers", {}))
        assert set(dict(answer.headers)) & TOLD <= headers, where
        for name in headers & set(dict(answer.headers)):
            value: Any = answer.headers[name]
            schema = HEADERS[name]["schema"]
            value = int(value) if schema["type"] == "integer" else value
            assert faults(document, schema, value) == [], (where, name)
        if "content" not in response:
            assert status in ("204", "302", "303", "304")
            assert status.startswith("3") or answer.data == b""
            continue
        assert answer.mimetype in response["content"], (where, answer.mimetype)
        schema = response["content"][answer.mimetype].get("schema", {})
        if "json" in answer.mimetype:
            assert faults(document, schema, answer.get_json()) == [], where
        described[where] = described.get(where, 0) + 1
    assert len(described) > 30
