"""The HTTP front end: check, store, enqueue, report."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from flask_openapi3 import Info, OpenAPI
from pydantic import ValidationError
from werkzeug.middleware.proxy_fix import ProxyFix

from api import (
    authentication,
    cors,
    estimate,
    events,
    headers,
    jobs,
    metrics,
    pages,
    pictures,
    problems,
    rates,
    request_log,
    system,
)
from api.services import EXTENSION, Services
from api.uploads import MAX_TEXT_BYTES
from shared.logs import configure_logs
from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def create_app(settings: Settings | None = None) -> OpenAPI:
    """The WSGI application. Settings come from the environment unless they are given."""
    settings = settings or Settings()
    configure_logs(settings, request_log.add_request_id)
    app = OpenAPI(
        __name__,
        info=Info(
            title="Impasto",
            version=version("impasto"),
            description="Paints a photograph in the style of a painting.",
        ),
        doc_ui=False,
        static_folder=None,
        validation_error_model=problems.Problem,
        validation_error_callback=_invalid_request,
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = 4 * MAX_TEXT_BYTES
    app.config["MAX_FORM_PARTS"] = 2 * settings.max_styles + 8  # each may have a mask
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.extensions[EXTENSION] = Services.connect(settings)

    http_metrics = metrics.HttpMetrics()
    wsgi: WSGIApplication = headers.SafeHeaders(rates.RateHeaders(app.wsgi_app))
    wsgi = request_log.RequestLog(wsgi, settings, http_metrics)
    if proxies := settings.trusted_proxies:
        wsgi = ProxyFix(wsgi, x_for=proxies, x_proto=proxies)
    app.wsgi_app = wsgi  # type: ignore[method-assign]
    cors.register(app, settings)
    problems.register(app)
    authentication.register(app, settings)
    app.register_api(jobs.blueprint)
    app.register_api(events.blueprint)
    app.register_api(pictures.blueprint)
    app.register_api(estimate.blueprint)
    app.register_api(system.blueprint)
    app.register_api(pages.blueprint)
    metrics.register(app, settings, http_metrics)
    pages.register_document(app, settings)
    return app


def _invalid_request(error: ValidationError) -> object:
    return problems.problem_response(problems.invalid_parameters(error, "query"))
