"""The parameters in words, from their JSON Schema: kind, bounds, default, meaning."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One parameter, or a part of one: `pyramid.min_size`."""

    name: str
    kind: str
    default: str
    description: str


def entries(schema: Schema) -> Iterator[Entry]:
    """Every parameter in the order of `schema`, each followed by its parts."""
    yield from _entries(schema, schema.get("$defs", {}), prefix="")


def _entries(model: Schema, definitions: Schema, prefix: str) -> Iterator[Entry]:
    for key, field in model["properties"].items():
        parts = _parts(field, definitions)
        # Where there are parts, each has a default of its own.
        default = "" if parts and field["default"] is not None else in_words(field["default"])
        yield Entry(prefix + key, _kind(field), default, field["description"])
        if parts:
            yield from _entries(parts, definitions, prefix=f"{prefix}{key}.")


def _parts(field: Schema, definitions: Schema) -> Schema | None:
    for option in field.get("anyOf", [field]):
        if "$ref" in option:
            found: Schema = definitions[option["$ref"].rsplit("/", 1)[-1]]
            return found
    return None


def _kind(field: Schema, plural: str = "") -> str:
    """What a value may be: 'integer 32 to 4096', 'png | jpeg', 'number above 0, or null'."""
    if "anyOf" in field:
        return ", or ".join(_kind(option) for option in field["anyOf"])
    if "enum" in field:
        return " | ".join(str(choice) for choice in field["enum"])
    if "$ref" in field:
        return "the parts below"
    kind: str = field["type"]
    if kind == "boolean":
        return "true | false"
    if kind == "object":
        return f"{{layer: {_kind(field['additionalProperties'])}}}"
    if kind == "array" and "prefixItems" in field:
        return f"list of {field['minItems']} {_kind(field['prefixItems'][0], plural='s')}"
    if kind == "array":
        return f"list of {_kind(field['items'], plural='s')}"
    return f"{kind}{plural} {_bounds(field)}".strip()


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{in_words(low)} to {in_words(high)}"
    named = (("above", above), ("at least", low), ("below", below), ("at most", high))
    return " and ".join(f"{word} {in_words(bound)}" for word, bound in named if bound is not None)


def in_words(value: Any) -> str:
    """A value as `--set` takes it, its numbers to six digits."""
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_json(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, float) or (isinstance(value, int) and value >= 10**6):
        return f"{value:g}".replace("e+", "e")
    return json.dumps(value)
