"""Root as the exception program-users has it: a few capabilities, and none over files."""

import ctypes
import os
import pickle
import struct
from collections.abc import Callable
from typing import TypeVar

from entrypoint import privileges
from tests.unit import children

_CAPABILITY_VERSION_3 = 0x20080522
_A_GROUP = 4242
"""A supplementary group that root has, and nobody else is to have."""
_Result = TypeVar("_Result")


def run_as_root(work: Callable[[], _Result]) -> _Result:
    """Run ``work`` in a child that is root with the capabilities of the exception alone, and return what it returned."""
    reader, writer = os.pipe()

    def confined() -> bool:
        os.close(reader)
        os.setgroups([0, _A_GROUP])
        keep = sum(1 << number for number in privileges.NEEDED.values())
        header = struct.pack("II", _CAPABILITY_VERSION_3, 0)
        sets = b"".join(struct.pack("III", *(keep >> shift & 0xFFFFFFFF,) * 2, 0) for shift in (0, 32))
        assert ctypes.CDLL(None).capset(header, sets) == 0
        with open(writer, "wb") as file:
            file.write(pickle.dumps(work()))
        return True

    pid = children.start(confined)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    assert children.ended(pid) == 0
    return pickle.loads(data)
