"""An IMAP client that knows what it may be told: the connection, the response parser, and the view of one session.

A view keeps what a careful client would keep (UIDs by sequence number, flags, \\Recent, keywords, change numbers) and raises
Wrong when a response breaks a rule of RFC 9051, 3501 or 7162. What is true is the model's business: imap_model.py.
"""
import base64
import re
import socket


class Wrong(AssertionError):
    pass


class Gone(Exception):
    """The server said BYE, or closed the connection."""


class Connection:
    """Whole responses with their literals."""

    def __init__(self, host, port, timeout=20):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # what it said before it closed can still be read

    def _more(self):
        try:
            piece = self.sock.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Gone("the server closed the connection")
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

    def waits(self, seconds):
        """Whether something can be read within that time."""
        if self.data:
            return True
        self.sock.settimeout(seconds)
        try:
            self._more()
            return True
        except (TimeoutError, socket.timeout):
            return False
        finally:
            self.sock.settimeout(20)

    def close(self):
        self.sock.close()


def tokens(text):
    """b'FLAGS (\\Seen) X NIL "a b"' as nested lists; strings and atoms as bytes, NIL as None."""
    stack, at = [[]], 0
    while at < len(text):
        c = text[at:at + 1]
        if c in b" \r\n":
            at += 1
        elif c == b"(":
            stack.append([])
            at += 1
        elif c == b")":
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif c == b'"':
            end = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S).match(text, at)
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", end.group(1)))
            at = end.end()
        elif re.compile(rb"~?\{\d+\}\r\n").match(text, at):
            head = re.compile(rb"~?\{(\d+)\}\r\n").match(text, at)
            at = head.end() + int(head.group(1))
            stack[-1].append(text[head.end():at])
        else:
            atom = re.compile(rb"(?:[^ ()\[\"{]|\[[^\]]*\](?:<\d+>)?)+").match(text, at)
            if not atom:
                raise Wrong(f"not IMAP: {text[at:at + 80]!r}")
            stack[-1].append(None if atom.group() == b"NIL" else atom.group())
            at = atom.end()
    if len(stack) != 1:
        raise Wrong(f"parentheses do not match: {text[:200]!r}")
    return stack[0]


def pairs(items):
    """The items of a FETCH or STATUS as a dict."""
    return dict(zip((name.upper() for name in items[::2]), items[1::2]))


def numbers(text):
    """b"1:3,7" as [1, 2, 3, 7]."""
    found = []
    for piece in text.split(b",") if text else []:
        low, _, high = piece.partition(b":")
        low, high = sorted((int(low), int(high or low)))
        found += range(low, high + 1)
    return found


def utf8_name(name):
    """Modified UTF-7 (RFC 3501 section 5.1.3) as Unicode."""
    def letters(found):
        code = found.group(1).replace(",", "/")
        return base64.b64decode(code + "=" * (-len(code) % 4)).decode("utf-16-be") if code else "&"
    return re.sub("&([^-]*)-", letters, name)


class Answer:
    """The end of a command: status, response code (bytes or None), untagged lines, {uid or number: items} of FETCH."""

    def __init__(self, line, untagged, fetched):
        self.line = line
        self.status = line.split(b" ")[1].decode()
        code = re.match(rb"\S+ \S+ \[([^\]]*)\]", line)
        self.code = code.group(1) if code else None
        self.untagged, self.fetched = untagged, fetched

    def codes(self, name):
        """Arguments of a code in the tagged answer or an untagged OK, or None."""
        for line in [*self.untagged, self.line]:
            found = re.match(rb"\S+ OK \[%s(?: ([^\]]*))?\]" % name, line)
            if found:
                return found.group(1) or b""
        return None

    def data(self, name):
        """What follows "* NAME" of the first such response, as tokens, or None."""
        for line in self.untagged:
            if line.upper().startswith(b"* " + name + b" ") or line.upper() == b"* " + name:
                return tokens(line[3 + len(name):])
        return None


NO_EXPUNGE = ("FETCH", "STORE", "SEARCH", "SORT", "THREAD")  # by sequence number: RFC 9051 section 7.5.1
SYSTEM = {b"\\seen", b"\\answered", b"\\flagged", b"\\deleted", b"\\draft", b"\\recent"}


class Common:
    """What must be the same for all sessions, by mailbox and UID. `recent`: whether to look who has \\Recent; when store dies
    it may forget who had it."""

    def __init__(self, recent=True):
        self.recent = recent
        self.fixed = {}    # (box, uid, item): value
        self.flags = {}    # (box, uid, modseq): flags
        self.holders = {}  # (box, uid): who was told \Recent

    def check(self, view, uid, items):
        for name, value in items.items():
            if name not in (b"FLAGS", b"MODSEQ", b"UID") and self.fixed.setdefault((view.box, uid, name), value) != value:
                view.wrong(f"{name} of UID {uid} was {self.fixed[view.box, uid, name]!r}, is {value!r}")
        flags = frozenset(items.get(b"FLAGS", ())) - {b"\\Recent"}
        if b"FLAGS" in items and b"MODSEQ" in items:
            told = self.flags.setdefault((view.box, uid, int(items[b"MODSEQ"][0])), flags)
            if told != flags:
                view.wrong(f"UID {uid} has {set(flags)} at the MODSEQ at which it had {set(told)}")
        if self.recent and not view.read_only and b"\\Recent" in items.get(b"FLAGS", ()):
            me = (view.name, view.selections)
            if self.holders.setdefault((view.box, uid), me) != me:
                view.wrong(f"\\Recent of UID {uid} is told to {self.holders[view.box, uid]} and to {me}")


class View:
    """One connection and what its client knows. `truth` (set by the model) answers what EXISTS can only mean."""

    selections = 0

    def __init__(self, name, host, port, user, password, log, condstore=False, qresync=False, rev2=False, notify=False, common=None):
        self.name, self.log, self.common = name, log, common
        self.conn = Connection(host, port)
        self.condstore, self.qresync, self.rev2, self.notify = condstore or qresync, qresync, rev2, notify
        self.count, self.leaving, self.bye = 0, False, None
        self.pending = []  # (tag, word, what the client does to its knowledge when the command begins)
        self.forget()
        self.conn.response()
        self.run(f'LOGIN "{user}" "{password}"')
        if qresync:
            self.run("ENABLE QRESYNC")
        elif condstore:
            self.run("ENABLE CONDSTORE")
        if rev2:
            self.run("ENABLE IMAP4rev2")
        if notify:
            self.run("NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange))")

    def forget(self):
        self.selections += 1
        self.box, self.read_only, self.truth = None, False, None
        self.uids = []        # by sequence number; None: not known yet
        self.flags = {}       # uid: frozenset, without \Recent
        self.is_recent = {}   # uid: bool
        self.recent_told = None
        self.silenced = set()  # uids whose flags it cannot work out
        self.keywords = set()
        self.modseq = 0       # the highest change number seen
        self.earlier = []     # VANISHED (EARLIER)

    # ---- what comes ----

    def wrong(self, text):
        raise Wrong(f"{self.name}: {text}")

    def note(self, line):
        self.log.append(f"{self.name} < {line[:400]!r}")
        words = line.split(b" ", 3)
        if line.startswith(b"* BYE"):
            self.bye = line
            if not self.leaving:
                raise Gone(f"{self.name}: {line!r}")
        elif len(words) > 2 and words[1].isdigit():
            number, kind = int(words[1]), words[2].upper()
            if kind == b"EXPUNGE":
                self.expunged(number)
            elif kind == b"EXISTS":
                self.exist(number)
            elif kind == b"RECENT":
                if self.rev2:
                    self.wrong("RECENT after ENABLE IMAP4rev2")
                self.recent_told = number
            elif kind == b"FETCH":
                self.fetched(number, pairs(tokens(words[3])[0]))
            else:
                self.wrong(f"unknown {line!r}")
        elif words[1] == b"VANISHED":
            self.vanished(b"(EARLIER)" in line, words[-1])
        elif words[1] == b"FLAGS":
            self.keywords = {f.lower() for f in tokens(line)[2]} | {b"\\recent"}
        elif words[1] == b"OK":
            if line.startswith(b"* OK [CLOSED]"):
                self.forget()
            code = re.match(rb"\* OK \[HIGHESTMODSEQ (\d+)\]", line)
            self.modseq = max(self.modseq, int(code.group(1))) if code else self.modseq

    def may_expunge(self, what):
        word = self.pending[0][1] if self.pending else None
        if word is None and not self.notify:
            self.wrong(f"{what} while no command was running")
        if word in NO_EXPUNGE:
            self.wrong(f"{what} in the answer to {word}")

    def expunged(self, n):
        self.may_expunge("EXPUNGE")
        if self.qresync:
            self.wrong("EXPUNGE after ENABLE QRESYNC")
        if not 1 <= n <= len(self.uids):
            self.wrong(f"EXPUNGE {n} of {len(self.uids)}")
        self.lost(self.uids.pop(n - 1))

    def lost(self, uid):
        if self.truth and uid in self.truth.alive():
            self.wrong(f"UID {uid} was told to be expunged, but it is there")
        self.flags.pop(uid, None)

    def vanished(self, earlier, uids):
        if not self.qresync:
            self.wrong("VANISHED without QRESYNC")
        uids = numbers(uids)
        if earlier:
            self.earlier += uids
            for uid in uids:
                if uid in self.uids:
                    self.wrong(f"VANISHED (EARLIER) names UID {uid} of the mailbox")
            return
        self.may_expunge("VANISHED")
        for uid in uids:
            if uid in self.uids:
                self.uids.remove(uid)
            else:
                self.uids.pop(self.place_of_unknown(uid))
            self.lost(uid)

    def place_of_unknown(self, uid):
        """Where a message with this UID must stand among those whose UIDs were not told yet."""
        below = max((i for i, u in enumerate(self.uids) if u and u < uid), default=-1)
        if below + 1 >= len(self.uids) or self.uids[below + 1]:
            self.wrong(f"VANISHED {uid} of nothing known")
        return below + 1

    def exist(self, n):
        if n < len(self.uids):
            self.wrong(f"EXISTS {n} after {len(self.uids)}")
        last = self.uids[-1] if self.uids else 0
        if self.truth and last is not None:
            fresh = [uid for uid in self.truth.alive() if uid > last]
            if len(self.uids) + len(fresh) != n:
                self.wrong(f"EXISTS {n}, but {self.uids} and the new {fresh} make {len(self.uids) + len(fresh)}")
            self.uids += fresh
        else:
            self.uids += [None] * (n - len(self.uids))

    def fetched(self, n, items):
        if not 1 <= n <= len(self.uids):
            self.wrong(f"FETCH {n} of {len(self.uids)}")
        if b"UID" in items:
            self.is_uid(n, int(items[b"UID"]))
        uid = self.uids[n - 1]
        if b"FLAGS" in items:
            if self.qresync and b"UID" not in items:
                self.wrong("FETCH without UID after ENABLE QRESYNC")
            if self.condstore and b"MODSEQ" not in items:
                self.wrong("FETCH of flags without MODSEQ after CONDSTORE")
            if uid:
                self.has_flags(uid, items[b"FLAGS"])
        if b"MODSEQ" in items:
            if not self.condstore:
                self.wrong("MODSEQ without CONDSTORE")
            self.modseq = max(self.modseq, int(items[b"MODSEQ"][0]))
        if uid and self.common and self.box and not self.notify:  # with NOTIFY it may be of the mailbox it leaves
            self.common.check(self, uid, items)
        self.now_fetched.setdefault(uid or -n, {}).update(items)

    def is_uid(self, n, uid):
        if self.uids[n - 1] not in (None, uid):
            self.wrong(f"number {n} is UID {self.uids[n - 1]}, the server says {uid}")
        below = [u for u in self.uids[:n - 1] if u]
        above = [u for u in self.uids[n:] if u]
        if (below and below[-1] >= uid) or (above and above[0] <= uid):
            self.wrong(f"UID {uid} out of order at {n}")
        self.uids[n - 1] = uid

    def has_flags(self, uid, flags):
        for flag in flags:
            if flag.lower() not in SYSTEM and flag.lower() not in self.keywords:
                self.wrong(f"keyword {flag!r} before any FLAGS response named it")
        recent = b"\\Recent" in flags
        if recent and self.rev2:
            self.wrong("\\Recent after ENABLE IMAP4rev2")
        if self.is_recent.setdefault(uid, recent) != recent:
            self.wrong(f"\\Recent of UID {uid} has changed")
        self.flags[uid] = frozenset(flags) - {b"\\Recent"}
        if self.truth:
            self.truth.check_flags(self, uid)

    # ---- what goes ----

    def start(self, command, begin=None, literal=None):
        """Sends a command. `begin` is done to what the client knows when the server starts it."""
        self.count += 1
        if self.rev2:  # names of mailboxes are UTF-8 then
            command = re.sub(r'"[^"]*&[^"]*"', lambda name: utf8_name(name.group()), command)
        tag = f"{self.name}{self.count}".encode()
        words = command.split(" ")
        word = words[0].upper() if words[0].upper() != "UID" else "UID " + words[1].upper()
        self.log.append(f"{self.name} > {tag.decode()} {command}")
        self.pending.append((tag, word, begin))
        if len(self.pending) == 1:
            self.begun()
        self.conn.send(tag + b" " + command.encode() + b"\r\n" + (literal + b"\r\n" if literal is not None else b""))
        return tag

    now_fetched = {}

    def begun(self):
        self.now_fetched, self.untagged = {}, []
        if self.pending and self.pending[0][2]:
            self.pending[0][2]()

    def finish(self, allowed=("OK",)):
        """Reads to the end of the oldest command under way."""
        tag, word, _ = self.pending[0]
        while True:
            line = self.conn.response()
            if line.startswith(tag + b" "):
                break
            if not line.startswith(b"* "):
                self.wrong(f"neither untagged nor of {tag}: {line!r}")
            self.untagged.append(line)
            self.note(line)
        self.log.append(f"{self.name} < {line[:400]!r}")
        answer = Answer(line, self.untagged, self.now_fetched)
        if answer.status not in allowed:
            self.wrong(f"{word}: {line!r}")
        modseq = answer.codes(b"HIGHESTMODSEQ")
        self.modseq = max(self.modseq, int(modseq)) if modseq else self.modseq
        self.pending.pop(0)
        self.begun()
        return answer

    def run(self, command, allowed=("OK",), begin=None, literal=None):
        if self.pending:
            self.wrong("the model lost count of its commands")
        self.start(command, begin, literal)
        return self.finish(allowed)

    def idle(self):
        self.start("IDLE")
        while not (line := self.conn.response()).startswith(b"+"):
            self.note(line)

    def idle_news(self, seconds):
        """Takes one response of IDLE; False when none came in time."""
        if not self.conn.waits(seconds):
            return False
        self.note(self.conn.response())
        return True

    def idle_done(self):
        self.conn.send(b"DONE\r\n")
        return self.finish()

    def of(self, uids):
        """The UIDs of a set of sequence numbers [n, …] the client knows."""
        return [self.uids[n - 1] for n in uids]
