"""The OpenAPI document says what the routes do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.jobs import Job, Priority
from shared.parameters import Parameters
from tests.api.conftest import STYLE, post

UNDOCUMENTED = {"/", "/docs", "/docs/scalar", "/openapi.json", "/web/{name}"}


@pytest.fixture
def document(api: FlaskClient) -> dict[str, Any]:
    answer = api.get("/openapi.json")
    assert answer.content_type == "application/json"
    found: dict[str, Any] = answer.get_json()
    return found


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = [item for name, item in value.items() if name != "default"]
    for item in value:
        if isinstance(item, dict | list):
            yield from walk(item)


def resolve(document: dict[str, Any], reference: str) -> dict[str, Any]:
    assert reference.startswith("#/"), reference
    found: Any = document
    for part in reference[2:].split("/"):
        assert part in found, f"{reference} leads nowhere"
        found = found[part]
    assert isinstance(found, dict)
    return found


def test_every_route_is_documented_and_every_documented_route_is_there(
    application: Any, document: dict[str, Any]
) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    documented = {(path, method) for path, item in document["paths"].items() for method in item}
    public = {route for route in served if route[0].startswith(("/v1", "/healthz", "/readyz"))}
    assert public == documented
    assert {
        ("/v1/jobs", "post"),
        ("/v1/jobs", "get"),
        ("/v1/jobs/{job_id}", "get"),
        ("/v1/jobs/{job_id}", "delete"),
        ("/v1/jobs/{job_id}/cancel", "post"),
        ("/v1/jobs/{job_id}/retry", "post"),
        ("/v1/jobs/{job_id}/result", "get"),
        ("/v1/jobs/{job_id}/manifest", "get"),
        ("/v1/jobs/{job_id}/preview", "get"),
        ("/v1/presets", "get"),
        ("/v1/workers", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
    } <= documented


def test_it_is_openapi_3_1_and_says_what_it_describes(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Impasto"
    assert document["info"]["version"]


def test_nothing_is_null_but_what_a_parameter_may_be(document: dict[str, Any]) -> None:
    for item in walk(document):
        known = {name: value for name, value in item.items() if name != "default"}
        assert None not in known.values()


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = [item["$ref"] for item in walk(document) if isinstance(item.get("$ref"), str)]
    assert len(references) > 10
    for reference in references:
        resolve(document, reference)


def test_every_operation_has_its_own_id_a_summary_and_responses(document: dict[str, Any]) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        assert operation["summary"]
        assert operation["responses"]
        for response in operation["responses"].values():
            assert "description" in response


def test_parameters_in_a_path_are_declared(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            declared = {
                parameter["name"]
                for parameter in operation.get("parameters", [])
                if parameter["in"] == "path"
            }
            assert declared == set(re.findall(r"{(\w+)}", path)), path


def test_the_upload_is_described_as_it_is_read(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert list(content) == ["multipart/form-data"]
    schema = content["multipart/form-data"]["schema"]
    images, others = (
        {"content", "style", "mask", "init"},
        {"params", "metadata", "priority", "webhook"},
    )
    assert set(schema["properties"]) == images | others
    assert "required" not in schema  # the parameters decide
    assert all(schema["properties"][name]["description"] for name in images)
    parameters = resolve(document, schema["properties"]["params"]["$ref"])
    assert set(parameters["properties"]) == set(Parameters.model_fields)
    priority = resolve(document, schema["properties"]["priority"]["$ref"])
    assert priority["enum"] == list(Priority)


def test_requests_that_make_a_job_say_how_they_are_sent_again(document: dict[str, Any]) -> None:
    for path in ("/v1/jobs", "/v1/jobs/{job_id}/retry"):
        operation = document["paths"][path]["post"]
        (key,) = [one for one in operation["parameters"] if one["in"] == "header"]
        assert key["name"] == "Idempotency-Key"
        assert key["description"]
        assert not key.get("required")
        assert {"400", "409", "422"} <= set(operation["responses"])


def test_errors_are_described_as_problem_details(document: dict[str, Any]) -> None:
    described = 0
    for path, item in document["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if status.startswith("4") or (status == "503" and path != "/readyz"):
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
                    described += 1
    assert described > 15


# -- the answers are those that are described ---------------------------------------------------


def check(schema: dict[str, Any], value: Any, document: dict[str, Any], where: str = "") -> None:
    """As much of JSON Schema as our models use."""
    if "$ref" in schema:
        check(resolve(document, schema["$ref"]), value, document, where)
        return
    if "anyOf" in schema:
        failures = []
        for option in schema["anyOf"]:
            try:
                check(option, value, document, where)
            except AssertionError as error:
                failures.append(error)
        assert len(failures) < len(schema["anyOf"]), f"{where}: {failures}"
        return
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": int | float,
        "boolean": bool,
        "null": type(None),
    }
    if "type" in schema:
        assert isinstance(value, kinds[schema["type"]]), f"{where}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r}"
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= set(value), where
        if "properties" in schema:
            unknown = set(value) - set(schema["properties"])
            assert not unknown or schema.get("additionalProperties"), f"{where}: {unknown}"
        for name, item in value.items():
            if name in schema.get("properties", {}):
                check(schema["properties"][name], item, document, f"{where}/{name}")
    if isinstance(value, list) and "items" in schema:
        for item in value:
            check(schema["items"], item, document, f"{where}/*")


def answers(api: FlaskClient) -> Iterator[tuple[str, str, TestResponse]]:
    accepted = post(api, metadata='{"a": [1, null]}')
    job = Job.model_validate_json(accepted.data)
    yield "/v1/jobs", "post", accepted
    yield "/v1/jobs", "post", post(api, params="{")
    yield "/v1/jobs", "post", post(api, params='{"size": 1}')
    yield "/v1/jobs", "post", post(api, params='{"preset": "texture"}', content=None)
    yield "/v1/jobs", "post", post(api, content=None)
    yield "/v1/jobs", "post", post(api, ("mask", STYLE), ("mask", STYLE))
    yield "/v1/jobs", "post", api.post("/v1/jobs")
    yield "/v1/jobs", "get", api.get("/v1/jobs")
    yield "/v1/jobs", "get", api.get("/v1/jobs?limit=0")
    yield "/v1/jobs/{job_id}", "get", api.get(job.urls.self)
    yield "/v1/jobs/{job_id}", "get", api.get("/v1/jobs/unknown")
    yield "/v1/jobs/{job_id}", "delete", api.delete(job.urls.self)
    yield "/v1/jobs/{job_id}/retry", "post", api.post(job.urls.retry)
    yield "/v1/jobs/{job_id}/cancel", "post", api.post(job.urls.cancel)
    again = api.post(job.urls.retry)
    yield "/v1/jobs/{job_id}/retry", "post", again
    yield "/v1/jobs/{job_id}/cancel", "post", api.post(f"{again.headers['Location']}/cancel")
    yield "/v1/jobs/{job_id}", "delete", api.delete(again.headers["Location"])
    yield "/v1/jobs/{job_id}", "get", api.get(again.headers["Location"])
    yield "/v1/jobs/{job_id}/result", "get", api.get(job.urls.result)
    yield "/v1/jobs/{job_id}/manifest", "get", api.get(job.urls.manifest)
    yield "/v1/jobs/{job_id}/preview", "get", api.get(job.urls.preview)
    yield "/v1/presets", "get", api.get("/v1/presets")
    yield "/v1/workers", "get", api.get("/v1/workers")
    yield "/healthz", "get", api.get("/healthz")
    yield "/readyz", "get", api.get("/readyz")


def test_answers_are_as_they_are_described(api: FlaskClient, document: dict[str, Any]) -> None:
    for path, method, answer in answers(api):
        responses = document["paths"][path][method]["responses"]
        status = str(answer.status_code)
        assert status in responses, f"{method} {path} answered {status}"
        if status == "204":
            assert (answer.data, "content" in responses[status]) == (b"", False)
            continue
        content = responses[status]["content"]
        assert answer.mimetype in content, f"{method} {path}: {answer.mimetype}"
        check(content[answer.mimetype]["schema"], answer.get_json(), document, path)
