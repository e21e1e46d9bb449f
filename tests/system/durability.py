"""What a server has promised, and whether it kept it: a ledger of mail and changes with the moment of each answer, clients
that fill it, and the look into the mailboxes. Used by torture.py and test_durability.py.

Moments are time.monotonic_ns(), the clock of the records of powercut.py. What was answered before a moment must be there;
what was begun before it and not answered may be there once or not at all; what was begun later cannot be there.
"""
import hashlib
import itertools
import random
import re
import ssl
import threading
import time

from wire import Imap, Smtp

NET_ERRORS = (OSError, EOFError, ssl.SSLError, AssertionError)
SHARED = "Archive"
MAILBOXES = ("INBOX", SHARED)  # where mail may be; changes copy and move from the first to the second
SIZES = (200, 3000, 3000, 30000)
LARGE_SIZES = (200, 3000, 30000, 30000, 1500000)
CALM = 90  # seconds in which what was accepted has to arrive: the queue may be waiting for its next attempt
HANG = 60  # seconds after which a client counts as left hanging


class Promise:
    """Something asked for: when it was begun, and when it was answered with yes (None: never)."""

    def __init__(self):
        self.begun, self.kept = time.monotonic_ns(), None

    def answered(self):
        self.kept = time.monotonic_ns()

    def was_begun(self, cut):
        return cut is None or self.begun <= cut

    def was_kept(self, cut):
        return self.kept is not None and (cut is None or self.kept <= cut)


class Message(Promise):
    def __init__(self, recipients, digest):
        super().__init__()
        self.recipients, self.digest = recipients, digest


class Change(Promise):
    """A change of one message in one account's INBOX: flag, expunge, copy or move. Each message sees at most one."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def outcomes(self, cut):
        """The numbers of copies in INBOX and Archive that may be."""
        after = {"flag": (1, 0), "expunge": (0, 0), "copy": (1, 1), "move": (0, 1)}[self.kind]
        return {after} if self.was_kept(cut) else {(1, 0), after}


class Ledger:
    def __init__(self, sizes=SIZES):
        self.lock = threading.Lock()
        self.sizes = sizes
        self.messages = {}   # marker: Message
        self.changes = {}    # (user, marker): Change
        self.mailboxes = {}  # (user, name): [made, gone or None]
        self.shares = {}     # (owner, friend): Promise that the friend may read the owner's SHARED
        self.numbers = itertools.count(1)

    def new_message(self, recipients, rng):
        """(promise, bytes)"""
        marker = f"m{next(self.numbers):07d}"
        body = "".join(f"{marker} line {n} {'x' * 60}\r\n" for n in range(rng.choice(self.sizes) // 80 + 1))
        text = (f"From: load@remote.test\r\nTo: someone@example.test\r\nSubject: {marker}\r\nMessage-ID: <{marker}@remote.test>\r\n"
                f"Date: Sat, 21 Nov 2026 03:42:49 +0000\r\n\r\n{body}").encode()
        message = Message(recipients, hashlib.sha256(body.encode()).digest())
        with self.lock:
            self.messages[marker] = message
        return message, text

    def new_change(self, user, marker, kind):
        """None when the message has seen its change."""
        with self.lock:
            if (user, marker) in self.changes:
                return None
            self.changes[user, marker] = change = Change(kind)
            return change

    def new_share(self, owner, friend):
        """None when the friend may read it already, or may be about to."""
        with self.lock:
            if owner == friend or (owner, friend) in self.shares:
                return None
            self.shares[owner, friend] = share = Promise()
            return share

    def accepted(self):
        with self.lock:
            return sum(message.kept is not None for message in self.messages.values())

    # ---- what must be ----

    def problems(self, found, cut=None):
        """(lost, other): texts. What is lost may still be on its way out of the queue."""
        lost, other = list(found.damaged), []
        for marker, message in self.messages.items():
            for user in message.recipients:
                self._look_at(user, marker, message, found, cut, lost, other)
        for (user, name), (made, gone) in self.mailboxes.items():
            there = name in found.mailboxes.get(user, ())
            if there and not made.was_begun(cut) or there and gone and gone.was_kept(cut):
                other.append(f"{user} has a mailbox {name}")
            if not there and made.was_kept(cut) and not (gone and gone.was_begun(cut)):
                other.append(f"{user} has no mailbox {name}")
        for (owner, friend), share in self.shares.items():
            there = f"Other Users/{owner}/{SHARED}" in found.mailboxes.get(friend, ())
            if there and not share.was_begun(cut):
                other.append(f"{friend} may read what {owner} has not shared")
            if not there and share.was_kept(cut):
                lost.append(f"{friend} does not see what {owner} shares")
        return lost, other

    def _look_at(self, user, marker, message, found, cut, lost, other):
        change = self.changes.get((user, marker))
        change = change if change and change.was_begun(cut) else None
        copies = tuple(len(found.copies.get((user, mailbox, marker), ())) for mailbox in MAILBOXES)
        if not message.was_begun(cut):
            allowed = {(0, 0)}
        elif change:  # whoever could change it had seen it, so it is on disk, whatever its sender was told
            allowed = change.outcomes(cut)
        else:
            allowed = {(1, 0)} if message.was_kept(cut) else {(0, 0), (1, 0)}
        if copies not in allowed:
            text = f"{marker} for {user}: {copies} copies in {MAILBOXES} instead of {sorted(allowed)}" + \
                (f" ({change.kind})" if change else "")
            (lost if sum(copies) < min(map(sum, allowed)) else other).append(text)
        elif change and change.kind == "flag" and change.was_kept(cut) and \
                b"\\Flagged" not in found.copies[user, "INBOX", marker][0]:
            other.append(f"{marker} for {user} has lost its flag")


class Found:
    """What clients see now: copies {(user, mailbox, marker): [flags, …]}, mailboxes {user: {name}}, damaged [text]."""

    def __init__(self, port, accounts, ledger):
        self.copies, self.mailboxes, self.damaged = {}, {}, []
        for user, password in accounts.items():
            with Imap(port, timeout=HANG) as client:
                client.ok(f'LOGIN "{user}" "{password}"')
                listed = client.ok('LIST "" "*"').all(rb'\* LIST \([^)]*\) "/" "?([^"]+)"?$')
                self.mailboxes[user] = {match[1].decode() for match in listed}
                for mailbox in MAILBOXES:
                    self._read(client, user, mailbox, ledger)

    def _read(self, client, user, mailbox, ledger):
        if not client.ok(f"SELECT {mailbox}").find(rb"\* [1-9]\d* EXISTS"):
            return
        for line in client.ok("FETCH 1:* (FLAGS BODY.PEEK[])").untagged:
            match = re.search(rb"\r\nSubject: (m\d{7})\r\n", line)
            if not match:
                continue
            marker = match[1].decode()
            flags = re.search(rb"FLAGS \(([^)]*)\)", line[:match.start()] + line[-200:])
            self.copies.setdefault((user, mailbox, marker), []).append(flags[1] if flags else b"")
            size = re.search(rb"BODY\[\] \{(\d+)\}\r\n", line)
            whole = line[size.end():size.end() + int(size[1])]
            body = whole.partition(b"\r\n\r\n")[2]
            if marker not in ledger.messages or hashlib.sha256(body).digest() != ledger.messages[marker].digest:
                self.damaged.append(f"{marker} in {mailbox} of {user} is not what was sent")


def look(server, ledger, accounts, cut=None, calm=CALM):
    """Problems found in the mailboxes of a running server, as texts. Waits for what the queue still delivers."""
    deadline = time.monotonic() + calm
    pause = 0.02
    while True:
        try:
            lost, other = ledger.problems(Found(server.ports["imap"], accounts, ledger), cut)
        except NET_ERRORS as error:
            lost, other = [f"the mailboxes cannot be read: {repr(error)[:300]}"], []
        if not lost or other or time.monotonic() > deadline:
            return lost + other
        time.sleep(pause)
        pause = min(2 * pause, 1)


class Load:
    """with Load(…): clients that deliver, append and change until the end. Trouble is expected: they connect again.
    `count`: how often each of them does its work; None: until the end."""

    def __init__(self, server, ledger, accounts, seed, count=None):
        self.server, self.ledger, self.accounts, self.count = server, ledger, accounts, count
        self.users = list(accounts)
        self.stopping = threading.Event()
        works = [self._deliver] * 4 + [self._append, self._change, self._change, self._folders, self._share]
        self.threads = [threading.Thread(target=self._run, args=(work, random.Random(seed * 100 + n)), daemon=True)
                        for n, work in enumerate(works)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.wait()

    def wait(self):
        for thread in self.threads:
            thread.join(HANG + 10)
            assert not thread.is_alive(), "a client hangs: the server gave it neither an answer nor a close"

    def _run(self, work, rng):
        left = itertools.count() if self.count is None else iter(range(self.count))
        while not self.stopping.is_set() and next(left, None) is not None:
            try:
                work(rng, left)
            except TimeoutError:
                raise
            except NET_ERRORS:
                time.sleep(0.01)

    def _more(self, left):
        return not self.stopping.is_set() and next(left, None) is not None

    def _deliver(self, rng, left):
        with Smtp(self.server.ports["mx"], timeout=HANG) as client:
            client.ehlo()
            while self._more(left):
                recipients = rng.sample(self.users, rng.choice((1, 1, 1, 2, 3)))
                client.cmd("RSET")
                if any(reply.code != 250 for reply in client.envelope("load@remote.test", recipients)):
                    continue
                message, text = self.ledger.new_message(recipients, rng)
                if client.data(text).code == 250:
                    message.answered()

    def _login(self, rng):
        user = rng.choice(self.users)
        client = Imap(self.server.ports["imap"], timeout=HANG)
        if client.login(user, self.accounts[user]).status == "OK":
            return user, client
        client.close()
        raise EOFError("no login")

    def _append(self, rng, left):
        user, client = self._login(rng)
        with client:
            for _ in range(10):
                if not self._more(left):
                    return
                message, text = self.ledger.new_message([user], rng)
                if client.append("INBOX", text).status == "OK":
                    message.answered()

    def _change(self, rng, left):
        """A change each for some of the newest messages."""
        user, client = self._login(rng)
        with client:
            exists = int(client.ok("SELECT INBOX").find(rb"\* (\d+) EXISTS")[1])
            if not exists:
                return
            newest = client.ok(f"FETCH {max(1, exists - 9)}:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            for line in newest.untagged:
                seen = re.search(rb"UID (\d+).*Subject: (m\d{7})", line, re.S)
                kind = rng.choice(("flag", "expunge", "copy", "move"))
                change = self.ledger.new_change(user, seen[2].decode(), kind) if seen and self._more(left) else None
                if change and self._commands(client, kind, int(seen[1])):
                    change.answered()

    @staticmethod
    def _commands(client, kind, uid):
        commands = {"flag": (f"UID STORE {uid} +FLAGS (\\Flagged)",),
                    "expunge": (f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)", f"UID EXPUNGE {uid}"),
                    "copy": (f"UID COPY {uid} Archive",), "move": (f"UID MOVE {uid} Archive",)}[kind]
        return all(client.cmd(command).status == "OK" for command in commands)

    def _folders(self, rng, left):
        user, client = self._login(rng)
        with client:
            for _ in range(3):
                if not self._more(left):
                    return
                name = f"Box{next(self.ledger.numbers)}"
                promises = self.ledger.mailboxes[user, name] = [Promise(), None]
                if client.cmd(f"CREATE {name}").status != "OK":
                    continue
                promises[0].answered()
                if rng.random() < 0.5:
                    promises[1] = gone = Promise()
                    if client.cmd(f"DELETE {name}").status == "OK":
                        gone.answered()

    def _share(self, rng, left):
        owner, client = self._login(rng)
        with client:
            for _ in range(3):
                if not self._more(left):
                    return
                friend = rng.choice(self.users)
                share = self.ledger.new_share(owner, friend)
                if share and client.cmd(f"SETACL {SHARED} {friend} lr").status == "OK":
                    share.answered()
