"""JSON from outside: what Python's reader lets pass and nobody means is refused.

That is NaN and Infinity, numbers that become infinite, keys that stand twice, lone surrogates, and
values nested so deeply that whoever walks through them falls.
"""

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

from pydantic import ValidationError

from api.problems import invalid_parameters
from shared.errors import Fault, InvalidInput, InvalidRequest
from shared.parameters import Parameters
from shared.settings import Settings

MAX_JSON_DEPTH = 16


def json_object(text: str, field: str) -> dict[str, Any]:
    """The object that `text` is; `field` is what errors call it.

    Raises:
        InvalidRequest: it is not JSON, a key stands twice, or it is nested too deeply.
        InvalidInput: it is no object, or has a value that is none.
    """
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
        raise wrong(field, "expected a JSON object")
    _check(value, field)
    return value


def parameters(values: dict[str, Any], settings: Settings) -> Parameters:
    """What a job asks for, within what is painted here. Raises `InvalidInput`."""
    try:
        params = Parameters.model_validate(values)
    except ValidationError as error:
        raise invalid_parameters(error, "params") from None
    check_limits(params, settings)
    return params


def check_limits(params: Parameters, settings: Settings) -> None:
    """Whether so large a picture is painted here. Raises `InvalidInput`."""
    if params.size > settings.max_size_px:
        raise wrong("params/size", f"{params.size} px: at most {settings.max_size_px} are painted")


def wrong(pointer: str, detail: str) -> InvalidInput:
    """The error about one value."""
    return InvalidInput(f"{pointer}: {detail}", (Fault(pointer, detail),))


def _check(value: Any, field: str, depth: int = 1) -> None:
    if depth > MAX_JSON_DEPTH:
        raise InvalidRequest(f"{field}: nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise wrong(field, "a lone surrogate is not a character")
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(field, "a number is too large")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, field, depth)
            _check(item, field, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, field, depth + 1)


def _no_constant(field: str) -> Callable[[str], NoReturn]:
    def refuse(name: str) -> NoReturn:
        raise wrong(field, f"{name} is not a number that is taken")

    return refuse


def _unique_keys(field: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise InvalidRequest(f"{field}: a key stands twice in one object")
        return values

    return build
