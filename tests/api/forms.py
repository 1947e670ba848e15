"""Multipart forms to the byte, since clients would not write most of the hostile ones."""

from collections.abc import Iterable
from typing import Any

from tests.api.conftest import CONTENT, STYLE

BOUNDARY = b"frontier"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY.decode()}"


def part(name: str, value: Any, filename: str | bytes | None = None) -> bytes:
    """A field, or a file if it is bytes. In its name only line ends and quotes are written anew."""
    disposition = b'Content-Disposition: form-data; name="%s"' % name.encode()
    if filename is None and isinstance(value, bytes):
        filename = f"{name}.png"
    if filename is not None:
        raw = filename if isinstance(filename, bytes) else filename.encode()
        quoted = raw.replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
        disposition += b'; filename="%s"' % quoted
    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
    return b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY, disposition, data)


def joined(parts: Iterable[bytes]) -> dict[str, Any]:
    """Arguments of a request by httpx."""
    body = b"".join(parts) + b"--%s--\r\n" % BOUNDARY
    return {"content": body, "headers": {"Content-Type": MULTIPART}}


def form(*parts: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    """The same of a form with pictures in it; `content=None` leaves one out."""
    named = {"content": CONTENT, "style": STYLE} | fields
    all_parts = [(name, value) for name, value in named.items() if value is not None]
    return joined(part(name, value) for name, value in (*all_parts, *parts))
