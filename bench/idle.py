"""IDLE: from a delivery's 250 (and from the end of its DATA) to the notice in the owner's sessions, while many sessions idle.

Alone: idle.py [--sessions 2000] [--users 500] [--deliveries 500] [--tls]
"""
import argparse
import os
import select
import ssl
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

from certs import Certs  # noqa: E402
from rockdove import Server  # noqa: E402
from wire import Imap, Smtp  # noqa: E402

DOMAIN = "example.test"
SETTLE = 3  # seconds after the last login


class Idler:
    """One session in IDLE; its socket does not block."""

    def __init__(self, port, user, tls):
        client = Imap(port, tls=tls, timeout=60)
        assert client.login(user, "secret").status == "OK"
        client.ok("SELECT INBOX")
        client.send("i IDLE\r\n")
        while not client.response().startswith(b"+"):
            pass
        client.sock.setblocking(False)
        self.sock = client.sock

    def take(self):
        """The bytes that are there."""
        got = b""
        while True:
            try:
                piece = self.sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return got
            assert piece, "the server closed the connection"
            got += piece


def notices(idlers, count):
    """Waits until each has been told of a message; when that was, on the monotonic clock."""
    poll = select.epoll()
    waiting = {i.sock.fileno(): i for i in idlers}
    for number in waiting:
        poll.register(number, select.EPOLLIN)
    seen, times = {number: b"" for number in waiting}, []
    while waiting:
        ready = poll.poll(10)
        now = time.monotonic()
        assert ready, f"{len(waiting)} sessions of {count} were not told"
        for number, _ in ready:
            seen[number] += waiting[number].take()
            if b"EXISTS" in seen[number]:
                times.append(now)
                poll.unregister(number)
                del waiting[number]
    poll.close()
    return times


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(server, sessions, users, deliveries, tls):
    idlers = {}
    for number in range(sessions):
        user = f"u{number % users}@{DOMAIN}"
        idlers.setdefault(user, []).append(Idler(server.ports["imaps" if tls else "imap"], user, tls))
    time.sleep(SETTLE)
    since_250, since_data = [], []
    with Smtp(server.ports["mx"], timeout=30) as client:
        client.ehlo()
        for number in range(deliveries):
            user = f"u{number % users}@{DOMAIN}"
            client.envelope("x@remote.test", [user])
            assert client.cmd("DATA").code == 354
            sent = time.monotonic()
            client.send(f"Subject: number {number}\r\n\r\ntext\r\n.\r\n")
            assert client.reply().code == 250
            done = time.monotonic()
            told = notices(idlers[user], len(idlers[user]))
            since_250 += [max(0, t - done) * 1000 for t in told]
            since_data += [(t - sent) * 1000 for t in told]
            time.sleep(0.005)
    return since_250, since_data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--deliveries", type=int, default=500)
    parser.add_argument("--tls", action="store_true")
    args = parser.parse_args()
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="rockdove-idle-") as folder:
        os.chmod(folder, 0o755)
        accounts = {f"u{number}@{DOMAIN}": "secret" for number in range(args.users)}
        server = Server(Path(folder) / "server", Certs(Path(folder) / "certs"), accounts, listeners=["mx", "imap", "imaps", "metrics"],
                        trusted_networks=["127.0.0.0/8"])
        server.start(timeout=30)
        try:
            since_250, since_data = measure(server, args.sessions, args.users, args.deliveries, args.tls)
        finally:
            server.stop()
    for name, values in (("250 to notice", since_250), ("end of DATA to notice", since_data)):
        print(f"{name}, {args.sessions} sessions: median {percentile(values, 0.5):.2f} ms, p99 {percentile(values, 0.99):.2f} ms, "
              f"max {max(values):.2f} ms")


if __name__ == "__main__":
    main()
