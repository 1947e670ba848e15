"""Reading `POST /v1/jobs`: multipart in, checked images and parameters out, or an error."""

import hashlib
import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import Request
from pydantic import ValidationError
from werkzeug.datastructures import FileStorage

from api.problems import invalid_parameters
from shared.errors import (
    Fault,
    ImpastoError,
    InvalidInput,
    InvalidRequest,
    TooLarge,
    UnsupportedMedia,
)
from shared.images import check_image
from shared.inputs import misfits, missing
from shared.jobs import Inputs, Priority
from shared.levels import Shape, plan_levels
from shared.parameters import Parameters
from shared.settings import Settings
from shared.webhooks import MAX_URL_LENGTH

FILE_FIELDS = ("content", "style", "mask", "init")
REPEATED_FIELDS = frozenset({"style", "mask"})
TEXT_FIELDS = frozenset({"params", "metadata", "priority", "webhook"})
MAX_TEXT_BYTES = 64 * 1024
MAX_JSON_DEPTH = 16
REPLACEMENT = "\ufffd"  # what Werkzeug puts where a field is not UTF-8; JSON can escape a real one

# A picture of the largest size takes some 200 MB while it is decoded: not in all threads at once.
_decoder = threading.BoundedSemaphore(2)

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
            "description": "Anything of yours; given back with the job.",
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


@dataclass(frozen=True)
class Image:
    """A file that can be used as an image."""

    data: bytes
    shape: Shape


@dataclass(frozen=True)
class Upload:
    """A request for a job that has passed every check."""

    content: bytes | None
    styles: tuple[bytes, ...]
    masks: tuple[bytes, ...]
    init: bytes | None
    params: Parameters
    metadata: dict[str, Any]
    priority: Priority
    webhook: str | None

    @property
    def files(self) -> list[bytes]:
        """All images."""
        single = (data for data in (self.content, self.init) if data is not None)
        return [*single, *self.styles, *self.masks]

    @property
    def inputs(self) -> Inputs:
        """All images by their SHA-256."""
        return Inputs(
            content=_sha256(self.content),
            styles=[hashlib.sha256(style).hexdigest() for style in self.styles],
            masks=[hashlib.sha256(mask).hexdigest() for mask in self.masks],
            init=_sha256(self.init),
        )


def read_upload(request: Request, settings: Settings) -> Upload:
    """Check everything about a request before anything is stored.

    Raises:
        UnsupportedMedia: not multipart, or a file is not an image.
        InvalidRequest: fields are missing, doubled, unknown, of the wrong kind, or not JSON.
        InvalidInput: parameters or images are out of bounds, or do not go together.
        TooLarge: more bytes than are taken.
    """
    if request.mimetype != "multipart/form-data":
        raise UnsupportedMedia("send the images as multipart/form-data")
    if "boundary" not in request.mimetype_params:
        raise InvalidRequest("the Content-Type says multipart/form-data but names no boundary")
    _check_fields(request)

    params = _params(request.form.get("params", "{}"), settings)
    metadata = _json_object(request.form.get("metadata", "{}"), "metadata")
    priority = _priority(request.form.get("priority", Priority.NORMAL))

    _check_images(request, params, settings)
    images = {
        field: [
            _checked(file, f"{field}/{index}" if field in REPEATED_FIELDS else field, settings)
            for index, file in enumerate(request.files.getlist(field))
        ]
        for field in FILE_FIELDS
    }
    _check_shapes(images["content"], images["style"], params)
    return Upload(
        content=images["content"][0].data if images["content"] else None,
        styles=tuple(image.data for image in images["style"]),
        masks=tuple(image.data for image in images["mask"]),
        init=images["init"][0].data if images["init"] else None,
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
        if len(request.form[name].encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
            raise TooLarge(f"{name!r} is longer than {MAX_TEXT_BYTES:,} bytes")
    for name in request.files:
        if name in TEXT_FIELDS:
            raise InvalidRequest(f"{name!r} came as a file: send it as a plain field")
        if name not in FILE_FIELDS:
            _unknown(name)
        if name not in REPEATED_FIELDS and len(request.files.getlist(name)) > 1:
            raise InvalidRequest(f"{name!r} came more than once: a job has one {name} image")


def _check_images(request: Request, params: Parameters, settings: Settings) -> None:
    """Whether the images are those that the parameters need. None is read yet."""
    styles = len(request.files.getlist("style"))
    masks = len(request.files.getlist("mask"))
    content, init = "content" in request.files, "init" in request.files
    if styles > settings.max_styles:
        raise InvalidRequest(f"{styles} style images: at most {settings.max_styles} are taken")
    if found := missing(params, content=content, styles=styles, init=init):
        raise InvalidRequest(_sentence(found), tuple(found))
    if found := misfits(params, content=content, styles=styles, masks=masks, init=init):
        raise InvalidInput(_sentence(found), tuple(found))


def _sentence(faults: list[Fault]) -> str:
    return "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults)


def _unknown(name: str) -> NoReturn:
    expected = ", ".join(sorted({*FILE_FIELDS, *TEXT_FIELDS}))
    raise InvalidRequest(f"unknown field {name[:100]!r}: expected {expected}")


def _check_shapes(contents: list[Image], styles: list[Image], params: Parameters) -> None:
    """Whether the images that are used are large enough for the network, before a worker is."""
    plan_levels(
        contents[0].shape if params.uses_content else None,
        [style.shape for style in styles] if params.uses_styles else [],
        params,
    )


def _checked(file: FileStorage, field: str, settings: Settings) -> Image:
    data: bytes = file.read()
    if len(data) > settings.max_image_bytes:
        raise TooLarge(f"{field}: {len(data):,} bytes, at most {settings.max_image_bytes:,} taken")
    try:
        with _decoder:
            shape = check_image(data, settings.image_limits)
    except ImpastoError as error:
        raise type(error)(f"{field}: {error}", (Fault(field, str(error)),)) from None
    return Image(data, shape)


def _params(text: str, settings: Settings) -> Parameters:
    values = _json_object(text, "params")
    try:
        params = Parameters.model_validate(values)
    except ValidationError as error:
        raise invalid_parameters(error, "params") from None
    if params.size > settings.max_size_px:
        raise _wrong("params/size", f"{params.size} px: at most {settings.max_size_px} are painted")
    return params


def _priority(text: str) -> Priority:
    try:
        return Priority(text)
    except ValueError:
        known = ", ".join(Priority)
        raise _wrong("priority", f"{text[:100]!r} is none of {known}") from None


def _json_object(text: str, field: str) -> dict[str, Any]:
    if REPLACEMENT in text:
        raise InvalidRequest(f"{field}: not valid UTF-8")
    try:
        value = json.loads(
            text, parse_constant=_no_constant(field), object_pairs_hook=_unique_keys(field)
        )
    except RecursionError:
        raise InvalidRequest(f"{field}: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{field}: not valid JSON: {error}") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise InvalidRequest(f"{field}: {error}") from None
    if not isinstance(value, dict):
        raise _wrong(field, "expected a JSON object")
    _check_json(value, field)
    return value


def _check_json(value: Any, field: str, depth: int = 1) -> None:
    if depth > MAX_JSON_DEPTH:
        raise InvalidRequest(f"{field}: nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise _wrong(field, "a lone surrogate is not a character")
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(field, "a number is too large")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_json(key, field, depth)
            _check_json(item, field, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, field, depth + 1)


def _no_constant(field: str) -> Callable[[str], NoReturn]:
    def refuse(name: str) -> NoReturn:
        raise _wrong(field, f"{name} is not a number that is taken")

    return refuse


def _unique_keys(field: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise InvalidRequest(f"{field}: a key stands twice in one object")
        return values

    return build


def _sha256(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def _wrong(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput(f"{pointer}: {detail}", (Fault(pointer, detail),))
