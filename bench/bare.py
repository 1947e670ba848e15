"""The least that a Flask application could do in our place; served by the same gunicorn."""

import json
import os

from flask import Flask, Response, request
from PIL import Image

from api.server import Server as Gunicorn
from api.server import gunicorn_options
from shared.settings import Settings
from shared.storage import Storage


def create_bare_app(settings: Settings, job: str) -> Flask:
    """`/poll` answers with a fixed job; `/submit` receives, decodes and stores two pictures."""
    app = Flask(__name__)
    storage = Storage(settings, patient=False)

    @app.get("/poll")
    def poll() -> Response:
        return Response(job, content_type="application/json")

    @app.post("/submit")
    def submit() -> Response:
        for name in ("content", "style"):
            with Image.open(request.files[name].stream) as image:
                image.load()
            data = request.files[name].stream
            data.seek(0)
            storage.put(f"bare/{os.urandom(8).hex()}", data.read(), "application/octet-stream")
        return Response(job, 202, content_type="application/json")

    return app


class BareServer(Gunicorn):
    """Our server with the bare application."""

    def load(self) -> Flask:
        """Make the bare application."""
        return create_bare_app(self._settings, json.dumps(json.loads(os.environ["BENCH_JOB"])))


if __name__ == "__main__":
    settings = Settings()
    options = gunicorn_options(settings, f"127.0.0.1:{settings.api_port}")
    # As ours is, but for the streams, which it does not have.
    BareServer(settings, options | {"worker_class": "api.connections.PacedWorker"}).run()
