"""What a browser is served."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

from api.pages import WEB

ASSETS = sorted(str(path.relative_to(WEB)) for path in WEB.rglob("*") if path.is_file())


def test_the_page_is_served_with_everything_that_it_names(api: FlaskClient) -> None:
    with api.get("/") as page:
        assert page.mimetype == "text/html"
        named = re.findall(r'(?:src|href)="(/[^"#]+)"', page.text)
    assert len(named) >= 2
    for path in named:
        with api.get(path, follow_redirects=True) as answer:
            assert answer.status_code == 200, path


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_is_served_as_what_it_is(api: FlaskClient, name: str) -> None:
    with api.get(f"/web/{name}") as answer:
        assert answer.data == (WEB / name).read_bytes()
        kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
        assert answer.mimetype == kinds.get(Path(name).suffix, answer.mimetype)
        with api.get(f"/web/{name}", headers={"If-None-Match": answer.headers["ETag"]}) as again:
            assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/web/../app.py",
        "/web/..%2fapp.py",
        "/web/%2e%2e/app.py",
        "/web/%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/..\\app.py",
        "/web/css/../../app.py",
        "/web/%00",
        "/web/index.html%00.js",
        "/web/" + "a" * 3000,
        "/web/css",
        "/web/",
        "/web/nothing.js",
    ],
)
def test_nothing_outside_the_page_s_folder_is_served(api: FlaskClient, path: str) -> None:
    with api.get(path, follow_redirects=True) as answer:
        assert answer.status_code == 404
        assert answer.content_type == "application/problem+json"
        assert "import" not in answer.text


def test_the_documentation_is_a_page_of_the_service_itself(api: FlaskClient) -> None:
    docs = api.get("/docs", follow_redirects=True)
    assert docs.status_code == 200
    assert docs.mimetype == "text/html"
    assert "/openapi.json" in docs.text
    scripts = re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', docs.text)
    assert scripts
    for path in scripts:
        assert not re.match(r"(https?:)?//", path), f"{path} is somebody else's"
        with api.get(urljoin("/docs/scalar", path)) as answer:
            assert answer.status_code == 200, path


def test_no_page_loads_anything_from_elsewhere(api: FlaskClient) -> None:
    loads = re.compile(
        r"""(?:src|href)\s*=\s*["'](?:https?:)?//|@import|url\(["']?(?:https?:)?//"""
        r"""|(?:import|fetch)\s*\(\s*["'](?:https?:)?//|from\s+["'](?:https?:)?//"""
    )
    for path in ("/", "/docs/scalar", *(f"/web/{name}" for name in ASSETS)):
        with api.get(path) as answer:
            found = loads.findall(answer.get_data().decode(errors="replace"))
            assert not found, f"{path}: {found}"
