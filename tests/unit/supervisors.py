"""supervisor's own objects without a supervisord: options that log into a list, and configurations of processes."""

from typing import Any

from supervisor import options as supervisor_options


class Options:
    """supervisor's options, with a logger that only remembers; nothing is read and no process is made."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.loglevel = 20
        self.strip_ansi = False
        self.identifier = "supervisor"
        self.logger = self
        self._real = supervisor_options.ServerOptions()

    def __getattr__(self, name: str) -> Any:
        if name in {"info", "warn", "debug", "critical", "error", "blather"}:
            return lambda text, **_values: self.said.append(text)
        return getattr(self._real, name)


def config(options: Any, name: str, kind: type[Any], **changes: Any) -> Any:
    """Return a process's configuration of ``kind``."""
    values = dict.fromkeys((*kind.req_param_names, *kind.optional_param_names))
    values |= {
        "name": name, "command": "true", "priority": 10, "stdout_events_enabled": True, "stderr_events_enabled": True,
        "startsecs": 1, "exitcodes": [0], "stdout_capture_maxbytes": 0, "stderr_capture_maxbytes": 0, **changes,
    }  # fmt: skip
    return kind(options, **values)
