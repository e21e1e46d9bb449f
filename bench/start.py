"""From starting the program to the first greeting of its SMTP port."""
import socket
import threading
import time

from common import Bench, Ours, Row


def first_greeting(port, times, start, timeout=10):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                if sock.recv(3) == b"220":
                    times.append((time.monotonic() - start) * 1000)
                    return
        except OSError:
            time.sleep(0.001)
    raise RuntimeError("no greeting")


def run(rounds):
    times = []
    with Bench(100, kinds=[Ours]) as bench:
        ours = bench.servers[0]
        for _ in range(max(rounds, 5)):
            ours.stop()
            start = time.monotonic()
            waiter = threading.Thread(target=first_greeting, args=(ours.ports["smtp"], times, start))
            waiter.start()
            ours.start()  # in this thread: the server is told to die with the thread that started it
            waiter.join()
    return [Row("start to first greeting", "ms", times, None, higher=False, limit=300)]
