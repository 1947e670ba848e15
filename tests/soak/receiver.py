"""A receiver of webhooks on loopback that fails at random, until it is asked not to."""

import hashlib
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError

from tests.soak.journal import Journal

SECRET = "whsec_" + "c29hayBzb2FrIHNvYWsgc29hayBzb2FrIHNvYWs="
ANSWERS = {"takes it": 6, "fails": 2, "hangs up": 1, "is too slow": 1}
TOO_SLOW_SECONDS = 4.0


@dataclass
class Told:
    """What came for one job."""

    ids: set[str] = field(default_factory=set)
    bodies: set[str] = field(default_factory=set)
    taken: int = 0
    refused: int = 0


class Receiver:
    """Checks every signature. A context manager."""

    def __init__(self, random: Random, journal: Journal) -> None:
        self.jobs: dict[str, Told] = defaultdict(Told)
        self.forged = 0
        self._random = random
        self._journal = journal
        self._lock = threading.Lock()
        self._behaves = False
        self._webhook = Webhook(SECRET)
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where webhooks are sent to."""
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def behave(self) -> None:
        """Take everything from now on."""
        self._behaves = True

    def take(self, headers: dict[str, str], body: bytes) -> str:
        """Note what came, and say how it is answered."""
        identifier = headers.get("webhook-id", "")
        job_id = identifier.partition(":")[0]
        try:
            self._webhook.verify(body, headers)
        except WebhookVerificationError as error:
            self.forged += 1
            self._journal.violation("webhooks are signed", id=identifier, error=str(error))
        with self._lock:
            (answer,) = self._random.choices(list(ANSWERS), list(ANSWERS.values()))
            if self._behaves:
                answer = "takes it"
            told = self.jobs[job_id]
            told.ids.add(identifier)
            told.bodies.add(hashlib.sha256(body).hexdigest())
            if answer == "takes it":
                told.taken += 1
            else:
                told.refused += 1
        self._journal.write("webhook", id=identifier, answer=answer)
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that was killed has hung up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        match self.server.receiver.take(headers, body):
            case "takes it":
                self._answer(204)
            case "fails":
                self._answer(500)
            case "is too slow":
                time.sleep(TOO_SLOW_SECONDS)
                self._answer(200)
        self.close_connection = True

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """The journal has it."""
