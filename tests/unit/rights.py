"""A forked child with exactly the uid, groups and capabilities that a test names; made by root."""

import ctypes
import os
from collections.abc import Callable, Iterable

from tests.unit import children

_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def run_as(uid: int, groups: Iterable[int], capabilities: int, work: Callable[[], object]) -> int:
    """Run ``work`` in a child (see ``children.run``) whose capabilities are the bits of ``capabilities`` and no others."""
    libc = ctypes.CDLL(None, use_errno=True)
    first, *others = sorted(groups)

    def inside() -> object:
        os.setgroups(others)
        os.setresgid(first, first, first)
        assert libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
        os.setresuid(uid, uid, uid)
        low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
        data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)  # effective, permitted, inheritable; twice
        assert libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), ctypes.byref(data)) == 0, ctypes.get_errno()
        return work()

    return children.run(inside)
