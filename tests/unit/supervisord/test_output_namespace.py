import pytest
from supervisor import xmlrpc

from supervisord import namespace


class Answers:
    """Knows the program ``api`` and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, tuple[str, ...]]] = []

    def output_text(self, after: int, limit: int, names: tuple[str, ...]) -> str:
        for name in names:
            if name != "api":
                raise namespace.UnknownProgram(name)
        self.asked.append((after, limit, names))
        return "text"


def test_numbers_may_be_text_because_xml_rpcs_own_have_32_bits():
    answers = Answers()
    asked = namespace.Namespace(answers)
    assert asked.output(str(2**40), "10", ["api"]) == "text"
    assert asked.output(-1, 5) == "text"
    assert answers.asked == [(2**40, 10, ("api",)), (-1, 5, ())]


@pytest.mark.parametrize(
    "arguments",
    [("x", 1), (1.5, 1), (None, 1), (True, 1), ("-2", 1), ("1" * 19, 1), ("١", 1), (0, "many"), (0, 1, "api"), (0, 1, [1]), (0, 1, {}), (0, 1, ["api"] * 1001)],
)  # fmt: skip
def test_what_is_no_question_is_a_fault_and_no_exception(arguments):
    answers = Answers()
    with pytest.raises(xmlrpc.RPCError) as raised:
        namespace.Namespace(answers).output(*arguments)
    assert raised.value.code == xmlrpc.Faults.INCORRECT_PARAMETERS
    assert answers.asked == []


def test_an_unknown_name_is_a_fault_that_says_it_short_and_printable():
    with pytest.raises(xmlrpc.RPCError) as raised:
        namespace.Namespace(Answers()).output(0, 1, ["api", "\x1b[2K" + "x" * 1000])
    assert raised.value.code == xmlrpc.Faults.BAD_NAME
    assert raised.value.text.startswith("BAD_NAME: program \\x1b[2Kxxx")
    assert len(raised.value.text) < 200
    assert "api" not in raised.value.text
