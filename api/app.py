"""The HTTP front end: check, store, enqueue, report."""

from importlib.metadata import version

from flask_openapi3 import Info, OpenAPI
from pydantic import ValidationError

from api import authentication, jobs, metrics, pages, problems, system
from api.services import EXTENSION, Services
from api.uploads import MAX_TEXT_BYTES
from shared.logs import configure_logs
from shared.settings import Settings


def create_app(settings: Settings | None = None) -> OpenAPI:
    """The WSGI application. Settings come from the environment unless they are given."""
    settings = settings or Settings()
    configure_logs(settings)
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

    problems.register(app)
    authentication.register(app, settings)
    app.register_api(jobs.blueprint)
    app.register_api(system.blueprint)
    app.register_blueprint(pages.blueprint)
    pages.register_document(app)
    metrics.register(app, settings)
    return app


def _invalid_request(error: ValidationError) -> object:
    return problems.problem_response(problems.invalid_parameters(error, "query"))
