"""Configuration directories for tests."""

import json

NOTHING = {"added": [], "removed": [], "replaced": [], "changed": [], "adopted": []}


def add(qom_type, name, **properties):
    """The command that adds an object, as a line of a file."""
    arguments = {"qom-type": qom_type, "id": name,
                 **{key.replace("_", "-"): value for key, value in properties.items()}}
    return json.dumps({"execute": "object-add", "arguments": arguments}) + "\n"


def set_(path, key, value):
    """The command that sets a property, likewise."""
    arguments = {"path": path, "property": key, "value": value}
    return json.dumps({"execute": "qom-set", "arguments": arguments}) + "\n"


def name(qom_type, name):
    """An object in a difference."""
    return {"id": name, "qom-type": qom_type}


def change(qom_type, name, key, old, new):
    """A property in a difference."""
    return {"id": name, "qom-type": qom_type, "property": key, "from": old, "to": new}


class ConfigDir:
    """A configuration directory."""

    def __init__(self, path):
        self.path = path

    def write(self, name, *lines):
        (self.path / name).write_text("".join(lines))

    def where(self, name, line):
        """How an error begins."""
        return f"{self.path}/{name}: line {line}"


def objects_of(qmp):
    """All objects, by id, with their types."""
    listed = qmp.command("qom-list", path="/objects")
    return {item["name"]: item["type"][len("child<"):-1] for item in listed
            if item["type"].startswith("child<")}
