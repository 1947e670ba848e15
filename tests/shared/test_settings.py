"""Settings: where they are read from, and what never shows."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.settings import Settings


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer


def test_every_field_is_read_from_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_REDIS_URL", "redis://redis:1/2")
    monkeypatch.setenv("IMPASTO_S3_PUBLIC_ENDPOINT_URL", "https://s3.example")
    monkeypatch.setenv("IMPASTO_MAX_STYLES", "3")
    monkeypatch.setenv("IMPASTO_ALLOW_ANONYMOUS", "true")
    settings = Settings()
    assert settings.redis_url.get_secret_value() == "redis://redis:1/2"
    assert settings.s3_public_endpoint_url == "https://s3.example"
    assert settings.max_styles == 3
    assert settings.allow_anonymous is True


def test_a_env_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")  # which the other tests ignore
    Path(".env").write_text("IMPASTO_API_PORT=9001\nIMPASTO_MAX_STYLES=2\nOTHER=1\n")
    monkeypatch.setenv("IMPASTO_MAX_STYLES", "5")
    settings = Settings()
    assert (settings.api_port, settings.max_styles) == (9001, 5)


def test_secrets_do_not_show() -> None:
    settings = Settings(
        redis_url="redis://:hidden-1@h/0",
        broker_url="redis://:hidden-2@h/0",
        result_backend_url="redis://:hidden-3@h/0",
        s3_secret_access_key="hidden-4",
    )
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(vars(settings))):
        assert "hidden" not in shown


def test_one_redis_serves_all_until_others_are_named() -> None:
    one = Settings(redis_url="redis://one")
    assert (one.broker, one.result_backend) == ("redis://one", "redis://one")
    many = Settings(redis_url="redis://1", broker_url="redis://2", result_backend_url="redis://3")
    assert (many.broker, many.result_backend) == ("redis://2", "redis://3")


def test_the_largest_picture_can_be_set() -> None:
    assert Settings(max_image_pixels=1000).image_limits.max_pixels == 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "65536"),
        ("API_PORT", "http"),
        ("MAX_STYLES", "0"),
        ("LEASE_SECONDS", "0"),
        ("LOG_FORMAT", "xml"),
        ("RETENTION_SECONDS", "59"),
        ("MAX_IMAGE_PIXELS", "200000000"),  # Pillow would refuse them all the same
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"IMPASTO_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError):
        Settings().api_port = 1
