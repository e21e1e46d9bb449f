"""torture.py [--rounds N] [--seed S]: SIGKILL for each role and for the whole tree at random moments under load.

After the rounds every message that got 250 (or OK for an APPEND) must be in its mailbox exactly once and whole, what got no
answer at most once, and `store verify` must be clean. Started by ./dev torture, and briefly by ./dev test. Killing processes
does not lose the page cache: power cuts are tested elsewhere.
"""
import argparse
import hashlib
import itertools
import os
import random
import re
import shutil
import signal
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path

from certs import Certs
from rockdove import ROLES, Server
from wire import Imap, Smtp

USERS = 12
SENDERS = 4
CHECK_EVERY = 25    # rounds between two looks into the mailboxes
CALM = 20           # seconds a killed role may take to come back
NET_ERRORS = (OSError, EOFError, ssl.SSLError, AssertionError)


class Ledger:
    """What was sent: marker -> (recipients, digest of the message), and which were accepted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent, self.accepted = {}, set()
        self.numbers = itertools.count(1)

    def new(self, recipients, rng):
        marker = f"m{next(self.numbers):07d}"
        size = rng.choice((200, 3000, 30000, 30000, 1500000))
        body = "".join(f"{marker} line {n} {'x' * 60}\r\n" for n in range(size // 80 + 1))
        message = (f"From: load@remote.test\r\nTo: someone@example.test\r\nSubject: {marker}\r\nMessage-ID: <{marker}@remote.test>\r\n"
                   f"Date: Sat, 21 Nov 2026 03:42:49 +0000\r\n\r\n{body}").encode()
        with self.lock:
            self.sent[marker] = (recipients, hashlib.sha256(body.encode()).digest())
        return marker, message

    def accept(self, marker):
        with self.lock:
            self.accepted.add(marker)


class Load:
    """Clients that deliver and append until told to stop. Trouble is expected: they connect again."""

    def __init__(self, server, ledger, accounts, seed):
        self.server, self.ledger, self.accounts = server, ledger, accounts
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(self._deliver, random.Random(seed + n)), daemon=True)
                        for n in range(SENDERS)]
        self.threads.append(threading.Thread(target=self._run, args=(self._append, random.Random(seed + 99)), daemon=True))
        self.threads.append(threading.Thread(target=self._run, args=(self._shuffle, random.Random(seed + 98)), daemon=True))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                raise SystemExit("a client hangs: the server gave it neither an answer nor a close")

    def _run(self, work, rng):
        while not self.stopping.is_set():
            try:
                work(rng)
            except NET_ERRORS:
                time.sleep(0.01)

    def _deliver(self, rng):
        with Smtp(self.server.ports["mx"], timeout=30) as client:
            client.ehlo()
            while not self.stopping.is_set():
                recipients = rng.sample(list(self.accounts), rng.choice((1, 1, 1, 2, 3)))
                marker, message = self.ledger.new(recipients, rng)
                client.cmd("RSET")
                if any(reply.code != 250 for reply in client.envelope("load@remote.test", recipients)):
                    continue
                if client.data(message).code == 250:
                    self.ledger.accept(marker)

    def _append(self, rng):
        user = rng.choice(list(self.accounts))
        with Imap(self.server.ports["imap"], timeout=30) as client:
            if client.login(user, self.accounts[user]).status != "OK":
                return
            for _ in range(20):
                if self.stopping.is_set():
                    return
                marker, message = self.ledger.new([user], rng)
                if client.append("INBOX", message).status == "OK":
                    self.ledger.accept(marker)

    def _shuffle(self, rng):
        """Flags, and moves to Junk and back, which must neither lose nor double anything."""
        user = rng.choice(list(self.accounts))
        with Imap(self.server.ports["imap"], timeout=30) as client:
            if client.login(user, self.accounts[user]).status != "OK":
                return
            here, there = rng.choice((("INBOX", "Junk"), ("Junk", "INBOX")))
            client.ok(f"SELECT {here}")
            for _ in range(10):
                if self.stopping.is_set():
                    return
                client.cmd("STORE * +FLAGS.SILENT (\\Flagged)")
                client.cmd(f"MOVE * {there}")


def look(server, ledger, accounts):
    """Problems found in the mailboxes, as texts."""
    problems, found = [], {}
    for user, password in accounts.items():
        with Imap(server.ports["imap"], timeout=60) as client:
            client.login(user, password)
            for mailbox in ("INBOX", "Junk"):
                client.ok(f"SELECT {mailbox}")
                for line in client.ok("FETCH 1:* (BODY.PEEK[])").untagged if count(client, mailbox) else ():
                    match = re.search(rb"\r\nSubject: (m\d{7})\r\n", line)
                    if not match:
                        continue
                    marker = match[1].decode()
                    found[user, marker] = found.get((user, marker), 0) + 1
                    body = line[match.end():].partition(b"\r\n\r\n")[2].rstrip(b")")
                    if marker not in ledger.sent or hashlib.sha256(body).digest() != ledger.sent[marker][1]:
                        problems.append(f"{marker} in {user}/{mailbox} is not what was sent")
    for marker, (recipients, _) in ledger.sent.items():
        for user in recipients:
            copies = found.get((user, marker), 0)
            if copies > 1 or (marker in ledger.accepted and copies == 0):
                problems.append(f"{marker}: {copies} copies for {user}, "
                                + ("accepted" if marker in ledger.accepted else "not accepted"))
    return problems


def count(client, mailbox):
    return int(client.ok(f"STATUS {mailbox} (MESSAGES)").find(rb"MESSAGES (\d+)")[1])


def wait_roles(server, killed, old_pid):
    deadline = time.monotonic() + CALM
    while server.roles().get(killed) in (None, old_pid):
        if time.monotonic() > deadline:
            raise SystemExit(f"{killed} did not come back\n" + "\n".join(server.lines[-30:]))
        time.sleep(0.02)


def one_round(server, rng, target):
    time.sleep(rng.uniform(0.05, 0.5))
    if target == "tree":
        server.kill()
        server.lines.clear()
        server.start()
        return
    pid = server.roles().get(target)
    if pid:
        os.kill(pid, signal.SIGKILL)
        wait_roles(server, target, pid)


def settle(server, accounts):
    """Waits until a delivery works again: every role is back and has its peers."""
    deadline = time.monotonic() + CALM
    while True:
        try:
            with Smtp(server.ports["mx"]) as client, Imap(server.ports["imap"]) as imap:
                client.ehlo()
                user, password = next(iter(accounts.items()))
                if client.deliver("x@remote.test", [user], b"Subject: settled\r\n\r\nx\r\n").code == 250:
                    if imap.login(user, password).status == "OK" and imap.cmd("SELECT INBOX").status == "OK":
                        return
        except NET_ERRORS:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("the server does not recover\n" + "\n".join(server.lines[-40:]))
        time.sleep(0.1)


def inspect(server, ledger, accounts):
    settle(server, accounts)
    deadline = time.monotonic() + CALM  # what was queued when the server died is delivered after its start
    while (problems := look(server, ledger, accounts)) and time.monotonic() < deadline:
        time.sleep(1)
    server.stop()
    verify = server.command("store", "verify", check=False, timeout=300)
    if verify.returncode != 0:
        problems.append("store verify: " + (verify.stdout + verify.stderr).strip())
    if problems:
        print(*problems[:50], sep="\n")
        print(f"the folder is kept: {server.home}")
        raise SystemExit(1)


def main():
    parser = argparse.ArgumentParser(prog="./dev torture")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="rockdove-torture-", dir="/var/tmp"))
    folder.chmod(0o755)
    accounts = {f"u{number}@example.test": "secret" for number in range(USERS)}
    server = Server(folder / "server", Certs(folder / "certs"), accounts, listeners=["mx", "imap", "metrics"])
    ledger, began = Ledger(), time.monotonic()
    targets = list(ROLES) + ["tree", "tree"]
    print(f"torture: {options.rounds} rounds, seed {options.seed}", flush=True)
    try:
        done = 0
        while done < options.rounds:
            server.start()
            with Load(server, ledger, accounts, rng.randrange(1 << 30)):
                for _ in range(min(CHECK_EVERY, options.rounds - done)):
                    one_round(server, rng, targets[done % len(targets)] if done < len(targets) else rng.choice(targets))
                    done += 1
            inspect(server, ledger, accounts)
            print(f"{done} rounds: {len(ledger.accepted)} accepted of {len(ledger.sent)} sent, all where they belong", flush=True)
    finally:
        server.kill()
    shutil.rmtree(folder, ignore_errors=True)
    print(f"torture: {options.rounds} rounds in {time.monotonic() - began:.0f} s, nothing lost, nothing doubled, store verify clean")


if __name__ == "__main__":
    sys.exit(main())
