"""Doing what the schedule says, to real processes and connections."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import redis

from shared import names
from shared.messaging import AWAY, Publisher
from shared.storage import STORAGE_ERRORS
from tests.faults.rig import Part, Rig
from tests.soak.journal import Journal
from tests.soak.schedule import ENDS_PROCESSES, Fault, Planned

WRITTEN_SECONDS = 3.0
PAUSE_MILLISECONDS = 5000
DOUBLES = 5
SLOW_SECONDS = 0.3
SLOW_BYTES_PER_SECOND = 30_000
S3_SLOW_SECONDS = 0.5

End = Callable[[], None]


class Missed(Exception):
    """There was nothing to break: no job was painted, or a server is away already."""


class Faults:
    """Begins faults, and says how each is ended."""

    def __init__(self, rig: Rig, journal: Journal) -> None:
        self.done: Counter[Fault] = Counter()
        self.missed: Counter[Fault] = Counter()
        self.slowest_end_seconds = 0.0
        self.down: set[str] = set()  # parts that are to be down now
        self.not_ended = 0  # workers that were asked to, and had to be killed
        self._rig = rig
        self._journal = journal
        self._publisher = Publisher(rig.settings)

    def begin(self, planned: Planned) -> End:
        """Break it. Returns what mends it."""
        try:
            end = self._begin(planned)
        except (Missed, StopIteration, ProcessLookupError, *AWAY, *STORAGE_ERRORS) as error:
            self.missed[planned.fault] += 1
            self._journal.write("fault missed", fault=planned.fault, why=repr(error))
            return _nothing
        self.done[planned.fault] += 1
        if planned.fault in ENDS_PROCESSES:
            self.down.add(planned.target)
        self._journal.write(
            "fault", fault=planned.fault, target=planned.target, seconds=planned.seconds
        )
        return partial(self._end, planned, end)

    def _end(self, planned: Planned, end: End) -> None:
        end()
        if planned.fault in ENDS_PROCESSES:
            self.down.discard(planned.target)
        self._journal.write("fault over", fault=planned.fault, target=planned.target)

    def _begin(self, planned: Planned) -> End:
        rig = self._rig
        match planned.fault:
            case Fault.REDIS_KILLED | Fault.REDIS_AWAY:
                self._write_out()
                rig.stop_redis()
                return rig.start_redis
            case Fault.REDIS_FULL:
                rig.redis.config_set("maxmemory", 1)
                return partial(rig.redis.config_set, "maxmemory", 0)
            case Fault.S3_AWAY:
                rig.stop_s3()
                return rig.s3.process.start
            case Fault.S3_SLOW:
                for part in rig.parts:
                    part.s3.slow(S3_SLOW_SECONDS)
                return self._mend_s3
            case Fault.API_KILLED:
                rig.api.kill()
                return rig.api.process.start
            case Fault.API_CUT_OFF:
                (rig.api.redis.hold if planned.chance < 0.5 else rig.api.redis.black_hole)()
                return rig.api.redis.mend
            case Fault.DOUBLED_MESSAGES:
                return self._double_messages(planned.chance)
            case Fault.DAMAGED_CHECKPOINT:
                return self._damage_a_checkpoint(planned.chance)
        worker = next(part for part in rig.workers if part.name == planned.target)
        return self._begin_with(planned, worker)

    def _begin_with(self, planned: Planned, worker: Part) -> End:
        match planned.fault:
            case Fault.CHILD_KILLED:
                os.kill(self._rig.child(worker), signal.SIGKILL)
                return _nothing
            case Fault.WORKER_KILLED:
                worker.kill()
                return worker.process.start
            case Fault.PARENT_KILLED:
                os.kill(worker.process.pid, signal.SIGKILL)
                return partial(self._start_anew, worker)
            case Fault.WORKER_ENDED:
                worker.terminate()
                return partial(self._see_the_end, worker, time.monotonic())
            case Fault.WORKER_ENDED_AND_KILLED:
                worker.terminate()
                return partial(self._start_anew, worker)
            case Fault.WORKER_FROZEN:
                worker.freeze()
                return worker.thaw
            case Fault.RESET:
                worker.redis.reset()
                worker.s3.reset()
                return _nothing
            case Fault.CLIENT_KILL:
                for address in worker.redis.addresses:
                    self._rig.redis.client_kill_filter(addr=address)
                return _nothing
        breaks: dict[Fault, End] = {
            Fault.CUT_OFF: worker.cut_off,
            Fault.CUT_OFF_FROM_REDIS: worker.redis.hold,
            Fault.CUT_OFF_FROM_S3: worker.s3.hold if planned.chance < 0.5 else worker.s3.refuse,
            Fault.BLACK_HOLE: worker.redis.black_hole,
            Fault.REFUSED: worker.redis.refuse,
            Fault.SLOW: partial(self._slow_down, worker),
        }
        breaks[planned.fault]()
        return worker.mend

    def _mend_s3(self) -> None:
        for part in self._rig.parts:
            part.s3.mend()

    def _slow_down(self, worker: Part) -> None:
        worker.redis.slow(SLOW_SECONDS)
        worker.s3.slow(bytes_per_second=SLOW_BYTES_PER_SECOND)

    def _start_anew(self, worker: Part) -> None:
        worker.kill()  # what is left of it
        worker.process.start()

    def _see_the_end(self, worker: Part, asked: float) -> None:
        if worker.process.is_running:
            self.not_ended += 1
            self._journal.write(
                "worker did not end", worker=worker.name, seconds=time.monotonic() - asked
            )
        self._start_anew(worker)

    def _write_out(self) -> None:
        """Have the append-only file hold all that Redis has answered.

        A Redis that is killed loses what it has not written yet, and it says so: the promise holds
        while the file survives. What is lost beyond it comes back with `impasto recover`.
        """
        client = self._rig.redis
        client.client_pause(PAUSE_MILLISECONDS, all=False)
        until = time.monotonic() + WRITTEN_SECONDS
        while client.info("persistence")["aof_buffer_length"]:
            if time.monotonic() > until:
                client.client_unpause()
                raise Missed("the append-only file is not written")
            time.sleep(0.02)

    def _double_messages(self, chance: float) -> End:
        """Send messages for jobs that run, that wait and that have ended."""
        client = self._rig.redis
        ids = [
            *client.zrange(names.LEASES, 0, -1),
            *client.zrange(names.QUEUE, 0, DOUBLES),
            *client.zrange(names.EXPIRY, -DOUBLES, -1),
        ]
        if not ids:
            raise Missed("no job")
        first = int(chance * len(ids))
        drawn = [ids[(first + index) % len(ids)] for index in range(DOUBLES)]
        for index, (record, _) in enumerate(self._rig.records.get_many(drawn)):
            self._publisher.publish(record.id, record.priority, begun=index % 2 == 0)
        return _nothing

    def _damage_a_checkpoint(self, chance: float) -> End:
        """Damage the newest checkpoint of a job, and make somebody read it."""
        held = self._rig.records.get_many(self._rig.redis.zrange(names.LEASES, 0, -1))
        found = [record for record, _ in held if record.checkpoints]
        if not found:
            raise Missed("no checkpoint")
        record = found[int(chance * len(found))]
        checkpoint = record.checkpoints[0]
        data = self._rig.storage.get(checkpoint.key)
        half = len(data) // 2
        damaged = data[:half] if chance < 0.5 else data[:half] + b"damaged" + data[half + 7 :]
        self._rig.storage.put(checkpoint.key, damaged, "application/octet-stream")
        painter = self._rig.painter(record.id)
        if painter is not None:
            os.kill(painter, signal.SIGKILL)
        self._journal.write("damaged", job=record.id, step=checkpoint.step)
        return _nothing


class Poison:
    """Kills whoever paints certain jobs."""

    def __init__(self, rig: Rig, journal: Journal) -> None:
        self.kills = 0
        self._rig = rig
        self._journal = journal

    def act(self, job_ids: list[str]) -> None:
        """Kill those who paint one of these now."""
        try:
            painters = {job_id: self._rig.painter(job_id) for job_id in job_ids}
        except redis.RedisError:
            return
        for job_id, painter in painters.items():
            if painter is None:
                continue
            try:
                os.kill(painter, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.kills += 1
            self._journal.write("poisoned", job=job_id, process=painter)


def _nothing() -> None:
    """It is over as soon as it has begun."""
