"""Bytes in S3: inputs under their hash, all else under its job.

inputs/<sha256>                          an uploaded file, stored once however often it is used
probe                                    nothing: workers store it to see whether they can
jobs/<id>/request.json                   what was asked for, and
jobs/<id>/end.json                       how it ended: from these a lost record is written again
jobs/<id>/previews/<step>.jpg            the picture as it was after that step
jobs/<id>/losses.json                    how the losses fell
jobs/<id>/checkpoints/<lease>-<step>-<sha256>.pt
                                         the engine's state; the record says which one counts
jobs/<id>/<lease>/result.<extension>     immutable; the token of the lease keeps a stale worker's
jobs/<id>/<lease>/manifest.json          files apart; the latter says what reproduces the result
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, BinaryIO

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ResponseStreamingError
from urllib3.exceptions import HTTPError

from shared.settings import Settings

PROBE_KEY = "probe"
INPUTS = "inputs/"
JOBS = "jobs/"
MD5_DIGITS = 32
BLOCK_BYTES = 64 * 2**10  # that are read at a time
STORAGE_ERRORS = (BotoCoreError, ClientError)

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 5},
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    # Many S3 servers reject the checksums that boto3 adds on its own.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    max_pool_connections=32,
    user_agent="impasto",  # botocore's own is put together for each request: a tenth of its time
)
# S3 takes no more than 5 GB at once. Parts one after the other: a picture is painted meanwhile.
_IN_PARTS = TransferConfig(
    multipart_threshold=64 * 2**20, multipart_chunksize=64 * 2**20, use_threads=False
)
# The API must not hang where a worker would patiently retry. A slow server may still take large
# files.
_QUICK = _CONFIG.merge(
    Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})
)
_IMPATIENT = _QUICK.merge(Config(read_timeout=5))


class ObjectMissing(Exception):
    """There is no object under this key."""


class StorageCorrupt(Exception):
    """An object is not what was stored."""


@dataclass(frozen=True)
class Download:
    """An object that is read as its reader takes it. To be closed, read or not."""

    size_bytes: int
    beginning: bytes  # which is in the blocks as well
    blocks: Iterator[bytes]
    close: Callable[[], None]


class Storage:
    """The objects of one bucket."""

    def __init__(self, settings: Settings, *, patient: bool = True) -> None:
        self._settings = settings
        self._bucket = settings.s3_bucket
        endpoint_url = settings.s3_endpoint_url
        self._s3 = self._client(endpoint_url, _CONFIG if patient else _QUICK)
        self._writer = self._s3 if patient else self._client(endpoint_url, _IMPATIENT)
        # The host is part of a signature, so the address that clients use has to sign.
        self._signer = self._client(settings.s3_public_endpoint_url or endpoint_url, _CONFIG)

    def _client(self, endpoint_url: str | None, config: Config) -> Any:
        secret = self._settings.s3_secret_access_key
        return boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=self._settings.s3_region,
            aws_access_key_id=self._settings.s3_access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=config,
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
        self._writer.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> None:
        """Store what `file` has from its beginning, which may be gigabytes, in parts."""
        file.seek(0)
        self._writer.upload_fileobj(
            file,
            self._bucket,
            key,
            ExtraArgs={"ContentType": content_type},
            Config=_IN_PARTS,
        )

    def put_checked(self, key: str, data: bytes, content_type: str) -> None:
        """`put`, and see that what lies there now is `data`.

        Raises:
            StorageCorrupt: it is not.
        """
        self.put(key, data, content_type)
        found = self._s3.head_object(Bucket=self._bucket, Key=key)
        etag = found["ETag"].strip('"')
        if len(etag) == MD5_DIGITS and "-" not in etag and "SSEKMSKeyId" not in found:
            same = etag == hashlib.md5(data, usedforsecurity=False).hexdigest()
        else:  # an encrypting server, or one with tags of its own
            same = self.get(key) == data
        if not same or found["ContentLength"] != len(data):
            raise StorageCorrupt(f"{key} is not what was stored")

    def put_input(self, file: IO[bytes], sha256: str, *, may_be_there: bool) -> None:
        """Store an uploaded file, unless it lies there, without having it in memory.

        Args:
            file: whose SHA-256 is known.
            sha256: it.
            may_be_there: False spares the question.
        """
        if may_be_there and self.exists(input_key(sha256)):
            return
        file.seek(0)
        self._writer.put_object(
            Bucket=self._bucket,
            Key=input_key(sha256),
            Body=file,
            ContentType="application/octet-stream",
        )

    def get(self, key: str) -> bytes:
        """The bytes under `key`. Raises `ObjectMissing`, or one of `STORAGE_ERRORS`."""
        try:
            data: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if _is_missing(error):
                raise ObjectMissing(key) from None
            raise
        except HTTPError as error:  # botocore passes some of them on, in the middle of a body
            raise ResponseStreamingError(error=error) from None
        return data

    def download(self, key: str) -> Download:
        """What lies under `key`, block by block. Raises as `get`, and in the middle too."""
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _is_missing(error):
                raise ObjectMissing(key) from None
            raise
        body = found["Body"]
        try:
            blocks = _blocks(body)
            beginning = next(blocks, b"")
        except BaseException:
            body.close()
            raise
        return Download(found["ContentLength"], beginning, chain([beginning], blocks), body.close)

    def exists(self, key: str) -> bool:
        """Whether there is an object under `key`."""
        return self.size_bytes(key) is not None

    def size_bytes(self, key: str) -> int | None:
        """How large the object under `key` is; None if there is none."""
        try:
            size: int = self._s3.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if _is_missing(error):
                return None
            raise
        return size

    def delete(self, key: str) -> None:
        """Remove the object under `key`, if there is one."""
        self._writer.delete_object(Bucket=self._bucket, Key=key)

    def delete_prefix(self, prefix: str) -> int:
        """Remove all objects whose keys begin with `prefix`. Returns how many there were.

        The last go first, and so what a job asked for: half a job must not come back as a new one.
        """
        keys = sorted(self.keys(prefix), reverse=True)
        for key in keys:
            self.delete(key)
        return len(keys)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`."""
        pages = self._s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                yield item["Key"]

    def folders(self, prefix: str) -> Iterator[str]:
        """What comes between `prefix` and the next slash, of all keys that have one there."""
        pages = self._s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/"):
            for item in page.get("CommonPrefixes", []):
                yield item["Prefix"].removeprefix(prefix).removesuffix("/")

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


def job_prefix(job_id: str) -> str:
    """Under which everything of a job lies, but its inputs."""
    return f"{JOBS}{job_id}/"


def checkpoints_prefix(job_id: str) -> str:
    """Under which the checkpoints of a job lie."""
    return f"{job_prefix(job_id)}checkpoints/"


def request_key(job_id: str) -> str:
    """Where it lies what a job asked for."""
    return f"{job_prefix(job_id)}request.json"


def end_key(job_id: str) -> str:
    """Where it lies how a job ended."""
    return f"{job_prefix(job_id)}end.json"


def checkpoint_key(job_id: str, token: str, step: int, sha256: str) -> str:
    """Where a checkpoint lies.

    The key carries the hash, so that a checkpoint whose record is lost can still be checked.
    """
    return f"{checkpoints_prefix(job_id)}{token}-{step}-{sha256}.pt"


def input_key(sha256: str) -> str:
    """Where an uploaded file lies."""
    return f"{INPUTS}{sha256}"


def previews_prefix(job_id: str) -> str:
    """Under which the previews of a job lie."""
    return f"{job_prefix(job_id)}previews/"


def preview_key(job_id: str, step: int) -> str:
    """Where the preview of a step lies."""
    return f"{previews_prefix(job_id)}{step}.jpg"


def losses_key(job_id: str) -> str:
    """Where it lies how the losses of a job fell."""
    return f"{job_prefix(job_id)}losses.json"


def result_key(job_id: str, token: str, extension: str) -> str:
    """Where the result of one lease lies."""
    return f"{job_prefix(job_id)}{token}/result.{extension}"


def manifest_key(job_id: str, token: str) -> str:
    """Where the manifest of one lease lies."""
    return f"{job_prefix(job_id)}{token}/manifest.json"


def _blocks(body: Any) -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(BLOCK_BYTES)
    except HTTPError as error:  # botocore passes some of them on
        raise ResponseStreamingError(error=error) from None


def _is_missing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound")
