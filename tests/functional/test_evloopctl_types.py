"""What evloopctl sends: words become values of the types that the daemon names."""

import json

import pytest

from fake_server import answering, assert_broken, names, play, serve  # noqa: F401


# ---- what is sent ----


@pytest.mark.parametrize("words", [(), ("{}",), ('{"a": 1}',)])
def test_the_schema_is_not_asked_for_without_need(play, words):
    result = play(answering({}), "call", "x", *words)
    assert names(result) == ["qmp_capabilities", "x"]
    assert result.requests[1].get("arguments") == (json.loads(words[0]) if words else None)


def test_an_iothread_without_properties_needs_no_schema(play):
    result = play(answering({}), "iothread", "add", "007")
    assert names(result) == ["qmp_capabilities", "object-add"]
    assert result.requests[1]["arguments"] == {"qom-type": "iothread", "id": "007"}


def builtin(name, json_type):
    return {"name": name, "meta-type": "builtin", "json-type": json_type}


def member(name, type_name):
    return {"name": name, "type": type_name}


SCHEMA = [
    builtin("str", "string"), builtin("int", "int"), builtin("number", "number"),
    builtin("bool", "boolean"), builtin("null", "null"), builtin("any", "value"),
    {"name": "1", "meta-type": "enum", "values": ["off", "7"]},
    {"name": "[int]", "meta-type": "array", "element-type": "int"},
    {"name": "2", "meta-type": "object", "members": [member("x", "int")]},
    {"name": "3", "meta-type": "alternate", "members": [member("", "str"), member("", "int")]},
    {"name": "4", "meta-type": "alternate",
     "members": [member("", "str"), member("", "2"), member("", "null")]},
    {"name": "x", "meta-type": "command", "arg-type": "5", "ret-type": "2"},
    {"name": "5", "meta-type": "object", "tag": "kind", "members": [
        member("kind", "1"), member("s", "str"), member("i", "int"), member("n", "number"),
        member("b", "bool"), member("z", "null"), member("any", "any"), member("e", "1"),
        member("a", "[int]"), member("o", "2"), member("si", "3"), member("so", "4"),
        member("lost", "no-such-type")],
     "variants": [{"case": "off", "type": "6"}, {"case": "7", "type": "7"}]},
    {"name": "6", "meta-type": "object", "members": [member("v", "int")]},
    {"name": "7", "meta-type": "object", "members": [member("v", "bool")]},
]


@pytest.mark.parametrize("words, arguments", [
    (["s=5"], {"s": "5"}), (["s="], {"s": ""}), (["s=a=b"], {"s": "a=b"}),
    (["s=gr\u00fcn \"'\\"], {"s": "gr\u00fcn \"'\\"}),
    (["i=5"], {"i": 5}), (["i=-5"], {"i": -5}), (["i=18446744073709551615"], {"i": 2**64 - 1}),
    (["i=-9223372036854775808"], {"i": -2**63}), (["i=18446744073709551616"], {"i": str(2**64)}),
    (["i=5k"], {"i": "5k"}), (["i=0x10"], {"i": "0x10"}), (["i=1.0"], {"i": "1.0"}),
    (["i="], {"i": ""}), (["i= 5"], {"i": " 5"}), (["i=true"], {"i": "true"}),
    (["n=5"], {"n": 5}), (["n=-2.5e3"], {"n": -2500.0}), (["n=nan"], {"n": "nan"}),
    (["b=on"], {"b": True}), (["b=true"], {"b": True}), (["b=yes"], {"b": True}),
    (["b=off"], {"b": False}), (["b=false"], {"b": False}), (["b=no"], {"b": False}),
    (["b=1"], {"b": "1"}), (["b=ON"], {"b": "ON"}),
    (["z=null"], {"z": None}), (["z=none"], {"z": "none"}),
    (["any=5"], {"any": 5}), (["any=[null]"], {"any": [None]}), (["any=on"], {"any": "on"}),
    (["any=null"], {"any": None}), (['any="5"'], {"any": "5"}),
    (["any=99999999999999999999"], {"any": "99999999999999999999"}),
    (["e=off"], {"e": "off"}), (["e=7"], {"e": "7"}), (["e=other"], {"e": "other"}),
    (["a=[1, 2]"], {"a": [1, 2]}), (["a=1,2"], {"a": "1,2"}), (["a=[1"], {"a": "[1"}),
    (['o={"x": 1}'], {"o": {"x": 1}}), (["o=x"], {"o": "x"}),
    (["si=5"], {"si": 5}), (["si=five"], {"si": "five"}),
    (["so=5"], {"so": "5"}), (['so={"x": 5}'], {"so": {"x": 5}}), (["so=null"], {"so": None}),
    (["lost=5"], {"lost": "5"}), (["unknown=5"], {"unknown": "5"}),
    (["v=5"], {"v": "5"}), (["v=5", "kind=off"], {"v": 5, "kind": "off"}),
    (["kind=7", "v=on"], {"kind": "7", "v": True}), (["kind=8", "v=5"], {"kind": "8", "v": "5"}),
    (["i=1", "b=on", "s=on"], {"i": 1, "b": True, "s": "on"}),
])
def test_words_get_the_types_that_the_schema_says(play, words, arguments):
    result = play(answering(SCHEMA, {}), "call", "x", *words)
    assert (result.returncode, result.stdout) == (0, "{}\n")
    assert names(result) == ["qmp_capabilities", "query-qmp-schema", "x"]
    sent = result.requests[2]["arguments"]
    assert (sent, repr(sent)) == (arguments, repr(arguments))  # repr() tells 1 from True


@pytest.mark.parametrize("schema", [
    [], [None, 5, {}, {"name": 5}], [{"name": "x", "meta-type": "command"}],
    [{"name": "x", "meta-type": "command", "arg-type": "x"}],
    [{"name": "x", "meta-type": "command", "arg-type": "y"},
     {"name": "y", "meta-type": "object", "members": 5, "tag": "i", "variants": [5]}],
])
def test_with_a_schema_that_says_nothing_words_are_strings(play, schema):
    result = play(answering(schema, {}), "call", "x", "i=5")
    assert result.requests[2]["arguments"] == {"i": "5"}


def test_a_schema_that_is_no_array_is_an_error(play):
    assert_broken(play(answering({}), "call", "x", "i=5"), "query-qmp-schema: ")


def test_properties_get_the_types_that_their_list_says(play):
    listed = [member("i", "int"), member("u", "uint32"), member("z", "size"), member("b", "bool"),
              member("n", "number"), member("s", "str"), member("t", "string"),
              member("e", "SchedPolicy"), {"name": "x"}]
    words = ["i=1", "u=2", "z=3", "b=on", "n=4.5", "s=5", "t=6", "e=7", "x=8", "unknown=9"]
    values = [1, 2, 3, True, 4.5, "5", "6", "7", "8", "9"]
    result = play(answering(listed, *([{}] * len(words))), "iothread", "set", "io0", *words)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.requests[1]["execute"] == "qom-list-properties"
    assert result.requests[1]["arguments"] == {"typename": "iothread"}
    for request, word, value in zip(result.requests[2:], words, values):
        assert request["execute"] == "qom-set"
        assert request["arguments"] == {"path": "/objects/io0", "property": word.split("=")[0],
                                        "value": value}


# ---- out of band ----


def test_out_of_band_is_negotiated_only_when_asked_for(play):
    result = play(answering({}), "call", "x")
    assert "arguments" not in result.requests[0] and "execute" in result.requests[1]
    result = play(answering({}), "call", "x", "--oob")
    assert result.requests[0]["arguments"] == {"enable": ["oob"]}
    assert result.requests[1]["exec-oob"] == "x"


def test_a_server_without_out_of_band_is_told(play):
    greeting = {"QMP": {"version": {}, "capabilities": []}}
    assert_broken(play(lambda peer: peer.send(greeting), "call", "--oob", "x"), "out of band")


def test_the_schema_is_asked_for_out_of_band_first(play):
    result = play(answering(SCHEMA, {}), "call", "--oob", "x", "i=5")
    assert result.requests[1]["exec-oob"] == "query-qmp-schema"
    assert result.requests[2]["exec-oob"] == "x" and result.requests[2]["arguments"] == {"i": 5}


def test_the_schema_is_asked_for_in_band_where_it_must_be(play):
    def script(peer):
        peer.negotiate()
        peer.send({"error": {"class": "GenericError", "desc": "no"}, "id": peer.receive()["id"]})
        peer.answer(SCHEMA)
        peer.answer({})

    result = play(script, "call", "--oob", "x", "i=5")
    assert [list(request)[0] for request in result.requests[1:]] == ["exec-oob", "execute",
                                                                      "exec-oob"]
    assert result.requests[3]["arguments"] == {"i": 5}
