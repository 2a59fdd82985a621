"""Fuzz target: any bytes in place of a POSIX ACL are its entries or a ValueError, and every verdict on them is sound."""

from entrypoint import access

SEEDS: list[bytes] = [
    b"",
    b"\x02\x00\x00\x00",
    bytes.fromhex("0200000001000600ffffffff02000700a10f000004000400ffffffff10000600ffffffff20000000ffffffff"),
    bytes.fromhex("0200000001000600ffffffff08000700a10f000004000400ffffffff20000700ffffffff"),
    bytes.fromhex("010000000100060000000000"),
]  # fmt: skip
_PROCESS = access.Process(4001, frozenset({4001}))
_ALMIGHTY = access.Process(4001, frozenset({4001}), 1 << access.CAP_DAC_OVERRIDE)


def test_one_input(data: bytes) -> None:
    """Judge a file whose ACL is ``data``; raises only where our code is wrong."""
    try:
        entries = access.parse_acl(data)
    except ValueError:
        return
    for mode in (0o100664, 0o040775, 0o100600):
        file = access.File(mode, 0, 0, entries)
        granted = access.grants(file, _PROCESS)
        if access.judge(file, _PROCESS) != granted:
            raise AssertionError("who owns nothing and has no capability gained a right")
        if granted is not None and not any(entry.permission & access.WRITE for entry in entries) and "ACL" in granted:
            raise AssertionError("an ACL without a right to write grants it")
        if access.grants(file, _ALMIGHTY) is None:
            raise AssertionError("CAP_DAC_OVERRIDE was held back")
