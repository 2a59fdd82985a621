"""What the shop keeps in redis, and in which version.

``schema:version``  the version that the migration reached
``item:next``       the last item's number
``items``           a list of item numbers, oldest first
``item:N``          one item as JSON
``jobs``            a list: the numbers of items to pack; the API pushes left, the worker pops right
``packed``          how many items were packed
"""

import resp

VERSION = 2


def reached(redis: resp.Redis) -> int:
    """Return the version of the store; 0 for an empty one."""
    value = redis.ask("GET", "schema:version")
    return int(value) if isinstance(value, str) else 0
