"""What routes answer when all is well, for the OpenAPI document; `api.problems` has the rest.

Headers, examples and links are named here and in the routes, and written once in `api.document`
and `api.examples`.
"""

from typing import Any

from pydantic import BaseModel

# What the files are, by how their media types begin. Of a stream no schema can say what comes.
KINDS: dict[str, dict[str, Any]] = {
    "image/": {"schema": {"type": "string", "format": "binary"}},
    "text/event-stream": {},
    "application/json": {"schema": {"type": "object"}},
}
TEXT = {"schema": {"type": "string"}}


def answer(
    description: str,
    model: type[BaseModel] | str | None = None,
    *,
    headers: tuple[str, ...] = (),
    examples: tuple[str, ...] = (),
    links: tuple[str, ...] = (),
) -> dict[str, Any]:
    """An answer in JSON, or without a body where there is no model.

    Args:
        description: when it comes, or what it says.
        model: of the body, or the name of its schema.
        headers: names in `api.document.HEADERS`.
        examples: names in `api.examples.BODIES`.
        links: operations of the job that the body describes.
    """
    described: dict[str, Any] = {"description": description, "headers": _headers(headers)}
    if model is not None:
        name = model if isinstance(model, str) else model.__name__
        schema = {"$ref": f"#/components/schemas/{name}"}
        media = {"schema": schema, "examples": _references("examples", examples)}
        described["content"] = {"application/json": media}
    if links:
        described["links"] = _references("links", links)
    return described


def media(
    description: str,
    *types: str,
    headers: tuple[str, ...] = (),
    examples: tuple[str, ...] = (),
) -> dict[str, Any]:
    """An answer that is a file or a text of one of these media types."""
    return {
        "description": description,
        "headers": _headers(headers),
        "content": {
            name: {
                **next((KINDS[kind] for kind in KINDS if name.startswith(kind)), TEXT),
                **({"examples": _references("examples", examples)} if examples else {}),
            }
            for name in types
        },
    }


def not_modified(*headers: str) -> dict[str, Any]:
    """304, which comes to whoever sends `If-None-Match`."""
    return answer("It is as the client has it", headers=("ETag", *headers))


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _references(kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}
