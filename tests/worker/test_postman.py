"""The end of a job reaches its receiver at least once, through the real outbox and real sockets."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry
from standardwebhooks import Webhook

from shared import names
from shared.jobs import ErrorCode, JobError, JobRecord
from shared.outbox import SENDING_SECONDS, Outbox
from shared.records import JobRecords, Lease
from shared.settings import Settings
from tests.shared.conftest import job_request
from tests.shared.test_webhooks import NEWER, SECRET
from tests.worker.receivers import Held, ReceivingServer, nothing, status
from worker.postman import SENDERS, SLOW_SECONDS, Postman

FAILURE = JobError(code=ErrorCode.DIVERGED, message="the loss became infinite")


class Office:
    """An outbox, the jobs whose ends are told, and postmen."""

    def __init__(self, valkey: redis.Redis, records: JobRecords, settings: Settings) -> None:
        self.valkey = valkey
        self.records = records
        self.outbox = Outbox(valkey, records)
        self._settings = dict(settings) | {
            "webhook_secrets": SecretStr(SECRET),
            "webhook_allow_private": True,
            "webhook_timeout_seconds": 3,
        }

    def postman(self, **values: Any) -> Postman:
        return Postman(self.outbox, Settings(**self._settings | values, _env_file=None))

    def ended_job(self, url: str | None) -> str:
        """The id of a job that has failed, which its receiver is told."""
        request = job_request(webhook=url, metadata={"order": 17})
        assert self.records.create(request) is None
        lease = self.records.claim(request.id, "w1")
        assert isinstance(lease, Lease)
        assert self.records.fail(lease, FAILURE)
        return request.id

    def record(self, job_id: str) -> JobRecord:
        found = self.records.get(job_id)
        assert found is not None
        return found[0]

    def wait_for_attempt(self, job_id: str, number: int = 1) -> JobRecord:
        wait_until(lambda: self.record(job_id).webhook_attempts >= number)
        return self.record(job_id)

    def due_in_seconds(self, job_id: str) -> float | None:
        at: Any = self.valkey.zscore(names.OUTBOX, job_id)
        return None if at is None else at - time.time()

    def make_due(self, job_id: str) -> None:
        assert self.valkey.zscore(names.OUTBOX, job_id) is not None
        self.valkey.zadd(names.OUTBOX, {job_id: 1})


def wait_until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)


def senders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "webhook"]


@pytest.fixture
def office(valkey: redis.Redis, records: JobRecords, settings: Settings) -> Office:
    return Office(valkey, records, settings)


def test_the_end_of_a_job_is_told_once(office: Office) -> None:
    postman = office.postman()
    with ReceivingServer(status(200)) as receiver:
        job_id = office.ended_job(receiver.url)
        postman.run()
        record = office.wait_for_attempt(job_id)
        postman.run()

    (request,) = receiver.requests
    message = Webhook(SECRET).verify(request.body, request.headers)
    assert message["type"] == "job.failed"
    assert message["data"]["id"] == job_id
    assert message["data"]["metadata"] == {"order": 17}
    assert message["data"]["error"] == json.loads(FAILURE.model_dump_json())
    assert request.headers["webhook-id"] == f"{job_id}:failed"
    assert record.webhook_delivered_at is not None
    assert record.webhook_error is None
    assert office.due_in_seconds(job_id) is None


def test_a_job_without_a_webhook_is_told_nobody(office: Office) -> None:
    job_id = office.ended_job(None)
    office.postman().run()
    assert office.due_in_seconds(job_id) is None
    assert office.record(job_id).webhook_attempts == 0


def test_a_failure_is_tried_again_with_the_same_id_and_body(office: Office) -> None:
    postman = office.postman()
    with ReceivingServer(status(500), nothing, status(200)) as receiver:
        job_id = office.ended_job(receiver.url)
        for number, error in enumerate(["the answer was 500", "no answer: "], start=1):
            postman.run()
            record = office.wait_for_attempt(job_id, number)
            assert (record.webhook_error or "").startswith(error)
            assert record.webhook_delivered_at is None
            assert (office.due_in_seconds(job_id) or 0) > 1
            office.make_due(job_id)
        postman.run()
        record = office.wait_for_attempt(job_id, 3)

    assert record.webhook_delivered_at is not None
    assert record.webhook_error is None
    assert len({request.body for request in receiver.requests}) == 1
    assert {request.headers["webhook-id"] for request in receiver.requests} == {f"{job_id}:failed"}
    for request in receiver.requests:
        assert Webhook(SECRET).verify(request.body, request.headers)


def test_a_failure_is_not_tried_before_it_is_due(office: Office) -> None:
    postman = office.postman()
    with ReceivingServer(status(500)) as receiver:
        job_id = office.ended_job(receiver.url)
        postman.run()
        office.wait_for_attempt(job_id)
        postman.run()
    assert len(receiver.requests) == 1


def test_it_is_given_up_after_the_last_attempt(office: Office) -> None:
    postman = office.postman(webhook_max_attempts=2)
    with ReceivingServer(status(500)) as receiver:
        job_id = office.ended_job(receiver.url)
        postman.run()
        office.wait_for_attempt(job_id)
        office.make_due(job_id)
        postman.run()
        record = office.wait_for_attempt(job_id, 2)
    assert record.webhook_error == "the answer was 500"
    assert office.due_in_seconds(job_id) is None


def test_a_receiver_that_is_gone_is_not_tried_again(office: Office) -> None:
    with ReceivingServer(status(410)) as receiver:
        job_id = office.ended_job(receiver.url)
        office.postman().run()
        record = office.wait_for_attempt(job_id)
    assert record.webhook_error == "the answer was 410"
    assert office.due_in_seconds(job_id) is None


def test_a_busy_receiver_is_spared_for_as_long_as_it_asks(office: Office) -> None:
    with ReceivingServer(status(429, retry_after="1000")) as receiver:
        job_id = office.ended_job(receiver.url)
        office.postman().run()
        office.wait_for_attempt(job_id)
    assert 900 < (office.due_in_seconds(job_id) or 0) <= 1000


def test_a_private_address_is_refused_and_tried_later(office: Office) -> None:
    """The name may lead somewhere else by then; nothing connects before."""
    with ReceivingServer(status(200)) as receiver:
        job_id = office.ended_job(f"https://127.0.0.1:{receiver.port}/")
        office.postman(webhook_allow_private=False).run()
        record = office.wait_for_attempt(job_id)
    assert "not on the public internet" in (record.webhook_error or "")
    assert receiver.connections == 0
    assert (office.due_in_seconds(job_id) or 0) > 1


def test_a_slow_receiver_does_not_hold_up_the_others(office: Office) -> None:
    held = Held()
    postman = office.postman(webhook_timeout_seconds=10)
    with ReceivingServer(held) as slow, ReceivingServer(status(200)) as quick:
        slow_job = office.ended_job(slow.url)
        quick_jobs = [office.ended_job(quick.url) for _ in range(3 * SENDERS)]
        postman.run()
        for job_id in quick_jobs:
            assert office.wait_for_attempt(job_id).webhook_delivered_at is not None
        assert office.record(slow_job).webhook_attempts == 0
        held.go.set()
        assert office.wait_for_attempt(slow_job).webhook_delivered_at is not None
    assert len(quick.requests) == len(quick_jobs)


def test_a_host_that_is_slow_gets_one_sender_and_the_others_are_for_other_hosts(
    office: Office,
) -> None:
    held = Held()
    postman = office.postman(webhook_timeout_seconds=10)
    with ReceivingServer(held) as slow, ReceivingServer(status(200)) as quick:
        first = office.ended_job(slow.url)
        postman.run()
        wait_until(lambda: slow.connections == 1)
        time.sleep(SLOW_SECONDS + 0.2)
        slow_jobs = [office.ended_job(slow.url) for _ in range(2 * SENDERS)]
        quick_job = office.ended_job(quick.url)
        postman.run()
        assert office.wait_for_attempt(quick_job).webhook_delivered_at is not None
        assert slow.connections == 1
        assert all(office.record(job_id).webhook_attempts == 0 for job_id in slow_jobs)
        held.go.set()
        office.wait_for_attempt(first)


def test_rows_are_left_to_other_workers_while_all_senders_are_busy(office: Office) -> None:
    held = Held()
    with ReceivingServer(held) as receiver:
        jobs = [office.ended_job(receiver.url) for _ in range(SENDERS + 2)]
        busy = threading.Thread(target=office.postman().run)
        busy.start()
        wait_until(lambda: receiver.connections == SENDERS)
        assert sum((office.due_in_seconds(job_id) or 0) < 1 for job_id in jobs) == 2
        office.postman().run()
        wait_until(lambda: receiver.connections == SENDERS + 2)
        held.go.set()
        for job_id in jobs:
            office.wait_for_attempt(job_id)
        busy.join(timeout=10)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(jobs)


def test_a_row_that_a_lost_sender_took_comes_back(office: Office) -> None:
    with ReceivingServer(status(200)) as receiver:
        job_id = office.ended_job(receiver.url)
        assert [record.id for record in office.outbox.take(1)] == [job_id]  # and never heard of
        office.postman().run()
        assert receiver.connections == 0
        due = office.due_in_seconds(job_id)
        assert due is not None
        assert due == pytest.approx(SENDING_SECONDS, abs=10)
        office.make_due(job_id)
        office.postman().run()
        assert office.wait_for_attempt(job_id).webhook_delivered_at is not None


def test_what_could_not_be_noted_is_sent_again(office: Office, valkey: redis.Redis) -> None:
    """Redis is out of memory, or away, when the receiver already has it: at least once."""
    held = Held()
    with ReceivingServer(held) as receiver:
        job_id = office.ended_job(receiver.url)
        office.postman().run()
        wait_until(lambda: len(receiver.requests) == 1)
        valkey.replicaof("127.0.0.1", 1)  # takes no writes
        try:
            held.go.set()
            wait_until(lambda: not senders())
        finally:
            valkey.replicaof("NO", "ONE")
        assert office.record(job_id).webhook_attempts == 0
        office.make_due(job_id)
        office.postman().run()
        assert office.wait_for_attempt(job_id).webhook_delivered_at is not None
    assert [request.headers["webhook-id"] for request in receiver.requests] == 2 * [
        f"{job_id}:failed"
    ]


@pytest.mark.timeout(30)
def test_no_sender_is_lost_while_redis_is_away(settings: Settings) -> None:
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as away:
        outbox = Outbox(away, JobRecords(away, settings))
        secrets = SecretStr(SECRET)
        postman = Postman(outbox, settings.model_copy(update={"webhook_secrets": secrets}))
        for _ in range(SENDERS + 1):
            with pytest.raises(redis.ConnectionError):
                postman.run()


def test_what_nobody_foresaw_is_tried_later_and_not_every_minute(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "no-such-file.pem")
    with ReceivingServer(status(200)) as receiver:
        job_id = office.ended_job(receiver.url)
        office.postman().run()
        record = office.wait_for_attempt(job_id)
    assert record.webhook_error == "it could not be sent; the log of the worker says why"
    assert office.due_in_seconds(job_id) is not None


def test_a_worker_without_secrets_leaves_the_rows_to_others(office: Office) -> None:
    with ReceivingServer(status(200)) as receiver:
        job_id = office.ended_job(receiver.url)
        office.postman(webhook_secrets=None).run()
        assert (office.due_in_seconds(job_id) or 0) <= 0
        office.postman().run()
        office.wait_for_attempt(job_id)
    assert len(receiver.requests) == 1


def test_all_secrets_sign(office: Office) -> None:
    with ReceivingServer(status(200)) as receiver:
        job_id = office.ended_job(receiver.url)
        office.postman(webhook_secrets=SecretStr(f"{NEWER},{SECRET}")).run()
        office.wait_for_attempt(job_id)
    for secret in (SECRET, NEWER):
        assert Webhook(secret).verify(receiver.requests[0].body, receiver.requests[0].headers)


def test_a_malformed_secret_is_known_at_the_start(office: Office) -> None:
    with pytest.raises(ValueError, match="webhook secret 1"):
        office.postman(webhook_secrets=SecretStr("hunter2"))
