"""How many uploads are read at a time, on a real socket."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import redis

from api.uploads import MAX_KEY_UPLOADS
from shared.keys import ApiKeys
from shared.settings import Settings
from tests.api.forms import form
from tests.api.servers import Served, serve

PATIENCE_SECONDS = 10.0  # less than a client that says nothing is given
TYPE = "Content-Type: multipart/form-data; boundary=b"


def test_all_places_for_uploads_are_not_for_one_key(
    settings: Settings, valkey: redis.Redis, tmp_path: Path
) -> None:
    keys = ApiKeys(valkey, settings)
    greedy, modest = (f"Bearer {keys.create(name)}" for name in ("greedy", "modest"))
    with serve(settings, tmp_path / "log") as served, ExitStack() as uploads:
        assert answered(served, greedy).status_code == 202
        for _ in range(MAX_KEY_UPLOADS):
            upload = uploads.enter_context(socket.create_connection(served.address))
            head = ["POST /v1/jobs HTTP/1.1", "Host: x", f"Authorization: {greedy}", TYPE]
            upload.sendall("\r\n".join([*head, "Content-Length: 100000", "", "--b\r\n"]).encode())
        refused = until(served, greedy, 429)
        assert refused.json()["code"] == "too_many"
        assert int(refused.headers["Retry-After"]) > 0
        assert answered(served, modest).status_code == 202

        uploads.close()
        until(served, greedy, 202)


def answered(served: Served, authorization: str) -> httpx.Response:
    posted = form()
    headers = posted.pop("headers") | {"Authorization": authorization}
    return httpx.post(f"{served.url}/v1/jobs", headers=headers, timeout=30, **posted)


def until(served: Served, authorization: str, status: int) -> httpx.Response:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := answered(served, authorization)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    return answer
