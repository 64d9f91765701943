"""What all object types promise of their properties: the listing, the schema and the values agree."""

import pytest

from objects import add, error_of, get, set_
from qmp_schema import Schema

TYPES = {
    "iothread": {},
    "timer": {"period_ns": 10**18},
    "event-notifier": {},
    "socket-relay": {"listen": "tcp:127.0.0.1:0", "target": "tcp:127.0.0.1:1"},
}


def properties(qmp, qom_type):
    listed = qmp.command("qom-list-properties", typename=qom_type)
    assert listed[0]["name"] == "type"
    return {item["name"]: item for item in listed[1:]}


def test_all_types_are_known_here(qmp):
    types = {item["name"] for item in
             qmp.command("qom-list-types", implements="user-creatable")}
    assert types == set(TYPES)


@pytest.mark.parametrize("qom_type", TYPES)
def test_each_property_can_be_set_as_far_as_it_says(qmp, qom_type):
    add(qmp, qom_type, "x", **TYPES[qom_type])
    for name, item in properties(qmp, qom_type).items():
        value = get(qmp, "x", name)
        if item.get("read-only"):
            assert error_of(set_, qmp, "x", name, value) == f"Property '{name}' is read-only"
            arguments = {**TYPES[qom_type], name: value}
            assert error_of(add, qmp, qom_type, "y", **arguments) == (
                f"Parameter '{name}' is read-only")
        elif item.get("create-only"):
            assert error_of(set_, qmp, "x", name, value) == (
                f"Property '{name}' can only be set when the object is added")
        else:
            set_(qmp, "x", name, value)
            assert get(qmp, "x", name) == value
    assert error_of(set_, qmp, "x", "type", qom_type) == "Property 'type' is read-only"


@pytest.mark.parametrize("qom_type", TYPES)
def test_each_default_is_the_value_when_none_is_given(qmp, qom_type):
    add(qmp, qom_type, "x", **TYPES[qom_type])
    given = {name.replace("_", "-") for name in TYPES[qom_type]}
    for name, item in properties(qmp, qom_type).items():
        if "default-value" in item and name not in given:
            assert get(qmp, "x", name) == item["default-value"]


@pytest.mark.parametrize("qom_type", TYPES)
def test_the_schema_has_what_can_be_given_and_the_tree_has_all(qmp, qom_type):
    entries = Schema(qmp.command("query-qmp-schema")).entries
    add(qmp, qom_type, "x", **TYPES[qom_type])
    listed = properties(qmp, qom_type)
    assert [item["name"] for item in qmp.command("qom-list", path="/objects/x")] == [
        "type", *listed]
    options = entries[entries["object-add"]["arg-type"]]
    [variant] = [v for v in options["variants"] if v["case"] == qom_type]
    members = {m["name"]: m for m in entries[variant["type"]]["members"]}
    assert set(members) == {name for name, item in listed.items() if not item.get("read-only")}
