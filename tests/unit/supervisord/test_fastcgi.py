"""Sockets of FastCGI programs, with supervisor's own groups."""

import os
import pathlib
import socket
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from supervisor import events, process
from supervisor import options as supervisor_options
from supervisor.states import ProcessStates, getProcessStateDescription

from supervisord import fastcgi
from tests.unit import supervisors


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(process, "SocketManager", process.SocketManager)
    before = list(events.callbacks)
    yield
    events.callbacks[:] = before


def group(options: Any, name: str, path: pathlib.Path, mode: int | None = None) -> Any:
    one = supervisors.config(options, name, supervisor_options.FastCGIProcessConfig)
    at = supervisor_options.UnixStreamSocketConfig(str(path), mode=mode, backlog=5)
    return supervisor_options.FastCGIGroupConfig(options, name, 10, [one], at).make_group()


def member(made: Any) -> Any:
    [one] = made.processes.values()
    return one


def connect(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_programs_of_one_socket_share_it(tmp_path: pathlib.Path) -> None:
    path, options, sockets = tmp_path / "s", supervisors.Options(), fastcgi.Sockets()
    first, second = group(options, "a", path, 0o660), group(options, "b", path, 0o660)
    for one in (first, second):
        sockets.install(one)
        member(one).before_spawn()
    assert member(first).fcgi_sock.fileno() == member(second).fcgi_sock.fileno()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    connect(path)
    member(first).after_finish()
    connect(path)
    member(second).after_finish()
    with pytest.raises(ConnectionRefusedError):
        connect(path)


def test_programs_of_different_sockets_do_not(tmp_path: pathlib.Path) -> None:
    options, sockets = supervisors.Options(), fastcgi.Sockets()
    first, second = group(options, "a", tmp_path / "a"), group(options, "b", tmp_path / "b")
    for one in (first, second):
        sockets.install(one)
        member(one).before_spawn()
    assert member(first).fcgi_sock.fileno() != member(second).fcgi_sock.fileno()
    for one in (first, second):
        member(one).after_finish()


def test_a_group_that_is_added_leaves_the_socket_of_those_who_run(tmp_path: pathlib.Path) -> None:
    """Supervisor would unlink it, and leave in its place one that nobody listens on."""
    path, options, sockets = tmp_path / "s", supervisors.Options(), fastcgi.Sockets()
    first = group(options, "a", path)
    sockets.install(first)
    member(first).before_spawn()
    added = group(options, "b", path)
    sockets.install(added)
    connect(path)
    member(added).before_spawn()
    assert member(added).fcgi_sock.fileno() == member(first).fcgi_sock.fileno()
    for one in (first, added):
        member(one).after_finish()


def test_a_group_that_is_added_says_anew_how_the_socket_is_made(tmp_path: pathlib.Path) -> None:
    path, options, sockets = tmp_path / "s", supervisors.Options(), fastcgi.Sockets()
    sockets.install(group(options, "a", path, 0o600))
    sockets.install(added := group(options, "a", path, 0o660))
    member(added).before_spawn()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    member(added).after_finish()


def test_a_socket_that_cannot_be_made_is_a_failed_start_with_its_cause(tmp_path: pathlib.Path) -> None:
    """As supervisor has it, the error would leave the loop and end PID 1."""
    (tmp_path / "d").mkdir()
    made = group(supervisors.Options(), "a", tmp_path / "d" / "s")
    fastcgi.Sockets().install(made)
    os.unlink(tmp_path / "d" / "s")
    (tmp_path / "d").rmdir()
    seen: list[str] = []
    events.subscribe(
        events.ProcessStateEvent, lambda event: seen.append(getProcessStateDescription(event.process.state))
    )
    assert member(made).spawn() is None
    assert seen == ["STARTING", "BACKOFF"]
    assert member(made).state == ProcessStates.BACKOFF
    assert "No such file or directory" in member(made).spawnerr and f"{tmp_path}/d/s" in member(made).spawnerr


def test_other_groups_are_left_alone() -> None:
    options = supervisors.Options()
    one = supervisors.config(options, "web", supervisor_options.ProcessConfig)
    made = supervisor_options.ProcessGroupConfig(options, "web", 10, [one]).make_group()
    fastcgi.Sockets().install(made)
    assert "spawn" not in vars(member(made))
