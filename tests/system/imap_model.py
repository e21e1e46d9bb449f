"""Several IMAP sessions on one mailbox do random things; a model of each knows what its client may see.

Checked all the time: sequence numbers (every FETCH that names a UID names the one the client counted), EXISTS never
shrinks without EXPUNGE, no EXPUNGE in answers to FETCH, STORE, SEARCH by number, no FETCH of a number not announced.
Checked at rests: every session sees the same UIDs and flags as a new one.

Every third session speaks QRESYNC: VANISHED instead of EXPUNGE, and now and then it leaves the mailbox and comes back with
what it remembers.

Alone:  imap_model.py --port 1143 --user a@example.test --password secret --steps 2000 --seed 1
"""
import argparse
import random
import re
import socket
import sys
import time

FLAGS = [r"\Seen", r"\Answered", r"\Flagged", r"\Deleted", r"\Draft", "Junk", "$Label1", "Old"]
FETCH = re.compile(rb"^\* (\d+) FETCH \((.*)\)$", re.S)


class Wrong(AssertionError):
    pass


class Connection:
    """A line-oriented client: whole responses with their literals."""

    def __init__(self, host, port):
        self.sock = socket.create_connection((host, port), timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        piece = self.sock.recv(65536)
        if not piece:
            raise Wrong("the server closed the connection")
        self.data += piece

    def _take(self, n):
        while len(self.data) < n:
            self._more()
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def response(self):
        """One response without its last CRLF; literals stay inside."""
        whole = b""
        while True:
            while b"\r\n" not in self.data:
                self._more()
            line, self.data = self.data.split(b"\r\n", 1)
            whole += line
            literal = re.search(rb"\{(\d+)\}$", line)
            if not literal:
                return whole
            whole += b"\r\n" + self._take(int(literal.group(1)))


class Session:
    def __init__(self, name, args, log, qresync=False):
        self.name, self.args, self.log, self.qresync = name, args, log, qresync
        self.conn = Connection(args.host, args.port)
        self.count = 0
        self.messages = []  # uid or None, in the order of sequence numbers
        self.flags = {}     # uid: set
        self.codes = {}
        self.conn.response()
        self.run(f'LOGIN "{args.user}" "{args.password}"')
        if qresync:
            self.run("ENABLE QRESYNC")

    # ---- what comes ----

    def note(self, line):
        self.log.append(f"{self.name} < {line[:300]!r}")
        words = line.split(b" ")
        if line.startswith(b"* BYE") and not self.leaving:
            raise Wrong(f"{self.name}: {line!r}")
        if len(words) > 2 and words[2] == b"EXPUNGE":
            if self.qresync:
                raise Wrong(f"{self.name}: EXPUNGE after ENABLE QRESYNC")
            self.expunged(int(words[1]))
        elif len(words) > 2 and words[2] == b"EXISTS":
            self.exist(int(words[1]))
        elif FETCH.match(line):
            self.fetched(*FETCH.match(line).groups())
        elif line.startswith(b"* VANISHED"):
            self.vanished(words[2] == b"(EARLIER)", words[-1])
        for name in (b"UIDVALIDITY", b"HIGHESTMODSEQ"):
            code = re.search(rb"^\* OK \[%s (\d+)\]" % name, line)
            if code:
                self.codes[name] = int(code.group(1))
        modseq = re.search(rb"MODSEQ \((\d+)\)", line)
        if modseq and self.qresync:
            self.codes[b"HIGHESTMODSEQ"] = max(self.codes[b"HIGHESTMODSEQ"], int(modseq.group(1)))

    def vanished(self, earlier, uids):
        if not self.qresync:
            raise Wrong("VANISHED without QRESYNC")
        if self.no_expunge and not earlier:
            raise Wrong(f"{self.name}: VANISHED in the answer to {self.no_expunge}")
        for piece in uids.split(b","):
            low, _, high = piece.partition(b":")
            for uid in range(int(low), int(high or low) + 1):
                if earlier:
                    self.flags.pop(uid, None)
                elif uid in self.messages:
                    self.flags.pop(uid, None)
                    self.messages.remove(uid)
                else:
                    self.messages.pop(self.unknown(uid))

    leaving = False

    def unknown(self, uid):
        """Where a message with this UID must stand among those whose UIDs were not asked for yet."""
        below = max((i for i, u in enumerate(self.messages) if u and u < uid), default=-1)
        if below + 1 >= len(self.messages) or self.messages[below + 1]:
            raise Wrong(f"{self.name}: VANISHED {uid} of nothing known")
        return below + 1

    def expunged(self, n):
        if self.no_expunge:
            raise Wrong(f"{self.name}: EXPUNGE in the answer to {self.no_expunge}")
        if not 1 <= n <= len(self.messages):
            raise Wrong(f"{self.name}: EXPUNGE {n} of {len(self.messages)}")
        self.flags.pop(self.messages.pop(n - 1), None)

    def exist(self, n):
        if n < len(self.messages):
            raise Wrong(f"{self.name}: EXISTS {n} after {len(self.messages)}")
        self.messages += [None] * (n - len(self.messages))

    def fetched(self, n, items):
        n = int(n)
        if not 1 <= n <= len(self.messages):
            raise Wrong(f"{self.name}: FETCH {n} of {len(self.messages)}")
        uid = re.search(rb"(?:^| )UID (\d+)", items)
        if uid:
            uid = int(uid.group(1))
            known = self.messages[n - 1]
            if known not in (None, uid):
                raise Wrong(f"{self.name}: number {n} is UID {known}, the server says {uid}")
            below = [u for u in self.messages[:n - 1] if u]
            above = [u for u in self.messages[n:] if u]
            if (below and max(below) >= uid) or (above and min(above) <= uid):
                raise Wrong(f"{self.name}: UID {uid} out of order at {n}")
            self.messages[n - 1] = uid
        flags = re.search(rb"FLAGS \(([^)]*)\)", items)
        if flags and self.messages[n - 1]:
            self.flags[self.messages[n - 1]] = set(flags.group(1).split()) - {rb"\Recent"}

    # ---- what goes ----

    no_expunge = None
    continuation = b"+"

    def start(self, command):
        self.count += 1
        tag = f"{self.name}{self.count}"
        self.log.append(f"{self.name} > {tag} {command}")
        self.conn.send(f"{tag} {command}".encode() + b"\r\n")
        return tag.encode()

    def finish(self, tag, may_fail=False):
        lines = []
        while True:
            line = self.conn.response()
            self.note(line)
            if line.startswith(tag + b" "):
                break
            lines.append(line)
        status = line[len(tag) + 1:]
        if not status.startswith(b"OK") and not (may_fail and status.startswith(b"NO")):
            raise Wrong(f"{self.name}: {line!r}")
        return lines, status

    def run(self, command, may_fail=False):
        word = command.split(" ")[0].upper()
        self.no_expunge = command if word in ("FETCH", "STORE", "SEARCH") else None
        result = self.finish(self.start(command), may_fail)
        self.no_expunge = None
        return result

    def select(self, mailbox):
        self.messages, self.flags, self.codes = [], {}, {}
        self.run(f"SELECT {mailbox}")

    def come_back(self, mailbox):
        """Leaves, others act, and comes back with what it knew: only the difference may be told (RFC 7162)."""
        self.learn()
        self.run("NOOP")  # what FETCH by number held back: only now the highest change number seen covers it
        known, validity, modseq = dict(self.flags), self.codes[b"UIDVALIDITY"], self.codes[b"HIGHESTMODSEQ"]
        self.run("UNSELECT")
        yield
        self.messages, self.flags, self.codes = [], known, {}
        self.run(f"SELECT {mailbox} (QRESYNC ({validity} {modseq}))")
        remembered = {uid: flags for uid, flags in self.flags.items()}
        self.flags = {}
        self.learn()
        if remembered != self.flags:
            raise Wrong(f"{self.name} came back to {remembered}\nbut there is {self.flags}")

    def learn(self):
        """After this every number has its UID and flags."""
        if self.messages:
            self.run("FETCH 1:* (UID FLAGS)")
        if None in self.messages:  # new ones came with the answer
            self.run("FETCH 1:* (UID FLAGS)")
        if None in self.messages:
            raise Wrong(f"{self.name}: FETCH 1:* left out some messages")

    def state(self):
        return [(uid, sorted(self.flags.get(uid, ()))) for uid in self.messages]


class Story:
    def __init__(self, args):
        self.args, self.rng, self.log = args, random.Random(args.seed), []
        self.boxes = ["model", "model2"]
        first = Session("x", args, self.log)
        for box in self.boxes:
            first.run(f"CREATE {box}", may_fail=True)
        for _ in range(5):
            self.append(first)
        self.sessions = [Session(chr(ord("a") + i), args, self.log, qresync=i % 3 == 2) for i in range(args.sessions)]
        for s in self.sessions:
            s.select("model")
            s.learn()
        self.first = first

    def append(self, s):
        n = self.rng.randrange(1000000)
        text = (f"From: s{n}@example.test\r\nTo: b@example.test\r\nSubject: number {n}\r\n"
                f"Message-ID: <{n}@example.test>\r\n\r\n" + "text\r\n" * self.rng.randrange(20)).encode()
        flags = " ".join(self.rng.sample(FLAGS, self.rng.randrange(3)))
        tag = s.start(f"APPEND model ({flags}) {{{len(text)}+}}")
        s.conn.send(text + b"\r\n")
        s.finish(tag)

    def numbers(self, s):
        """A set of sequence numbers the client knows."""
        n = len(s.messages)
        picked = [str(self.rng.randint(1, n)) for _ in range(self.rng.randint(1, 3))]
        low, high = sorted((self.rng.randint(1, n), self.rng.randint(1, n)))
        return self.rng.choice([",".join(picked), f"{low}:{high}", f"{low}:*", "1:*", "*"])

    def uids(self, s):
        known = [u for u in s.messages if u]
        if not known:
            return "1:*"
        low, high = sorted((self.rng.choice(known), self.rng.choice(known)))
        return self.rng.choice([str(low), f"{low}:{high}", f"{low},{high}", "1:*", f"{high}:*"])

    def step(self):
        s = self.rng.choice(self.sessions)
        what = self.rng.choices(
            [self.do_append, self.do_store, self.do_uid_store, self.do_fetch, self.do_body, self.do_expunge, self.do_uid_expunge,
             self.do_noop, self.do_search, self.do_copy, self.do_move, self.do_select, self.do_idle, self.do_pipeline, self.do_come_back],
            [14, 14, 8, 10, 6, 5, 4, 8, 6, 2, 3, 2, 5, 4, 4])[0]
        what(s)

    def flag_change(self):
        sign = self.rng.choice(["+", "-", ""])
        silent = self.rng.choice(["", ".SILENT"])
        return f"{sign}FLAGS{silent} ({' '.join(self.rng.sample(FLAGS, self.rng.randint(1, 2)))})"

    def do_append(self, s):
        if len(s.messages) < 60:
            self.append(s)

    def forget_flags(self, s, change):
        if ".SILENT" in change:  # the client is to know the outcome itself; here it just asks again
            s.flags = {}

    def do_store(self, s):
        if s.messages:
            change = self.flag_change()
            s.run(f"STORE {self.numbers(s)} {change}")
            self.forget_flags(s, change)

    def do_uid_store(self, s):
        change = self.flag_change()
        s.run(f"UID STORE {self.uids(s)} {change}")
        self.forget_flags(s, change)

    def do_fetch(self, s):
        if s.messages:
            s.run(f"FETCH {self.numbers(s)} (UID FLAGS RFC822.SIZE)")
        else:
            s.run("UID FETCH 1:* (FLAGS)")

    def do_body(self, s):
        if s.messages:
            item = self.rng.choice(["BODY.PEEK[]", "BODY[]", "ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
                                    "BODY.PEEK[TEXT]", "BODY.PEEK[HEADER]", "RFC822.SIZE"])
            s.run(f"FETCH {self.numbers(s)} (UID {item})", may_fail=True)

    def do_expunge(self, s):
        s.run("EXPUNGE")

    def do_uid_expunge(self, s):
        s.run(f"UID EXPUNGE {self.uids(s)}")

    def do_noop(self, s):
        s.run(self.rng.choice(["NOOP", "CHECK"]))

    def do_search(self, s):
        key = self.rng.choice(["ALL", "UNSEEN", "DELETED", "SUBJECT number", "TEXT text", "KEYWORD Junk", "1:*", "OR SEEN FLAGGED",
                               "NOT FROM s1"])
        prefix = self.rng.choice(["", "UID "])
        lines, _ = s.run(f"{prefix}SEARCH {key}")
        found = [int(n) for line in lines if line.startswith(b"* SEARCH") for n in line.split()[2:]]
        if not prefix and found and max(found) > len(s.messages):
            raise Wrong(f"{s.name}: SEARCH found {max(found)} of {len(s.messages)}")

    def do_copy(self, s):
        s.run(f"UID COPY {self.uids(s)} model2")

    def do_move(self, s):
        if s.messages:
            s.run(f"MOVE {self.rng.randint(1, len(s.messages))} model2")

    def do_select(self, s):
        s.select("model")

    def do_come_back(self, s):
        if not s.qresync:
            return
        away = s.come_back("model")
        next(away)
        others = [t for t in self.sessions if t is not s]
        for _ in range(self.rng.randint(1, 6)):
            self.rng.choice([self.do_append, self.do_uid_store, self.do_expunge, self.do_store])(self.rng.choice(others))
        next(away, None)

    def do_idle(self, s):
        tag = s.start("IDLE")
        line = s.conn.response()
        while not line.startswith(b"+"):
            s.note(line)
            line = s.conn.response()
        other = self.rng.choice([t for t in self.sessions if t is not s])
        self.rng.choice([self.do_append, self.do_uid_store, self.do_expunge])(other)
        time.sleep(self.rng.random() * 0.005)
        s.conn.send(b"DONE\r\n")
        s.finish(tag)

    def do_pipeline(self, s):
        if not s.messages:
            return
        n = self.rng.randint(1, len(s.messages))
        s.no_expunge = "pipelined FETCH, STORE, SEARCH"
        tags = [s.start(f"FETCH {n} (UID FLAGS)"), s.start(f"STORE {n} +FLAGS (\\Seen)"), s.start("SEARCH UNSEEN"),
                s.start(f"FETCH {n} (UID FLAGS)")]
        for tag in tags:
            s.finish(tag)
        s.no_expunge = None

    def rest(self):
        """Nobody acts: all sessions must come to the same state as one that just opened the mailbox."""
        self.first.select("model")
        self.first.learn()
        truth = self.first.state()
        for s in self.sessions:
            s.run("NOOP")
            known = {uid: flags for uid, flags in s.flags.items()}
            s.learn()
            if s.state() != truth:
                raise Wrong(f"{s.name} sees {s.state()}\nbut there is {truth}")
            for uid, flags in known.items():
                if flags != s.flags.get(uid):
                    raise Wrong(f"{s.name} was not told that the flags of UID {uid} became {s.flags.get(uid)}, it knew {flags}")
        self.first.run("CLOSE" if not any(rb"\Deleted" in f for _, f in truth) else "UNSELECT")

    def play(self):
        for step in range(self.args.steps):
            try:
                self.step()
                if step % 50 == 49:
                    self.rest()
            except Exception:
                print(f"seed {self.args.seed}, step {step}:", *self.log[-self.args.context:], sep="\n  ", file=sys.stderr)
                raise
        for s in self.sessions:
            s.leaving = True
            s.run("LOGOUT")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--context", type=int, default=60, help="lines of the protocol shown when it fails")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    print(f"seed {args.seed}")
    Story(args).play()
    print("ok")


if __name__ == "__main__":
    main()
