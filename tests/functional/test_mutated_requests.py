"""A hundred thousand requests that are nearly right, from several clients at once, harm nobody."""

import json
import random
import select
import socket

from qmp_client import DEADLINE

COUNT = 100_000
BATCH = 250  # requests of one session at a time

# Requests as they should be. None that ends the daemon or holds its main loop.
REQUESTS = [json.dumps(request).encode() for request in [
    {"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}},
    {"execute": "query-version", "id": 1},
    {"execute": "query-commands", "id": [None, True, {"a": -1.5e3}]},
    {"exec-oob": "query-loops", "id": "x"},
    {"exec-oob": "query-sources", "arguments": {"loop": "main-loop"}},
    {"execute": "query-iothreads", "arguments": {}},
    {"execute": "object-add",
     "arguments": {"qom-type": "iothread", "id": "io0", "poll-max-ns": 0}},
    {"execute": "object-add",
     "arguments": {"qom-type": "iothread", "id": "io1", "fdmon": "epoll", "cpu-affinity": "0"}},
    {"execute": "object-del", "arguments": {"id": "io0"}},
    {"execute": "object-del", "arguments": {"id": "io1"}, "id": {}},
    {"execute": "qom-list", "arguments": {"path": "/objects"}},
    {"execute": "qom-get", "arguments": {"path": "/objects/io0", "property": "thread-id"}},
    {"execute": "qom-set",
     "arguments": {"path": "/objects/io1", "property": "poll-grow", "value": 9223372036854775807}},
    {"execute": "qom-list-types", "arguments": {"implements": "object", "abstract": True}},
    {"execute": "qom-list-properties", "arguments": {"typename": "iothread"}},
    {"execute": "getfd", "arguments": {"fdname": "a"}},
    {"execute": "closefd", "arguments": {"fdname": "a"}},
    {"execute": "x-debug-echo", "arguments": {"value": ["\u00e9\U0001f600", {"": [[], {}]}]}},
]]
# Pieces that matter to a parser.
PIECES = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"'", b"\\", b"\\u", b"\\ud800", b"\\u0000",
          b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"-", b"1e999", b"18446744073709551616",
          b"null", b"true", b"[" * 40, b'{"a":' * 20, b'"execute"', b'"id": 1,', b"\n", b" "]
# What brings the parser back to its initial state, whatever came before.
WAY_OUT = b"\xff\n"


def flip(rng, request):
    data = bytearray(request)
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncate(rng, request):
    return request[:rng.randrange(len(request))]


def duplicate(rng, request):
    begin = rng.randrange(len(request))
    end = rng.randint(begin, len(request))
    return request[:end] + request[begin:end] * rng.randint(1, 5) + request[end:]


def remove(rng, request):
    begin = rng.randrange(len(request))
    return request[:begin] + request[rng.randint(begin, min(begin + 8, len(request))):]


def insert(rng, request):
    at = rng.randint(0, len(request))
    return request[:at] + rng.choice(PIECES) + request[at:]


def join(rng, request):
    other = rng.choice(REQUESTS)
    return request[:rng.randrange(len(request))] + other[rng.randrange(len(other)):]


def keep(rng, request):
    return request


MUTATIONS = [flip, truncate, duplicate, remove, insert, join, keep]


def mutate(rng):
    request = rng.choice(REQUESTS)
    for _ in range(rng.randint(1, 2)):
        request = rng.choice(MUTATIONS)(rng, request) or b"{"
    return request


class Client:
    """A session whose requests go out, and whose answers are taken, as they come."""

    def __init__(self, daemon, seed, **options):
        self.session = daemon.connect(**options)
        self.session.socket.setblocking(False)
        self.rng = random.Random(seed)
        self.out = b""
        self.line = b""
        self.answers = 0
        self.awaited = None

    def queue(self, count, fd):
        """Make up requests, with a descriptor along with the first."""
        requests = [mutate(self.rng) + b"\n" for _ in range(count)]
        if self.session.socket.sendmsg([WAY_OUT], [
                (socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]) < len(WAY_OUT):
            self.out += WAY_OUT[1:]
        self.out += WAY_OUT.join(b"".join(requests[i:i + 10]) for i in range(0, count, 10))
        self.awaited = b'"id": "end %d"}' % self.answers
        self.out += WAY_OUT + b'{"execute": "query-version", "id": "end %d"}\n' % self.answers

    def send(self):
        self.out = self.out[self.session.socket.send(self.out):]

    def receive(self):
        data = self.session.socket.recv(1 << 16)
        assert data, "the server has closed"
        lines = (self.line + data).split(b"\r\n")
        self.line = lines.pop()
        for line in lines:
            message = json.loads(line)
            if "event" not in message:
                assert "return" in message or "QMP" in message or message["error"]["class"] in (
                    "GenericError", "CommandNotFound", "DeviceNotFound"), line
                self.answers += 1
                if line.endswith(self.awaited or b"\0"):
                    self.awaited = None


def exchange(clients, count, fd):
    """Each client sends @count requests, and takes all answers."""
    for client in clients:
        client.queue(count, fd)
    while waiting := [client for client in clients if client.awaited]:
        sockets = {client.session.socket: client for client in clients}
        readable, writable, _ = select.select(
            sockets, [client.session.socket for client in waiting if client.out], [], DEADLINE)
        assert readable or writable, "nothing is answered any more"
        for ready in writable:
            sockets[ready].send()
        for ready in readable:
            sockets[ready].receive()


def delete_objects(daemon):
    """What the mutated requests have added goes, so that they find its ids free again."""
    with daemon.connect() as session:
        for item in session.command("query-iothreads"):
            session.command("object-del", id=item["id"])


def send_mutated(daemon, clients, count):
    with socket.socket() as sent:
        for _ in range(count // len(clients) // BATCH):
            exchange(clients, BATCH, sent.fileno())
            delete_objects(daemon)


# What commands are about comes first, and goes last.
FIRST = ["object-add", "getfd", "add-fd"]
LAST = ["object-del", "closefd", "remove-fd"]
ARGUMENTS = {
    "object-add": {"qom-type": "iothread", "id": "last"},
    "object-del": {"id": "last"},
    "qom-list": {"path": "/objects"},
    "qom-get": {"path": "/objects/last", "property": "poll-max-ns"},
    "qom-set": {"path": "/objects/last", "property": "poll-max-ns", "value": 1},
    "qom-list-properties": {"typename": "iothread"},
    "query-sources": {"loop": "main-loop"},
    "getfd": {"fdname": "last"},
    "closefd": {"fdname": "last"},
    "add-fd": {"fdset-id": 1},
    "remove-fd": {"fdset-id": 1},
    "x-debug-block": {"duration-ms": 0},
    "x-debug-echo": {"value": 1},
}


def run_all_commands(daemon):
    """Run every command; what each has answered: True, or an error."""
    answers = {}
    with daemon.connect() as session, socket.socket() as sent:
        names = {item["name"] for item in session.command("query-commands")}
        middle = names.difference(FIRST, LAST, ["quit", "qmp_capabilities"])
        for name in [*FIRST, *sorted(middle), *LAST]:
            message = {"execute": name, "arguments": ARGUMENTS.get(name, {})}
            if name in ("getfd", "add-fd"):
                session.send_with_fds(message, [sent.fileno()])
            else:
                session.send(message)
            reply = session.receive_reply()
            answers[name] = reply.get("error", True)
    assert answers["object-add"] is answers["qom-set"] is answers["object-del"] is True
    return answers


def test_mutated_requests_leave_the_daemon_healthy(daemon):
    count = COUNT if not daemon.is_sanitized() else COUNT // 10
    fds = daemon.count_fds()
    threads = len(daemon.tasks())
    answers = run_all_commands(daemon)
    clients = [Client(daemon, seed, **options) for seed, options in enumerate(
        [{"oob": True}, {"oob": True}, {}, {"negotiate": False}])]
    resident = []
    for _ in range(2):
        send_mutated(daemon, clients, count // 2)
        resident.append(daemon.resident_kb())
    # Many of them must have been taken for requests.
    for client in clients:
        assert client.answers > count / len(clients) / 2
        client.session.close()
    assert run_all_commands(daemon) == answers
    daemon.wait_for_fds(fds)
    assert len(daemon.tasks()) == threads
    if not daemon.is_sanitized():
        assert resident[1] <= resident[0] + 256
