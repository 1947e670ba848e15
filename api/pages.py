"""What a browser sees: the page, and the OpenAPI document with its page."""

import json
from pathlib import Path

from flask import Response, current_app, redirect, request, send_from_directory
from flask_openapi3 import APIBlueprint, OpenAPI, Tag
from flask_openapi3_scalar.plugins import RegisterPlugin as Scalar
from pydantic import BaseModel
from werkzeug.wrappers import Response as BaseResponse

from api import document
from api.answers import answer, media, not_modified
from shared.settings import Settings

WEB = Path(__file__).parent / "web"
# As the plugin has it, but with what Scalar is told in an attribute: no script stands in the page.
DOCS_PAGE = """<!doctype html>
<html lang="en">
  <head>
    <title>Impasto's API</title>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <link rel="icon" href="/web/icons/mark.svg" type="image/svg+xml">
  </head>
  <body>
    <script id="api-reference" data-url="{{ doc_url }}"
      data-configuration="{{ scalar_config | tojson | forceescape }}"></script>
    <script src="scalar/js/scalar.standalone.js"></script>
  </body>
</html>
"""
DOCUMENT = "impasto-openapi"

blueprint = APIBlueprint("pages", __name__, abp_tags=[Tag(name="service")])


class AssetPath(BaseModel):
    """A file of the page."""

    name: str


@blueprint.get(
    "/",
    responses={
        "200": media("HTML", "text/html", headers=("Cache-Control", "Content-Disposition", "ETag")),
        "304": not_modified("Cache-Control", "Content-Disposition"),
    },
)
def page() -> Response:
    """The page, to paint in a browser."""
    return send_from_directory(WEB, "index.html")


@blueprint.get("/web/<path:name>", doc_ui=False)
def asset(path: AssetPath) -> Response:
    """The page's styles, scripts and pictures."""
    return send_from_directory(WEB, path.name)


@blueprint.get("/docs", responses={"302": answer("Where the page lies", headers=("Location",))})
def docs() -> BaseResponse:
    """This document, made readable."""
    return redirect("/docs/scalar")


@blueprint.get(
    "/openapi.json",
    responses={
        "200": media("OpenAPI 3.1", "application/json", headers=("Cache-Control", "ETag")),
        "304": not_modified("Cache-Control"),
    },
)
def openapi() -> Response:
    """This document."""
    response = Response(current_app.extensions[DOCUMENT], content_type="application/json")
    response.add_etag()
    response.cache_control.no_cache = True
    response.make_conditional(request)
    return response


def register_document(app: OpenAPI, settings: Settings) -> None:
    """Write `/openapi.json` and serve its page. To be called when all routes are known."""
    app.extensions[DOCUMENT] = json.dumps(document.build(app, settings))
    app.config["SCALAR_HTML_STRING"] = DOCS_PAGE
    # Nothing that asks others' servers.
    app.config["SCALAR_CONFIG"] = {
        "agent": {"disabled": True},
        "hideClientButton": True,
        "mcp": {"disabled": True},
        "showDeveloperTools": "never",
        "telemetry": False,
        "withDefaultFonts": False,
    }
    app.register_blueprint(Scalar.register(doc_url="/openapi.json"), url_prefix="/docs")
