"""How this installation is set up: environment variables `IMPASTO_...`, or a `.env` file."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.images import ImageLimits
from shared.origins import parse_origins


class Settings(BaseSettings):
    """Every field is the environment variable `IMPASTO_<FIELD>`; secrets are never logged."""

    model_config = SettingsConfigDict(
        env_prefix="IMPASTO_", env_file=".env", extra="ignore", frozen=True
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis that holds the job records. Needs AOF and maxmemory-policy noeviction.",
    )
    broker_url: SecretStr | None = Field(
        None, description="Redis that carries Celery's messages. `IMPASTO_REDIS_URL` when not set."
    )
    result_backend_url: SecretStr | None = Field(
        None, description="Redis that carries progress. `IMPASTO_REDIS_URL` when not set."
    )

    s3_endpoint_url: str | None = Field(
        None, description="S3 endpoint as workers and API reach it. AWS when not set."
    )
    s3_public_endpoint_url: str | None = Field(
        None,
        description="S3 endpoint as clients reach it, for presigned URLs. The above if not set.",
    )
    s3_region: str = Field("us-east-1", description="S3 region.")
    s3_bucket: str = Field("impasto", description="Bucket for inputs, previews and results.")
    s3_access_key_id: str | None = Field(
        None, description="S3 access key. boto3's own chain of credentials when not set."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="S3 secret key.")
    presigned_url_seconds: int = Field(
        3600, ge=1, le=604_800, description="How long a result's URL stays valid, s."
    )

    api_host: str = Field("127.0.0.1", description="Address that the API listens on.")
    api_port: int = Field(8080, ge=0, le=65535, description="Port that the API listens on.")
    api_threads: int = Field(
        16, ge=1, le=256, description="Requests that an API process works on at a time."
    )
    max_streams: int = Field(
        500,
        ge=1,
        le=4096,
        description="Streams of events and requests that wait for the end of a job, besides the"
        " above, in an API process at a time; beyond it the API answers 503.",
    )
    max_key_streams: int = Field(
        100, ge=1, description="Of these, those of one API key; beyond it the API answers 429."
    )
    api_processes: int = Field(1, ge=1, le=64, description="API processes.")
    require_keys: bool = Field(
        False, description="Refuse whoever has no API key, even before the first key is made."
    )
    allow_anonymous: bool = Field(
        False, description="Listen beyond loopback although keys are not required."
    )
    key_cache_seconds: float = Field(
        5.0,
        ge=0,
        description="How long an API process remembers a key that it has looked up, s: a key that"
        " is revoked works that much longer.",
    )

    requests_per_minute: int = Field(
        6000,
        ge=0,
        description="Requests of one API key, or without keys of one address, that an API process"
        " answers in a minute; beyond it 429. 0: no limit.",
    )
    jobs_per_minute: int = Field(
        300,
        ge=0,
        description="Jobs and estimates that one API key, or without keys one address, may ask for"
        " in a minute; beyond it 429. 0: no limit.",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        description="Proxies in front of the API whose `X-Forwarded-...` headers are believed.",
    )
    cors_origins: str = Field(
        "",
        description="Origins whose pages may use the API from a browser, separated by commas.",
    )

    max_request_bytes: int = Field(
        64 * 2**20, ge=1, description="Largest request that the API reads, bytes."
    )
    max_image_bytes: int = Field(
        25 * 2**20, ge=1, description="Largest image file that is taken, bytes."
    )
    max_image_pixels: int = Field(
        50_000_000,
        ge=1,
        le=89_478_485,  # beyond it Pillow takes every image for a bomb
        description="Most pixels of an image that is taken.",
    )
    max_styles: int = Field(8, ge=1, le=64, description="Most style images of one job.")
    max_size_px: int = Field(2048, ge=32, description="Largest long side of a result, px.")
    max_queued_jobs: int = Field(
        10_000, ge=1, description="Jobs waiting; beyond it the API answers 503."
    )
    max_unfinished_jobs: int = Field(
        1_000, ge=1, description="Unfinished jobs of one API key; beyond it the API answers 429."
    )
    max_kept_jobs: int = Field(
        100_000,
        ge=1,
        description="Jobs of one API key that are kept, finished ones too; beyond it the API"
        " answers 403 until some are deleted, or have been kept long enough.",
    )
    max_running_jobs: int | None = Field(
        None,
        ge=1,
        description="Jobs of one API key that are painted at a time; the others wait. No limit when"
        " not set.",
    )
    idempotency_seconds: int = Field(
        86_400, ge=60, description="How long an Idempotency-Key is remembered, s."
    )
    retention_seconds: int = Field(
        7 * 86_400, ge=60, description="How long a finished job, its inputs and result are kept, s."
    )

    weights: str = Field(
        "oxford-q8",
        description="VGG-19 weights: oxford-q8, torchvision, or a path (.pth, .safetensors).",
    )
    device: str = Field("auto", description="Device of a worker: auto, cpu, cuda or cuda:N.")
    worker_name: str | None = Field(
        None, description="Name under which a worker is listed. Host and process id when not set."
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads of a worker. When not set, the cores that it may use, divided by"
        " the workers that are up on them.",
    )
    target_cache_bytes: int = Field(
        256 * 2**20,
        ge=0,
        description="Memory of a worker's device for what it has computed of the images of earlier"
        " jobs, bytes; 0 keeps nothing.",
    )
    max_attempts: int = Field(
        3, ge=1, description="Workers that a job may lose before it fails with max_attempts."
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="How long a job stays with a worker that is not heard of, s."
    )
    heartbeat_seconds: float = Field(
        10.0, gt=0, description="How often a worker renews its registration and its lease, s."
    )
    reconcile_interval_seconds: float = Field(
        15.0, gt=0, description="How often workers look for jobs that nobody holds, s."
    )
    republish_seconds: float = Field(
        60.0, gt=0, description="How long a job waits until its message is sent again, s; doubles."
    )
    max_run_seconds: float = Field(
        86_400.0, gt=0, description="Longest run of a job, over all its workers, s."
    )
    step_timeout_seconds: float = Field(
        900.0, gt=0, description="A job that makes no step for so long is taken from its worker, s."
    )
    outage_patience_seconds: float = Field(
        300.0,
        ge=0,
        description="How long a job waits for an S3 that is away before its worker gives it back,"
        " since another one may reach it, s.",
    )
    checkpoint_interval_seconds: float = Field(
        30.0, gt=0, description="Shortest time between two checkpoints of a job, s."
    )
    sweep_interval_seconds: float = Field(
        15.0, gt=0, description="How often workers remove what has expired, s."
    )
    unused_input_seconds: float = Field(
        3600.0, gt=0, description="How long an input is kept that no job uses any more, s."
    )
    webhook_secrets: SecretStr | None = Field(
        None,
        description="Secrets (`whsec_...`) that sign webhooks, separated by commas: each signs, so"
        " that they can be exchanged. No webhooks when not set.",
    )
    webhook_allow_private: bool = Field(
        False, description="Send webhooks to private addresses too, and over plain HTTP."
    )
    webhook_timeout_seconds: float = Field(
        10.0, gt=0, le=30, description="Longest time that a webhook's receiver may take, s."
    )
    webhook_max_attempts: int = Field(
        10, ge=1, description="How often a webhook is tried before it is given up."
    )
    progress_interval_seconds: float = Field(
        0.5, ge=0, description="Shortest time between two reports of a job's progress, s."
    )
    preview_interval_seconds: float = Field(
        2.0, ge=0, description="Shortest time between two previews of a job, s."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="debug also logs every poll."
    )
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json.")

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        parse_origins(value)  # says which one is none
        return value

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> Self:
        if self.lease_seconds < 3 * self.heartbeat_seconds:
            raise ValueError("lease_seconds should be three times heartbeat_seconds or more")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The settings of a process that gets this environment on top of our own."""
        prefix = "IMPASTO_"
        values: dict[str, Any] = {
            name.removeprefix(prefix).lower(): value
            for name, value in environment.items()
            if name.startswith(prefix)
        }
        return cls(_env_file=None, **values)

    @cached_property
    def image_limits(self) -> ImageLimits:
        """What an uploaded picture may measure."""
        return ImageLimits(max_pixels=self.max_image_pixels)

    @property
    def broker(self) -> str:
        """URL of Celery's broker, with its password."""
        return (self.broker_url or self.redis_url).get_secret_value()

    @property
    def result_backend(self) -> str:
        """URL of Celery's result backend, with its password."""
        return (self.result_backend_url or self.redis_url).get_secret_value()
