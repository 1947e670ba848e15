"""What a browser sees: the page, and the OpenAPI document with its page."""

from pathlib import Path
from typing import Any

from flask import Blueprint, Response, redirect, send_from_directory
from flask_openapi3 import OpenAPI
from flask_openapi3_scalar.plugins import RegisterPlugin as Scalar
from werkzeug.wrappers import Response as BaseResponse

from api.authentication import is_protected
from api.problems import Problem, problems
from api.uploads import UPLOAD_SCHEMA
from shared.jobs import Priority
from shared.parameters import Parameters

WEB = Path(__file__).parent / "web"
# Our own files only; pictures also from what the visitor has just dropped.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
REFERENCE = "#/components/schemas/{model}"
KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key that `impasto keys create` made. A key sees its own jobs only.",
}
UNAUTHORIZED = {
    "description": "A key is needed, or this one is not valid",
    "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    **problems(401)["401"],
}

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def page() -> Response:
    """The page."""
    response = send_from_directory(WEB, "index.html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.get("/web/<path:name>")
def asset(name: str) -> Response:
    """The page's styles, scripts and pictures."""
    return send_from_directory(WEB, name)


@blueprint.get("/docs")
def docs() -> BaseResponse:
    """The OpenAPI document, made readable."""
    return redirect("/docs/scalar")


def register_document(app: OpenAPI) -> None:
    """Serve `/openapi.json` and its page. To be called when all routes are known."""
    document = _openapi_document(app)
    app.config["SCALAR_CONFIG"] = {"withDefaultFonts": False, "hideClientButton": True}
    app.register_blueprint(Scalar.register(doc_url="/openapi.json"), url_prefix="/docs")

    @app.route("/openapi.json")
    def openapi() -> dict[str, Any]:
        return document


def _openapi_document(app: OpenAPI) -> dict[str, Any]:
    document: dict[str, Any] = app.api_doc
    _mend(document)
    schemas = document["components"]["schemas"]
    for model in (Problem, Parameters):
        schema = model.model_json_schema(ref_template=REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    schemas["Priority"] = {
        "type": "string",
        "enum": list(Priority),
        "default": Priority.NORMAL,
        "description": "Workers empty the queues of higher priorities first.",
    }
    # flask-openapi3 knows only the media type of a body that we read ourselves.
    document["paths"]["/v1/jobs"]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": UPLOAD_SCHEMA,
                "encoding": {
                    "params": {"contentType": "application/json"},
                    "metadata": {"contentType": "application/json"},
                },
            }
        },
    }
    return document


def _mend(document: dict[str, Any]) -> None:
    """Add the keys, and take out what flask-openapi3 adds by itself and is not so."""
    document["components"]["securitySchemes"] = {"key": KEY_SCHEME}  # it was null
    for name, path in document["paths"].items():
        for operation in path.values():
            if is_protected(name):
                operation["security"] = [{"key": []}, {}]  # without keys, it is open to all
                operation["responses"]["401"] = UNAUTHORIZED
            # An array of problems as plain JSON, on every route that does not describe its 422.
            if "application/json" in operation["responses"]["422"]["content"]:
                del operation["responses"]["422"]
