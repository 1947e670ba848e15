"""Reading `POST /v1/jobs`: multipart in, checked images and parameters out, or an error."""

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from flask import Request
from werkzeug.datastructures import FileStorage

from api.authentication import owner
from api.decoding import DecodingRoom
from api.json_body import json_object, parameters, wrong
from shared.errors import (
    Fault,
    InvalidInput,
    InvalidRequest,
    TooLarge,
    TooMany,
    Unavailable,
    UnsupportedMedia,
)
from shared.images import check_image
from shared.inputs import misfits, missing
from shared.jobs import ANONYMOUS, Inputs, Priority
from shared.levels import Shape, plan_levels
from shared.parameters import Parameters
from shared.settings import Settings
from shared.webhooks import MAX_URL_LENGTH

FILE_FIELDS = ("content", "style", "mask", "init")
REPEATED_FIELDS = frozenset({"style", "mask"})
TEXT_FIELDS = frozenset({"params", "metadata", "priority", "webhook"})
MAX_TEXT_BYTES = 64 * 1024
MAX_METADATA_BYTES = 8 * 1024  # it lies in Redis for as long as the job is kept
REPLACEMENT = "\ufffd"  # what Werkzeug puts where a field is not UTF-8; JSON can escape a real one

# Requests whose body is read, which goes to the disk: the other threads are for whoever asks for
# something else, however slow these are. No key has them all.
MAX_UPLOADS = 64
MAX_KEY_UPLOADS = 16

_decoding = DecodingRoom()

IMAGE = {"type": "string", "format": "binary"}
# What the OpenAPI document says of the request body.
UPLOAD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Which images are needed depends on `params`: `/v1/presets` says it for each"
    " preset. One that is missing is 400; numbers of images that do not fit are 422. Every image is"
    " a JPEG, PNG, WebP or TIFF.",
    "additionalProperties": False,
    "properties": {
        "content": {**IMAGE, "description": "The photograph. Left out for a texture."},
        "style": {
            "type": "array",
            "items": IMAGE,
            "description": "One or more paintings; repeat the field. Left out for a"
            " reconstruction.",
        },
        "mask": {
            "type": "array",
            "items": IMAGE,
            "description": "Where each style applies: white there, black elsewhere, stretched to"
            " the picture. None, or one for each style, in their order.",
        },
        "init": {**IMAGE, "description": "What to start from; with `init` `image` in `params`."},
        "params": {"$ref": "#/components/schemas/Parameters"},
        "metadata": {
            "type": "object",
            "description": f"Anything of yours, {MAX_METADATA_BYTES:,} bytes of JSON at most; given"
            " back with the job.",
        },
        "priority": {"$ref": "#/components/schemas/Priority"},
        "webhook": {
            "type": "string",
            "format": "uri",
            "maxLength": MAX_URL_LENGTH,
            "description": "URL that is told of the end of the job, as Standard Webhooks say. At"
            " least once: tell repetitions by their `webhook-id`.",
        },
    },
}


class Places:
    """For uploads that are being read at a time."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()  # by an owner
        self._lock = threading.Lock()

    @contextmanager
    def place(self, whose: str) -> Iterator[None]:
        """One of them, for a while. Those without keys are one owner, and have no share.

        Raises:
            Unavailable: there is none.
            TooMany: this owner has as many as one may have.
        """
        with self._lock:
            if self._taken.total() >= MAX_UPLOADS:
                raise Unavailable(f"{MAX_UPLOADS} uploads are being read at the moment: try again")
            if whose != ANONYMOUS and self._taken[whose] >= MAX_KEY_UPLOADS:
                raise TooMany(f"{MAX_KEY_UPLOADS} of your uploads are being read: wait for one")
            self._taken[whose] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[whose] -= 1
                if not self._taken[whose]:
                    del self._taken[whose]


_uploads = Places()


@dataclass(frozen=True)
class Image:
    """A file that can be used as an image. Its bytes stay on the disk."""

    file: IO[bytes]
    sha256: str
    shape: Shape


@dataclass(frozen=True)
class Upload:
    """A request for a job that has passed every check."""

    content: Image | None
    styles: tuple[Image, ...]
    masks: tuple[Image, ...]
    init: Image | None
    params: Parameters
    metadata: dict[str, Any]
    priority: Priority
    webhook: str | None

    @property
    def images(self) -> list[Image]:
        """All of them."""
        single = (image for image in (self.content, self.init) if image is not None)
        return [*single, *self.styles, *self.masks]

    @property
    def inputs(self) -> Inputs:
        """All images by their SHA-256."""
        return Inputs(
            content=self.content and self.content.sha256,
            styles=[style.sha256 for style in self.styles],
            masks=[mask.sha256 for mask in self.masks],
            init=self.init and self.init.sha256,
        )


def read_upload(request: Request, settings: Settings) -> Upload:
    """Check everything about a request before anything is stored.

    Raises:
        UnsupportedMedia: not multipart, or a file is not an image.
        InvalidRequest: fields are missing, doubled, unknown, of the wrong kind, or not JSON.
        InvalidInput: parameters or images are out of bounds, or do not go together.
        TooLarge: more bytes than are taken.
        Unavailable: there are too many requests of this kind at once.
        TooMany: there are too many of this owner.
    """
    with _uploads.place(owner()):
        return _read(request, settings)


def _read(request: Request, settings: Settings) -> Upload:
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMedia("send the images as multipart/form-data")
    if "boundary" not in request.mimetype_params:
        raise InvalidRequest("the Content-Type says multipart/form-data but names no boundary")
    _check_fields(request)

    params = parameters(_json_field(request.form.get("params", "{}"), "params"), settings)
    metadata = _json_field(request.form.get("metadata", "{}"), "metadata")
    priority = _priority(request.form.get("priority", Priority.NORMAL))

    check_numbers(
        params,
        settings,
        content="content" in request.files,
        styles=len(request.files.getlist("style")),
        masks=len(request.files.getlist("mask")),
        init="init" in request.files,
    )
    images = {
        field: [
            _checked(file, f"{field}/{index}" if field in REPEATED_FIELDS else field, settings)
            for index, file in enumerate(request.files.getlist(field))
        ]
        for field in FILE_FIELDS
    }
    _check_shapes(images["content"], images["style"], params)
    return Upload(
        content=next(iter(images["content"]), None),
        styles=tuple(images["style"]),
        masks=tuple(images["mask"]),
        init=next(iter(images["init"]), None),
        params=params,
        metadata=metadata,
        priority=priority,
        webhook=request.form.get("webhook"),
    )


def _check_fields(request: Request) -> None:
    for name in request.form:
        if name in FILE_FIELDS:
            raise InvalidRequest(f"{name!r} came as text: send it as a file, with a file name")
        if name not in TEXT_FIELDS:
            _unknown(name)
        if len(request.form.getlist(name)) > 1:
            raise InvalidRequest(f"{name!r} came more than once")
        longest = MAX_METADATA_BYTES if name == "metadata" else MAX_TEXT_BYTES
        if len(request.form[name].encode(errors="surrogatepass")) > longest:
            raise TooLarge(f"{name!r} is longer than {longest:,} bytes")
    for name in request.files:
        if name in TEXT_FIELDS:
            raise InvalidRequest(f"{name!r} came as a file: send it as a plain field")
        if name not in FILE_FIELDS:
            _unknown(name)
        if name not in REPEATED_FIELDS and len(request.files.getlist(name)) > 1:
            raise InvalidRequest(f"{name!r} came more than once: a job has one {name} image")


def check_numbers(
    params: Parameters, settings: Settings, *, content: bool, styles: int, masks: int, init: bool
) -> None:
    """Whether the images are those that the parameters need. None need be read yet.

    Raises:
        InvalidRequest: one is missing, or there are too many.
        InvalidInput: they do not go together with the parameters.
    """
    if styles > settings.max_styles:
        raise InvalidRequest(f"{styles} style images: at most {settings.max_styles} are taken")
    if found := missing(params, content=content, styles=styles, init=init):
        raise InvalidRequest(_sentence(found), tuple(found))
    if found := misfits(params, content=content, styles=styles, masks=masks, init=init):
        raise InvalidInput(_sentence(found), tuple(found))


def _sentence(faults: list[Fault]) -> str:
    return "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults)


def _unknown(name: str | None) -> NoReturn:
    expected = ", ".join(sorted({*FILE_FIELDS, *TEXT_FIELDS}))
    raise InvalidRequest(f"unknown field {(name or '')[:100]!r}: expected {expected}")


def _check_shapes(contents: list[Image], styles: list[Image], params: Parameters) -> None:
    """Whether the images that are used are large enough for the network, before a worker is."""
    plan_levels(
        contents[0].shape if params.uses_content else None,
        [style.shape for style in styles] if params.uses_styles else [],
        params,
    )


def _checked(file: FileStorage, field: str, settings: Settings) -> Image:
    size_bytes = file.seek(0, io.SEEK_END)
    if size_bytes > settings.max_image_bytes:
        raise TooLarge(f"{field}: {size_bytes:,} bytes, at most {settings.max_image_bytes:,} taken")
    file.seek(0)
    with _decoding.seat() as room:
        data = file.read()
        try:
            shape = check_image(data, settings.image_limits, room)
        except (InvalidInput, UnsupportedMedia) as error:
            raise type(error)(f"{field}: {error}", (Fault(field, str(error)),)) from None
        return Image(file.stream, hashlib.sha256(data).hexdigest(), shape)


def _priority(text: str) -> Priority:
    try:
        return Priority(text)
    except ValueError:
        known = ", ".join(Priority)
        raise wrong("priority", f"{text[:100]!r} is none of {known}") from None


def _json_field(text: str, field: str) -> dict[str, Any]:
    if REPLACEMENT in text:
        raise InvalidRequest(f"{field}: not valid UTF-8")
    return json_object(text, field)
