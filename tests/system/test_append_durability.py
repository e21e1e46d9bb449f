"""APPEND of several messages and REPLACE while the disk fails and after kills: all or nothing, and OK is a promise.

What got NO because a sync failed may turn up after a crash: its frames may stand in the log (docs/store.md). Then all of it does.
"""
import os
import random
import time
from pathlib import Path

import pytest

from rockdove import TOP, Server
from test_imap_append import catenate, multi, replace
from wire import Imap

FAULTS = Path(os.environ.get("ROCKDOVE_FAULTS", TOP / "build-faults" / "rockdove"))  # built with -Dio_faults=true
USER, PASSWORD = "u0@example.test", "secret"
FAILURES = ["*:enospc", "write:short", "write:eio:path=index.db", "fsync:eio:path=index.db-wal", "fsyncdir:eio", "write:eio:path=msg/,after=2",
            "fsync:eio:path=msg/,every=2", "open:emfile:path=msg/,after=5"]

pytestmark = pytest.mark.skipif(not FAULTS.exists(), reason=f"{FAULTS} is not built")


class Disk:
    """A server whose disk fails as told, and what its one mailbox must hold."""

    def __init__(self, folder, certs):
        folder.mkdir()
        folder.chmod(0o755)
        self.rules, self.rng, self.serial, self.held = folder / "rules", random.Random(3), 0, []
        self.rules.write_text("")
        self.server = Server(folder / "server", certs, {USER: PASSWORD}, listeners=["imap"], binary=FAULTS,
                             env={"ROCKDOVE_IO_FAULT_FILE": str(self.rules)})
        self.server.start()

    def fail(self, rules):
        with open(self.rules, "r+", encoding="ascii") as file:  # rewritten in place, always with a new length
            file.truncate(0)
            file.write(rules + " " * (self.rng.randrange(1000)))
        time.sleep(0.05)

    def session(self):
        client = Imap(self.server.ports["imap"], timeout=30)
        assert client.login(USER, PASSWORD).status == "OK"
        client.ok("SELECT INBOX")
        return client

    def message(self):
        self.serial += 1
        return b"Subject: %d\r\n\r\n" % self.serial + self.rng.randbytes(2000).hex().encode() + b"\r\n"

    def look(self, others=()):
        """Holds what it must, or one of the others, which it must then on."""
        with self.session() as client:
            lines = client.cmd("FETCH 1:* (BODY.PEEK[])").untagged
        found = [line.partition(b"}\r\n")[2][:-1] for line in lines if b"BODY[]" in line]
        assert found in [self.held, *others], (len(found), len(self.held))
        self.held = found

    def ask(self, rules, command, after):
        """The answer of one command under the rules; `after`: what must be there when it is OK."""
        self.fail(rules)
        answer = command()
        self.fail("")
        if answer.status == "OK":
            self.held, self.others = after, []
        else:
            self.others.append(after)
        return answer

    def asks(self, rules):
        """One of each under the rules; their answers."""
        self.others = []
        with self.session() as client:
            several, one = [self.message() for _ in range(4)], self.message()
            answers = [self.ask(rules, lambda: multi(client, "INBOX", several), self.held + several)]
            client.ok("NOOP")
            if self.held:
                answers.append(self.ask(rules, lambda: replace(client, 1, one), [*self.held[1:], one]))
                client.ok("NOOP")
                url = f"/INBOX/;UID={client.ok('FETCH 1 (UID)').untagged[0].split()[-1][:-1].decode()}"
                answers.append(self.ask(rules, lambda: catenate(client, url, b"x"), [*self.held, self.held[0] + b"x"]))
        return answers

    def recovers(self):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if all(answer.status == "OK" for answer in self.asks("")):
                return True
            time.sleep(0.2)
        return False


@pytest.fixture(scope="module")
def disk(scratch, certs):
    made = Disk(scratch / "append-disk", certs)
    yield made
    made.server.kill()


@pytest.mark.parametrize("rules", FAILURES)
def test_a_failing_disk(disk, rules):
    assert disk.recovers(), disk.server.log()
    outcomes = disk.asks(rules)
    assert any(answer.status == "NO" for answer in outcomes), outcomes
    assert all(answer.status in ("OK", "NO") for answer in outcomes), outcomes
    disk.look()
    disk.server.kill()
    disk.server.start()
    disk.look(disk.others)


def test_after_the_failures(disk):
    assert disk.recovers()
    disk.look()
    disk.server.stop()
    disk.server.command("store", "verify", timeout=60)
    disk.server.start()
    disk.look()


def test_kills(disk):
    """Killed while sets and replacements are under way: whatever was answered is there, and nothing is there in part."""
    assert disk.recovers()
    for delay in (0.001, 0.004, 0.008, 0.015, 0.03, 0.06):
        client = disk.session()
        several, one = [disk.message() for _ in range(8)], disk.message()
        tag = client.tag()
        client.send(tag + b" APPEND INBOX" + b"".join(b" {%d+}\r\n%s" % (len(m), m) for m in several) + b"\r\n"
                    b"r REPLACE 1 INBOX {%d+}\r\n%s\r\n" % (len(one), one))
        time.sleep(delay)
        disk.server.kill()
        disk.server.start()
        with disk.session() as after:
            lines = after.ok("FETCH 1:* (BODY.PEEK[])").untagged
            held = [line.partition(b"}\r\n")[2][:-1] for line in lines if b"BODY[]" in line]
        steps = [disk.held, disk.held + several, [*disk.held[1:], *several, one]]
        assert held in steps, (len(held), [len(step) for step in steps])
        answered = client.buffer
        try:
            client.sock.settimeout(1)
            while True:
                data = client.sock.recv(65536)
                if not data:
                    break
                answered += data
        except OSError:
            pass
        promised = 2 if b"r OK" in answered else 1 if tag + b" OK" in answered else 0
        assert steps.index(held) >= promised, (answered, steps.index(held))
        disk.held = held
