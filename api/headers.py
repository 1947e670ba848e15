"""Headers that every answer has: what a browser may do with it, and who may keep it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from api.authentication import is_protected

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ANSWER_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
# Our own files only; pictures also from what the visitor has just dropped or painted.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# Scalar writes its styles into the page while it runs, and has fonts and pictures in them.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' blob: data:; font-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
POLICIES: Final = {"/": PAGE_POLICY, "/docs/scalar": DOCS_POLICY}
OF_A_PAGE: Final = (
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
OF_ALL: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
ONLY_BY_TLS = ("Strict-Transport-Security", f"max-age={365 * 86_400}")
CACHE_CONTROL = "Cache-Control"


class SafeHeaders:
    """WSGI middleware, since a list of headers is changed there in no time, and Flask's is not."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Add the headers to whatever is answered, errors included."""
        path = "/" + environ.get("PATH_INFO", "").lstrip("/")  # as routes are found

        def start(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            policy = POLICIES.get(path)
            headers.extend(OF_ALL)
            headers.append(("Content-Security-Policy", policy or ANSWER_POLICY))
            if policy:
                headers.extend(OF_A_PAGE)
            if environ["wsgi.url_scheme"] == "https":
                headers.append(ONLY_BY_TLS)
            if is_protected(path):
                _keep_private(headers)
            return start_response(status, headers, *failure)

        return self._app(environ, start)


def _keep_private(headers: list[tuple[str, str]]) -> None:
    """Nobody else keeps what is somebody's own, and nothing is kept that the route does not let."""
    for place, (name, kept) in enumerate(headers):
        if name == CACHE_CONTROL:
            if "private" not in kept and "no-store" not in kept:
                headers[place] = (CACHE_CONTROL, f"private, {kept}")
            headers.append(("Vary", "Authorization"))  # who changes the key does not see it
            return
    headers.append((CACHE_CONTROL, "no-store"))
