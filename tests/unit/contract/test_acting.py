import os

import pytest

from contract import acting
from tests.unit import children

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
UID, GID = 2001, 2002
CAP_SETUID = 7


def ids() -> tuple:
    return os.getresuid(), os.getresgid(), os.getgroups()


def effective() -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))


def test_it_has_the_users_rights_and_no_others_and_then_its_own_again():
    def act() -> bool:
        os.setgroups([0, 7])
        before, capabilities = ids(), effective()
        with acting.acting_as(UID, GID):
            during = ids()
            is_powerless = effective() == 0
        return (
            during == ((0, UID, 0), (0, GID, 0), [])
            and is_powerless
            and (ids(), effective()) == (before, capabilities)
            and capabilities >> CAP_SETUID & 1
        )

    assert children.run(act) == 0


def test_whatever_is_raised_it_is_itself_again():
    def act() -> bool:
        before = ids()
        try:
            with acting.acting_as(UID, GID):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            return ids() == before
        return False

    assert children.run(act) == 0


def test_a_link_of_the_users_leads_to_nothing_that_is_not_his(tmp_path):
    (tmp_path / "ours").mkdir(mode=0o755)
    (tmp_path / "ours/file").touch()
    (tmp_path / "his").mkdir()
    os.chown(tmp_path / "his", UID, GID)
    os.chmod(tmp_path, 0o755)
    (tmp_path / "his/link").symlink_to(tmp_path / "ours")

    def act() -> bool:
        with acting.acting_as(UID, GID):
            try:
                os.unlink(tmp_path / "his/link/file")
            except PermissionError:
                return True
        return False

    assert children.run(act) == 0
    assert (tmp_path / "ours/file").exists()


def test_nobody_of_that_uid_can_signal_it_meanwhile():
    def act() -> bool:
        with acting.acting_as(UID, GID):
            me = os.getpid()

            def signal_it() -> bool:
                os.setresuid(0, 0, 0)
                os.setresgid(GID, GID, GID)
                os.setresuid(UID, UID, UID)
                try:
                    os.kill(me, 0)
                except PermissionError:
                    return True
                return False

            return children.run(signal_it) == 0

    assert children.run(act) == 0


def test_without_the_right_nothing_changes():
    def act() -> bool:
        before = ids()
        try:
            with acting.acting_as(UID, GID):
                pass
        except PermissionError:
            return ids() == before
        return False

    assert children.run_as_nobody(act) == 0


def test_who_cannot_be_himself_again_ends():
    def act() -> bool:
        with acting.acting_as(UID, GID):
            os.setresuid(UID, UID, UID)  # nothing leads back from here
        return True

    assert children.run(act) == 6
