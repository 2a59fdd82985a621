"""The RPC client over supervisor's own unix socket, the interface that ``supervisorctl`` uses.

Every call has a deadline, however slowly its answer comes: supervisord answers nobody while it is stopped or blocked
(supervisor 4.3.0, ``Supervisor.runforever`` is one thread).
"""

import http.client
import re
import xml.parsers.expat
import xmlrpc.client
from typing import Any

from contract import errors, output, unix_http
from contract import snapshot as snapshots

SHUTDOWN_STATE = 6
"""The fault supervisor answers to every call once a shutdown or reload began (supervisor.xmlrpc.Faults)."""
_ANSWER_LIMIT = 16 * 1024 * 1024
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot carry (section 2.2, Char): one such character, and supervisord refuses the whole call."""


class Unreachable(errors.BootsealError):
    """Supervisord did not answer in time, or nobody listens on its socket."""


class Refused(errors.BootsealError):
    """Supervisord answered with a fault; ``code`` is supervisor's number for it."""

    def __init__(self, what: str, why: str, code: int) -> None:
        super().__init__(what, why)
        self.code = code


_NO_XML_RPC = (
    xmlrpc.client.Error, xml.parsers.expat.ExpatError, ValueError, TypeError, LookupError, ArithmeticError,
    AttributeError, RecursionError,
)  # fmt: skip
"""What ``xmlrpc.client.loads`` raises on bytes that are no answer."""


def _decode(answer: bytes, method: str) -> Any:
    try:
        return xmlrpc.client.loads(answer)[0][0]
    except xmlrpc.client.Fault as fault:
        raise Refused(method, str(fault.faultString), int(fault.faultCode)) from fault


class Client:
    """Calls supervisord over the unix socket at ``socket_path``; a connection per call."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path

    def call(self, method: str, *arguments: Any, timeout_seconds: float = 5.0) -> Any:
        """Return the answer of ``method``; raises Unreachable or Refused.

        In text arguments, what XML cannot carry (a program's colours, for one) becomes U+FFFD.
        """
        carried = tuple(_NOT_XML.sub("\ufffd", item) if isinstance(item, str) else item for item in arguments)
        body = xmlrpc.client.dumps(carried, method).encode()
        connection = unix_http.Connection(self._path, timeout_seconds)
        try:
            connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"})
            response = connection.getresponse()
            answer = response.read(_ANSWER_LIMIT)
            if response.status != http.client.OK:
                raise Unreachable(f"supervisord at {self._path}", f"it answered HTTP status {response.status}")
            return _decode(answer, method)
        except TimeoutError as error:
            why = f"no answer within {timeout_seconds:g} s"
            raise Unreachable(f"supervisord at {self._path}", why, "it is stopped, blocked or overloaded") from error
        except OSError as error:
            remedy = unix_http.remedy(error, "is the container booting or stopping?")
            raise Unreachable(f"supervisord at {self._path}", errors.describe_os_error(error), remedy) from error
        except http.client.HTTPException as error:
            why = f"its answer is no HTTP: {type(error).__name__}"
            raise Unreachable(f"supervisord at {self._path}", why, "is the container booting or stopping?") from error
        except _NO_XML_RPC as error:
            raise Unreachable(f"supervisord at {self._path}", f"its answer is no XML-RPC: {error}") from error
        finally:
            connection.close()

    def snapshot(self, *, timeout_seconds: float = 5.0) -> snapshots.Snapshot:
        """Return the readiness ledger; raises Unreachable, Refused or InvalidRecord."""
        return snapshots.parse(self._text("bootseal.snapshot", timeout_seconds), "snapshot")

    def summary(self, *, timeout_seconds: float = 5.0) -> snapshots.Summary:
        """Return the ledger's summary; raises Unreachable, Refused or InvalidRecord."""
        return snapshots.parse_summary(self._text("bootseal.summary", timeout_seconds), "summary")

    def output(
        self, after_seq: int = 0, limit: int = 1000, names: tuple[str, ...] = (), *, timeout_seconds: float = 5.0
    ) -> output.Output:
        """Return the programs' lines after number ``after_seq``, ``limit`` at most; of all programs where none is named.

        With ``output.NEWEST`` for the number, the newest. While lines come, ask again at once with ``next``: an answer is
        bounded. Raises Unreachable, InvalidRecord, or Refused for a name that PID 1 does not know.
        """
        # XML-RPC's numbers have 32 bits, too few for lines
        return output.parse(
            self._text("bootseal.output", timeout_seconds, str(after_seq), str(limit), list(names)), "output"
        )

    def _text(self, method: str, timeout_seconds: float, *arguments: Any) -> bytes:
        text = self.call(method, *arguments, timeout_seconds=timeout_seconds)
        if not isinstance(text, str):
            raise Unreachable(f"supervisord at {self._path}", f"its answer to {method} is not text")
        return text.encode()
