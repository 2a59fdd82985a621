"""Bring the store to the current schema, one step after the other, then exit 0: a one-shot.

Every step may run twice, and a migrated store is left alone.
"""

import resp
import schema

PATIENCE_SECONDS = 10.0


def to_1(redis: resp.Redis) -> None:
    redis.ask("SETNX", "item:next", 0)


def to_2(redis: resp.Redis) -> None:
    redis.ask("SETNX", "packed", 0)


STEPS = {1: to_1, 2: to_2}


def main() -> None:
    with resp.connect_patiently(PATIENCE_SECONDS) as redis:
        before = schema.reached(redis)
        for version in range(before + 1, schema.VERSION + 1):
            STEPS[version](redis)
            redis.ask("SET", "schema:version", version)
        print(f"migrate: schema {before} -> {schema.VERSION}")


if __name__ == "__main__":
    main()
