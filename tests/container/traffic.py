"""Traffic through a relay, run in the container: traffic.py RELAY TARGET

Connects to the relay's socket, accepts at the target's, prints "connected", and sends both ways as
fast as it goes until standard input ends. Then prints, as JSON, for each way the bytes, whether what
came is what was sent, and the longest time in which nothing came.
"""

import hashlib
import json
import os
import socket
import sys
import threading
import time

BLOCK = 32768


def send(sock, stop, result):
    digest = hashlib.blake2b()
    pool = memoryview(os.urandom(2 * BLOCK))
    turn = 0
    while not stop.is_set():
        block = pool[turn:turn + BLOCK]  # another one in each turn, for long
        digest.update(block)
        sock.sendall(block)
        turn = (turn + 1) % BLOCK
    sock.shutdown(socket.SHUT_WR)
    result["sent"] = digest.hexdigest()


def receive(sock, result):
    digest = hashlib.blake2b()
    count = 0
    longest = 0.0
    last = time.monotonic()
    while data := sock.recv(1 << 20):
        now = time.monotonic()
        longest = max(longest, now - last)
        last = now
        digest.update(data)
        count += len(data)
    result.update(received=digest.hexdigest(), bytes=count, longest=longest)


def main():
    relay, target = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(target)
        os.chmod(target, 0o666)
        listener.listen()
        client.connect(relay)
        server, _ = listener.accept()
        print("connected", flush=True)
        stop = threading.Event()
        there, back = {}, {}
        threads = [threading.Thread(target=function, args=args) for function, args in (
            (send, (client, stop, there)), (receive, (server, there)),
            (send, (server, stop, back)), (receive, (client, back)))]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        stop.set()
        for thread in threads:
            thread.join()
    for way in (there, back):
        way["whole"] = way.pop("sent") == way.pop("received")
    print(json.dumps([there, back]), flush=True)


main()
