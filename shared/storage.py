"""Bytes in S3: inputs under their hash, previews and results under their job.

inputs/<sha256>                        an uploaded file, stored once however often it is used
jobs/<id>/preview.jpg                  the newest preview, replaced while the job runs
jobs/<id>/<fence>/result.<extension>   immutable; the fence keeps a stale worker's file apart
jobs/<id>/<fence>/manifest.json        what reproduces the result
"""

import hashlib
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.settings import Settings

STORAGE_ERRORS = (BotoCoreError, ClientError)

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 10},
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    # Many S3 servers reject the checksums that boto3 adds on its own.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    max_pool_connections=32,
)
# The API must not hang where a worker would patiently retry.
_IMPATIENT = _CONFIG.merge(
    Config(connect_timeout=1, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
)


class ObjectMissing(Exception):
    """There is no object under this key."""


class Storage:
    """The objects of one bucket."""

    def __init__(self, settings: Settings, *, patient: bool = True) -> None:
        self._settings = settings
        self._config = _CONFIG if patient else _IMPATIENT
        self._bucket = settings.s3_bucket
        self._s3 = self._client(settings.s3_endpoint_url)
        # The host is part of a signature, so the address that clients use has to sign.
        self._signer = self._client(settings.s3_public_endpoint_url or settings.s3_endpoint_url)

    def _client(self, endpoint_url: str | None) -> Any:
        secret = self._settings.s3_secret_access_key
        return boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=self._settings.s3_region,
            aws_access_key_id=self._settings.s3_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=self._config,
        )

    def ping(self) -> None:
        """Raise one of `STORAGE_ERRORS` when the bucket cannot be reached."""
        self._s3.head_bucket(Bucket=self._bucket)

    def create_bucket(self) -> None:
        """Make the bucket when it is missing. For embedded servers; operators make their own."""
        try:
            self.ping()
        except ClientError:
            self._s3.create_bucket(Bucket=self._bucket)

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store `data` under `key`, replacing what is there."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)

    def put_input(self, data: bytes) -> str:
        """Store an uploaded file under its SHA-256, which is returned."""
        digest = hashlib.sha256(data).hexdigest()
        if not self.exists(input_key(digest)):
            self.put(input_key(digest), data, "application/octet-stream")
        return digest

    def get(self, key: str) -> bytes:
        """The bytes under `key`. Raises `ObjectMissing`, or one of `STORAGE_ERRORS`."""
        try:
            data: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if _is_missing(error):
                raise ObjectMissing(key) from None
            raise
        return data

    def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        try:
            self._s3.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _is_missing(error):
                return False
            raise
        return True

    def presigned_url(self, key: str, filename: str) -> str:
        """A URL under which anybody can download `key` as `filename` for a while."""
        url: str = self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ResponseContentDisposition": f'inline; filename="{filename}"',
            },
            ExpiresIn=self._settings.presigned_url_seconds,
        )
        return url


def input_key(sha256: str) -> str:
    """Where an uploaded file lies."""
    return f"inputs/{sha256}"


def preview_key(job_id: str) -> str:
    """Where the newest preview of a job lies."""
    return f"jobs/{job_id}/preview.jpg"


def result_key(job_id: str, fence: int, extension: str) -> str:
    """Where the result of one attempt lies."""
    return f"jobs/{job_id}/{fence}/result.{extension}"


def manifest_key(job_id: str, fence: int) -> str:
    """Where the manifest of one attempt lies."""
    return f"jobs/{job_id}/{fence}/manifest.json"


def _is_missing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound")
