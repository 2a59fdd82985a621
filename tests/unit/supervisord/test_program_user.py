"""The exception program-users, as far as one process can show it; see test_spawn for the child."""

from manifest import provisions
from supervisord import program_user

USER = provisions.User(1001, 1002)


def test_roots_name_and_home_are_not_those_of_a_program_under_another_user():
    inherited = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "PATH": "/bin"}
    assert program_user.environment(USER, inherited) == {"HOME": "/", "PATH": "/bin"}
    assert program_user.environment(None, inherited) == inherited
