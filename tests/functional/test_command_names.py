"""How a request names its command, where that goes wrong."""

import pytest


@pytest.mark.parametrize("key", ["execute", "exec-oob"])
def test_a_name_does_not_end_at_a_nul(qmp, key):
    reply = qmp.execute("query-version\0", key=key)
    assert reply["error"] == {
        "class": "GenericError",
        "desc": f"Request member '{key}' expects a string without the character \\u0000",
    }


def test_qmp_capabilities_is_gone_after_negotiation_whatever_its_arguments(qmp):
    for arguments in [{}, {"enable": ["nonsense"]}, {"foo": 1}]:
        reply = qmp.execute("qmp_capabilities", arguments)
        assert reply["error"]["class"] == "CommandNotFound"


def test_both_threads_refuse_unknown_names_at_once(qmp):
    """In-band by the main loop's thread, out-of-band by the monitor's: for ThreadSanitizer."""
    for _ in range(50):
        qmp.send({"execute": "nonsense"})
        qmp.send({"exec-oob": "nonsense"})
    for _ in range(100):
        assert qmp.receive_reply()["error"]["class"] == "CommandNotFound"
