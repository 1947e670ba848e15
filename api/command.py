"""`impasto api`: the API under gunicorn."""

import ipaddress

import click

from api.server import Server, gunicorn_options
from shared.settings import Settings


@click.command()
@click.option("--host", default=None, help="Address to listen on. [default: IMPASTO_API_HOST]")
@click.option("--port", type=int, default=None, help="Port. [default: IMPASTO_API_PORT]")
@click.option("--fd", type=int, hidden=True, help="Socket inherited from `impasto up`.")
def api(host: str | None, port: int | None, fd: int | None) -> None:
    """Serve the HTTP API and the page."""
    settings = Settings()
    host = host or settings.api_host
    decided = settings.require_keys or settings.allow_anonymous
    if fd is None and not _is_loopback(host) and not decided:
        raise click.ClickException(
            f"it would let everybody on {host} in: make a key with `impasto keys create NAME` and"
            " set IMPASTO_REQUIRE_KEYS=true, or listen on 127.0.0.1 behind a proxy that asks for"
            " credentials, or set IMPASTO_ALLOW_ANONYMOUS=true"
        )
    address = f"[{host}]" if ":" in host else host
    bind = f"fd://{fd}" if fd else f"{address}:{settings.api_port if port is None else port}"
    Server(settings, gunicorn_options(settings, bind)).run()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
