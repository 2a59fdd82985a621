import dataclasses
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract import decode, errors


@dataclasses.dataclass(frozen=True)
class Inner:
    argv: tuple[str, ...]
    environment: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    count: int
    seconds: float
    strict: bool
    note: str | None
    inner: tuple[Inner, ...]


GOOD = {
    "name": "box", "count": 3, "seconds": 1.5, "strict": True, "note": None,
    "inner": [{"argv": ["a", "b"], "environment": {"K": "v"}}],
}  # fmt: skip


def refusal(value: object) -> errors.InvalidRecord:
    with pytest.raises(errors.InvalidRecord) as caught:
        decode.build(Outer, value, "here")
    return caught.value


def test_a_good_object_becomes_the_record():
    expected = Outer("box", 3, 1.5, True, None, (Inner(("a", "b"), {"K": "v"}),))
    assert decode.build(Outer, decode.json_object(json.dumps(GOOD).encode(), "here"), "here") == expected


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("name", 1, "name is an integer, not a string"),
        ("name", None, "name is null, not a string"),
        ("count", "3", "count is a string, not an integer"),
        ("count", True, "count is true or false, not an integer"),
        ("count", 3.0, "count is a number, not an integer"),
        ("seconds", True, "seconds is true or false, not a number"),
        ("seconds", "1", "seconds is a string, not a number"),
        ("strict", 1, "strict is an integer, not true or false"),
        ("strict", None, "strict is null, not true or false"),
        ("note", 0, "note is an integer, not a string"),
        ("inner", {}, "inner is an object, not a list"),
        ("inner", [[]], "inner[0] is a list, not an object"),
        ("inner", [{"argv": "ab", "environment": {}}], "inner[0].argv is a string, not a list"),
        ("inner", [{"argv": [], "environment": []}], "inner[0].environment is a list, not an object"),
        ("inner", [{"argv": [1], "environment": {}}], "inner[0].argv[0] is an integer, not a string"),
        ("inner", [{"argv": [], "environment": {"K": 1}}], "inner[0].environment.K is an integer, not a string"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_path(field, value, why):
    assert refusal({**GOOD, field: value}).why == why


def test_an_integer_is_accepted_where_a_float_is_declared():
    made = decode.build(Outer, {**GOOD, "seconds": 2}, "here")
    assert (made.seconds, type(made.seconds)) == (2.0, float)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400])
def test_a_number_that_is_no_finite_float_is_refused(number):
    text = json.dumps({**GOOD, "seconds": 0.125}).replace("0.125", number)
    with pytest.raises(errors.InvalidRecord):
        decode.build(Outer, decode.json_object(text.encode(), "here"), "here")


def test_an_unknown_field_is_refused_by_name():
    assert refusal({**GOOD, "extra": 1}).why == "extra is unknown"


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_missing_field_is_refused_by_name(field):
    assert refusal({name: value for name, value in GOOD.items() if name != field}).why == f"{field} is missing"


def test_a_key_that_stands_twice_is_refused_at_any_depth():
    for text in ('{"a": 1, "a": 1}', '{"a": {"b": 1, "b": 2}}', '{"a": [{"b": 1, "c": 2, "b": 2}]}'):
        with pytest.raises(errors.InvalidRecord, match=r"stands twice"):
            decode.json_object(text.encode(), "here")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b" \n\t", "it is empty"),
        (b"[]", "it holds a list, not an object"),
        (b"null", "it holds null, not an object"),
        (b'"text"', "it holds a string, not an object"),
        (b"{", "line 1 column 2"),
        (b'{"a": 1,}', "line 1 column"),
        (b"\xff\xfe{}", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": 1} {"a": 2}', "Extra data"),
        (b"\0" * 100, "line 1 column 1"),
        (b"\x7fELF" + bytes(range(256)), "not UTF-8"),
        (b'{"a": "\n"}', "control character"),
        (b'{"a": ' + b"1" * 5000 + b"}", "digits"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[" * 10_000_000, "nested too deeply"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_bytes_that_are_no_json_object_are_refused_with_a_cause(data, why):
    with pytest.raises(errors.InvalidRecord) as caught:
        decode.json_object(data, "file /x")
    assert why in caught.value.why
    assert caught.value.what == "file /x"


def test_deep_nesting_inside_a_declared_field_is_refused():
    value: object = "x"
    for _ in range(500):
        value = [value]
    assert "inner[0] is a list" in refusal({**GOOD, "inner": value}).why


def test_a_refusal_never_shows_a_value():
    secret = "hunter2-hunter2"
    for bad in ({**GOOD, "count": secret}, {**GOOD, "inner": [{"argv": secret, "environment": {}}]}, {"name": secret}):
        assert secret not in str(refusal(bad))
    with pytest.raises(errors.InvalidRecord) as caught:
        decode.json_object(f'{{"a": "{secret}" "b"}}'.encode(), "here")
    assert secret not in str(caught.value)


def test_a_refusal_is_short_and_printable_whatever_the_keys_are():
    long = "k" * 1_000_000
    for value in (
        {**GOOD, long: 1},
        {**GOOD, "\ud800\x1b[2J": 1},
        {**GOOD, "inner": [{"argv": [], "environment": {long: 1}}]},
        {**GOOD, "inner": [{"argv": [], "environment": {"\x1b[2J\ud800": 1}}]},
    ):
        text = str(refusal(value))
        assert len(text) < 300
        assert text.isascii() and "\x1b" not in text
    with pytest.raises(errors.InvalidRecord) as caught:
        decode.json_object(b'{"\\u001b[2J": 1, "\\u001b[2J": 1}', "here")
    assert "\x1b" not in str(caught.value)


def test_text_that_cannot_be_encoded_is_refused():
    text = json.dumps({**GOOD, "name": "\ud800"}).encode()
    with pytest.raises(errors.InvalidRecord, match=r"name holds half a surrogate pair"):
        decode.build(Outer, decode.json_object(text, "here"), "here")


def test_a_record_of_another_schema_is_refused_by_both_names():
    with pytest.raises(
        errors.InvalidRecord, match=r"its schema is bootseal\.plan/9 and this version reads bootseal\.plan/1"
    ):
        decode.expect_schema({"schema": "bootseal.plan/9"}, "bootseal.plan/1", "here")
    for other in (None, 1, ["bootseal.plan/1"], "x" * 1000):
        with pytest.raises(errors.InvalidRecord) as caught:
            decode.expect_schema({"schema": other}, "bootseal.plan/1", "here")
        assert len(str(caught.value)) < 200
    with pytest.raises(errors.InvalidRecord):
        decode.expect_schema({}, "bootseal.plan/1", "here")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"a":1e400}')
def test_any_bytes_are_decoded_or_refused_and_nothing_else(data):
    try:
        value = decode.json_object(data, "here")
    except errors.InvalidRecord:
        return
    assert isinstance(value, dict)


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_any_value_in_any_field_is_built_or_refused_and_nothing_else(field, value):
    try:
        made = decode.build(Outer, {**GOOD, field: value}, "here")
    except errors.InvalidRecord as error:
        assert str(error).encode()
        return
    assert math.isfinite(made.seconds)
    assert json.loads(json.dumps(dataclasses.asdict(made)))
