"""Checks values against the answer of query-qmp-schema, and that answer itself."""

JSON_TYPES = {
    "string": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "value": lambda value: True,
}

# The members of an entry by its meta-type: those that it must have, and those that it may have.
ENTRY_MEMBERS = {
    "builtin": ({"json-type"}, set()),
    "enum": ({"members", "values"}, set()),
    "array": ({"element-type"}, set()),
    "object": ({"members"}, {"tag", "variants"}),
    "alternate": ({"members"}, set()),
    "command": ({"arg-type", "ret-type"}, {"allow-oob"}),
    "event": ({"arg-type"}, set()),
}
TYPES = {"builtin", "enum", "array", "object", "alternate"}


FEATURES = {"deprecated", "unstable"}


class Mismatch(Exception):
    """A value is not as the schema says."""


def expect(condition, where, what):
    if not condition:
        raise Mismatch(f"{where}: {what}")


class Schema:
    """What query-qmp-schema answered."""

    def __init__(self, entries):
        self.entries = {entry["name"]: entry for entry in entries}
        expect(len(self.entries) == len(entries), "schema", "a name occurs twice")

    def names(self, meta_type):
        return {name for name, entry in self.entries.items() if entry["meta-type"] == meta_type}

    # ---- the schema itself ----

    def check(self):
        """That it is well-formed, and every type is there and is referred to."""
        referred = {name for entry in self.entries.values()
                    for name in self.check_entry(entry)}
        types = set().union(*[self.names(meta_type) for meta_type in TYPES])
        expect(referred <= types, "schema", f"refers to {referred - types}, which are no types")
        expect(types <= referred, "schema", f"nothing refers to {types - referred}")

    def references(self, entry):
        """The types that a well-formed entry refers to, in the order in which it does."""
        names = [entry[key] for key in ("arg-type", "ret-type", "element-type") if key in entry]
        if entry["meta-type"] != "enum":
            names += [member["type"] for member in entry.get("members", [])]
        return names + [variant["type"] for variant in entry.get("variants", [])]

    @staticmethod
    def check_features(where, entry):
        """The features of an entry or a member."""
        if "features" in entry:
            features = entry["features"]
            expect(isinstance(features, list) and features, where, "features without any")
            expect(all(isinstance(feature, str) and feature in FEATURES for feature in features),
                   where, f"unknown features {features}")

    def check_entry(self, entry):
        """Check the members of an entry; returns the types that it refers to."""
        where = entry["name"]
        meta_type = entry["meta-type"]
        required, optional = ENTRY_MEMBERS[meta_type]
        found = set(entry) - {"name", "meta-type", "features"}
        expect(required <= found <= required | optional, where, f"has the members {found}")
        self.check_features(where, entry)
        if meta_type == "builtin":
            expect(entry["json-type"] in JSON_TYPES, where, "unknown json-type")
            return set()
        if meta_type == "enum":
            names = [member["name"] for member in entry["members"]]
            expect(names == entry["values"] and names, where, "members and values differ")
            expect(len(set(names)) == len(names), where, "a value occurs twice")
            return set()
        if meta_type == "array":
            return {entry["element-type"]}
        if meta_type == "alternate":
            return {member["type"] for member in entry["members"]}
        if meta_type == "object":
            return self.check_object_entry(entry)
        for member in required:
            if member == "arg-type":
                expect(self.entries[entry[member]]["meta-type"] == "object", where,
                       "arguments and data are objects")
        return {entry[member] for member in required}

    def check_object_entry(self, entry):
        where = entry["name"]
        for member in entry["members"]:
            expect({"name", "type"} <= set(member) <= {"name", "type", "default", "features"},
                   where, f"member {member}")
            expect(member.get("default") is None, where, "the default's value is null")
            self.check_features(where, member)
        names = [member["name"] for member in entry["members"]]
        expect(len(set(names)) == len(names), where, "a member occurs twice")
        expect(("tag" in entry) == ("variants" in entry), where, "tag and variants go together")
        referred = {member["type"] for member in entry["members"]}
        if "tag" in entry:
            [tag] = [member for member in entry["members"] if member["name"] == entry["tag"]]
            cases = [variant["case"] for variant in entry["variants"]]
            expect(set(cases) <= set(self.entries[tag["type"]]["values"]), where, "unknown case")
            expect(len(set(cases)) == len(cases), where, "a case occurs twice")
            for variant in entry["variants"]:
                expect(set(variant) == {"case", "type"}, where, f"variant {variant}")
                expect(self.entries[variant["type"]]["meta-type"] == "object", where,
                       "a variant is an object")
                referred.add(variant["type"])
        return referred

    # ---- values ----

    def check_value(self, type_name, value, where):
        """That @value is of the type."""
        entry = self.entries[type_name]
        meta_type = entry["meta-type"]
        if meta_type == "builtin":
            expect(JSON_TYPES[entry["json-type"]](value), where, f"{value!r} is no {type_name}")
        elif meta_type == "enum":
            expect(isinstance(value, str) and value in entry["values"], where,
                   f"{value!r} is no {type_name}")
        elif meta_type == "array":
            expect(isinstance(value, list), where, f"{value!r} is no array")
            for i, element in enumerate(value):
                self.check_value(entry["element-type"], element, f"{where}[{i}]")
        elif meta_type == "alternate":
            self.check_alternate(entry, value, where)
        else:
            expect(meta_type == "object", where, f"a {meta_type} is no type of a value")
            self.check_object(entry, value, where)

    def check_alternate(self, entry, value, where):
        for member in entry["members"]:
            try:
                return self.check_value(member["type"], value, where)
            except Mismatch:
                pass
        raise Mismatch(f"{where}: {value!r} is no {entry['name']}")

    def members_of(self, entry, value):
        """The members that an object of this type may have, those of its variant included."""
        members = {member["name"]: member for member in entry["members"]}
        for variant in entry.get("variants", []):
            if value.get(entry["tag"]) == variant["case"]:
                members.update(self.members_of(self.entries[variant["type"]], value))
        return members

    def check_object(self, entry, value, where):
        expect(isinstance(value, dict), where, f"{value!r} is no object")
        members = self.members_of(entry, value)
        for name in value:
            expect(name in members, where, f"member {name!r} is not declared")
        for name, member in members.items():
            if name in value:
                self.check_value(member["type"], value[name], f"{where}.{name}")
            else:
                expect("default" in member, where, f"member {name!r} is missing")

    def check_return(self, command, value):
        """That @command may answer so."""
        self.check_value(self.entries[command]["ret-type"], value, command)

    def check_arguments(self, command, arguments):
        """That @command may be given these."""
        self.check_value(self.entries[command]["arg-type"], arguments, command)

    def check_event(self, event):
        """That a whole event is as declared."""
        expect(event["event"] in self.names("event"), event["event"], "is not declared")
        arg_type = self.entries[self.entries[event["event"]]["arg-type"]]
        expect(("data" in event) == (arg_type["members"] != []), event["event"], "data")
        self.check_object(arg_type, event.get("data", {}), event["event"])
