"""The worker: packs what was ordered, one item at a time; on SIGTERM it finishes the one in hand.

When redis goes away it tries again, with a growing pause, and takes up where it was.
"""

import json
import signal
import time

import resp

WAIT_SECONDS = 1
LONGEST_PAUSE_SECONDS = 2.0


class Stop:
    """Set by SIGTERM."""

    asked = False

    @classmethod
    def ask(cls, *_: object) -> None:
        cls.asked = True


def pack(redis: resp.Redis, number: str) -> None:
    value = redis.ask("GET", f"item:{number}")
    if not isinstance(value, str):
        return
    item = {**json.loads(value), "state": "packed"}
    redis.ask("SET", f"item:{number}", json.dumps(item))
    redis.ask("INCR", "packed")
    print(f"worker: packed item {number}")


def work(redis: resp.Redis) -> None:
    while not Stop.asked:
        job = redis.ask("BRPOP", "jobs", WAIT_SECONDS)
        if isinstance(job, list):
            pack(redis, str(job[1]))


def main() -> None:
    signal.signal(signal.SIGTERM, Stop.ask)
    pause = 0.05
    while not Stop.asked:
        try:
            with resp.connect() as redis:
                print("worker: waiting for jobs")
                pause = 0.05
                work(redis)
        except (OSError, resp.RedisError) as error:
            print(f"worker: the store does not answer: {error}; trying again in {pause:.2f} s")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    print("worker: stopped")


if __name__ == "__main__":
    main()
