"""A request as a value: what is asked, for how long, and how its answer is read."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import httpx

from client.patience import FOR_AN_ANSWER, Patience

CONNECT_SECONDS = (
    10.0  # the longest time that a service which is there takes to accept a connection
)

Picture = str | os.PathLike[str] | bytes  # a file's name, or its bytes

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """Something that is asked of the service."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    pictures: tuple[tuple[str, Picture], ...] = ()  # each with the name of its field
    body: Any = None  # sent as JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: Patience = FOR_AN_ANSWER
    silence_seconds: float | None = None  # after which the service is given up; None: as usual
    extra_silence_seconds: float = 0.0  # for which it may be silent besides

    @contextmanager
    def request(self, http: httpx.Client | httpx.AsyncClient) -> Iterator[httpx.Request]:
        """What is sent; the files are open inside the block."""
        with ExitStack() as files:
            parts = [(name, _part(picture, files)) for name, picture in self.pictures]
            yield http.build_request(
                self.method,
                self.path,
                params=self.query,
                data=self.form,
                files=parts or None,
                json=self.body,
                headers=self.headers,
                timeout=self._timeout(http.timeout),
            )

    def _timeout(self, usual: httpx.Timeout) -> httpx.Timeout:
        silence = usual.read if self.silence_seconds is None else self.silence_seconds
        return httpx.Timeout(
            connect=usual.connect,
            read=None if silence is None else silence + self.extra_silence_seconds,
            write=usual.write,
            pool=usual.pool,
        )


def timeouts(silence_seconds: float) -> httpx.Timeout:
    """When a service that says nothing for so long is given up."""
    return httpx.Timeout(silence_seconds, connect=min(CONNECT_SECONDS, silence_seconds))


def file_name(picture: Picture) -> str | None:
    """What a picture is called, if it is a file."""
    if isinstance(picture, bytes):
        return None
    # The names of files are bytes, and not always UTF-8.
    return os.fsencode(Path(picture).name).decode(errors="replace")


def _part(picture: Picture, files: ExitStack) -> tuple[str, IO[bytes] | bytes]:
    name = file_name(picture) or "picture"
    if isinstance(picture, bytes):
        return name, picture
    return name, files.enter_context(Path(picture).open("rb"))
