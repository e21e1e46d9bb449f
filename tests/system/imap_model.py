"""Several IMAP sessions on a few mailboxes do random things, mail is delivered meanwhile; a model knows what each may see.

Most of the time one thing happens after the other, so the model knows exactly what is in every mailbox (struct Box) and each
answer is checked against it: numbers, UIDs, flags, COPYUID, MODIFIED, CHANGEDSINCE, STATUS, SEARCH, what IDLE tells, what
QRESYNC tells a client that comes back with what it knew some time ago. In between all sessions send several commands at once
(do_burst): then only the rules of imap_view.py hold; after it the model looks at what came out, and every session must have
been told so.

Alone:  imap_model.py --port 1143 --user a@example.test --password secret --steps 2000 --seed 1 [--mx 1025]
"""
import argparse
import random
import re
import smtplib
import sys
import time

from imap_view import Common, Gone, View, Wrong, numbers, pairs, tokens

FLAGS = [rb"\Seen", rb"\Answered", rb"\Flagged", rb"\Deleted", rb"\Draft", b"Junk", b"$Label1", b"Old"]
NEWS_S = 2.0        # IDLE may take that long to tell (the machine may be busy); how long it takes is bench/'s business
MESSAGES_MAX = 40   # of a mailbox, about
SNAPSHOTS = 12      # what clients remember for QRESYNC


class Message:
    def __init__(self, uid, number, flags, size=None):
        self.uid, self.number, self.flags, self.size = uid, number, frozenset(flags), size
        self.modseq, self.dirty = None, True


class Box:
    """What is true of one mailbox."""

    def __init__(self, name):
        self.name = name
        self.validity, self.next, self.modseq = 0, 1, 0
        self.messages = {}
        self.changed = True  # since its change numbers were looked at

    def alive(self):
        return list(self.messages)

    def add(self, uid, number, flags, size=None):
        self.messages[uid] = Message(uid, number, flags, size)
        self.next, self.changed = uid + 1, True

    def remove(self, uid):
        del self.messages[uid]
        self.changed = True

    def set_flags(self, uid, flags):
        m = self.messages[uid]
        if m.flags != frozenset(flags):
            m.flags, m.dirty, self.changed = frozenset(flags), True, True

    def check_flags(self, view, uid):
        m = self.messages.get(uid)
        if m and view.flags[uid] != m.flags:
            view.wrong(f"UID {uid} has {set(m.flags)}, told was {set(view.flags[uid])}")


def change_of(mode, flags):
    """What a STORE does to flags."""
    flags = frozenset(flags)
    return {"+": lambda old: old | flags, "-": lambda old: old - flags, "": lambda old: flags}[mode]


def uid_set(rng, uids, top):
    """A random UID set and the UIDs below `top` it may name."""
    low, high = sorted((rng.choice(uids), rng.choice(uids))) if uids else (1, 1)
    some = sorted(rng.sample(uids, min(len(uids), rng.randint(1, 4)))) if uids else [1]
    text, named = rng.choice([(f"{low}", [low]), (f"{low}:{high}", range(low, high + 1)), (f"{high}:{low}", range(low, high + 1)),
                              (",".join(map(str, some)), some), ("1:*", range(1, top)), ("*", uids[-1:]),
                              (f"{high}:*", range(high, top)), (f"{top + 5}:*", uids[-1:]), (f"{low}:{low},{high}", [low, high])])
    return text, [uid for uid in uids if uid in named]


class Story:
    def __init__(self, args):
        self.args, self.rng, self.log = args, random.Random(args.seed), []
        self.certain, self.number, self.snapshots, self.names = True, 0, [], 0
        self.renamed = 0
        self.common = Common(recent=not args.restart)
        self.observer = self.view("x")
        self.boxes = [Box("INBOX"), Box("model"), Box("Gr&APYA3w-e &- Co")]
        for box in self.boxes:
            self.open_box(box)
        self.sessions = [self.new_session(i) for i in range(args.sessions)]
        for _ in range(4):
            self.do_append(self.sessions[0])

    # ---- sessions ----

    def view(self, name, **options):
        return View(name, self.args.host, self.args.port, self.args.user, self.args.password, self.log, common=self.common, **options)

    def new_session(self, i):
        self.names += 1
        s = self.view(f"{chr(ord('a') + i)}{self.names}_", condstore=i % 3 == 1, qresync=i % 3 == 2, rev2=i % 4 == 3, notify=i % 5 == 4)
        s.place = i
        self.select(s, self.rng.choice(self.boxes[:2]))
        return s

    def replace(self, s):
        """The server has sent it away; it comes again."""
        s.conn.close()
        self.sessions[s.place] = fresh = self.new_session(s.place)
        return fresh

    def open_box(self, box):
        """A mailbox that is new, or was there before this story."""
        if box.name != "INBOX":
            self.observer.run(f'CREATE "{box.name}"', allowed=("OK", "NO"))
        self.look_into(box, learn=True)

    def select(self, s, box, examine=False):
        if not (s.notify and s.box):  # with NOTIFY it may hear of the old mailbox until [CLOSED]
            s.forget()
        s.box, s.read_only = box, examine
        answer = s.run(f'{"EXAMINE" if examine else "SELECT"} "{box.name}"')
        self.opened(s, box, answer)

    def opened(self, s, box, answer):
        s.box, s.read_only = box, answer.code == b"READ-ONLY"
        if len(s.uids) != len(box.messages):
            s.wrong(f"EXISTS {len(s.uids)}, there are {len(box.messages)}")
        s.uids = box.alive()
        s.truth = self.truth_of(s)
        self.equal(s, "UIDVALIDITY", int(answer.codes(b"UIDVALIDITY")), box.validity)
        self.equal(s, "UIDNEXT", int(answer.codes(b"UIDNEXT")), box.next)
        unseen = [i + 1 for i, m in enumerate(box.messages.values()) if rb"\Seen" not in m.flags]
        if answer.codes(b"UNSEEN"):
            self.equal(s, "UNSEEN", int(answer.codes(b"UNSEEN")), unseen[0] if unseen else 0)
        if s.read_only and tokens(answer.codes(b"PERMANENTFLAGS") or b"()") != [[]]:
            s.wrong("PERMANENTFLAGS of a read-only mailbox")

    @staticmethod
    def truth_of(s):
        """What a session is told at any time may be old already when it reads it."""
        return None if s.notify else s.box

    @staticmethod
    def equal(s, what, told, true):
        if told != true:
            s.wrong(f"{what} {told} instead of {true}")

    def others(self, s):
        return [t for t in self.sessions if t is not s]

    # ---- what is true ----

    def up(self):
        """After a restart of store the first commands without a mailbox may come too early."""
        deadline = time.monotonic() + 10
        while self.observer.run("STATUS INBOX (MESSAGES)", allowed=("OK", "NO")).status == "NO":
            if time.monotonic() > deadline:
                raise Wrong("store does not come back")
            time.sleep(0.05)

    def look_into(self, box, learn=False):
        """The change numbers as an uninvolved session sees them; with `learn` also all that a burst has done."""
        x = self.observer
        x.forget()
        answer = x.run(f'EXAMINE "{box.name}" (CONDSTORE)')
        x.condstore = True
        highest = int(answer.codes(b"HIGHESTMODSEQ"))
        found = x.run("UID FETCH 1:* (UID FLAGS MODSEQ RFC822.SIZE)").fetched
        if learn:
            self.learn(box, answer, found)
        self.equal(x, f"UIDs of {box.name}", list(found), box.alive())
        self.equal(x, "UIDNEXT", int(answer.codes(b"UIDNEXT")), box.next)
        for uid, items in found.items():
            self.look_at(x, box, box.messages[uid], items)
        if highest < max((m.modseq for m in box.messages.values()), default=0) or (highest < box.modseq):
            x.wrong(f"HIGHESTMODSEQ {highest} was {box.modseq}")
        if not learn and box.changed != (highest > box.modseq):
            x.wrong(f"HIGHESTMODSEQ {highest} after {box.modseq}, changed: {box.changed}")
        box.modseq, box.changed = highest, False
        x.run("UNSELECT")

    def look_at(self, x, box, m, items):
        modseq, size = int(items[b"MODSEQ"][0]), int(items[b"RFC822.SIZE"])
        self.equal(x, f"flags of {m.uid}", frozenset(items[b"FLAGS"]) - {rb"\Recent"}, m.flags)
        self.equal(x, f"size of {m.uid}", size, m.size or size)
        if m.dirty and modseq <= box.modseq:
            x.wrong(f"UID {m.uid} has changed, its MODSEQ {modseq} is not above {box.modseq}")
        if not m.dirty and modseq != m.modseq:
            x.wrong(f"UID {m.uid} has not changed, its MODSEQ {m.modseq} became {modseq}")
        m.modseq, m.size, m.dirty = modseq, size, False

    def learn(self, box, answer, found):
        """After a burst: the messages and flags are what they are, but nothing may have come back or changed its number."""
        box.validity = box.validity or int(answer.codes(b"UIDVALIDITY"))
        self.equal(self.observer, "UIDVALIDITY", int(answer.codes(b"UIDVALIDITY")), box.validity)
        fresh = [uid for uid in found if uid not in box.messages]
        if fresh and fresh[0] < box.next:
            self.observer.wrong(f"UID {fresh[0]} below the old UIDNEXT {box.next}")
        for uid in [uid for uid in box.messages if uid not in found]:
            box.remove(uid)
        if fresh:
            told = self.observer.run(f"UID FETCH {','.join(map(str, fresh))} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").fetched
        for uid in fresh:
            subject = next(v for k, v in told[uid].items() if k.startswith(b"BODY["))
            digits = subject.split()[-1:] or [b"0"]
            box.add(uid, int(digits[0]) if digits[0].isdigit() else 0, [])
        for uid, items in found.items():
            m = box.messages[uid]
            m.dirty = m.dirty or int(items[b"MODSEQ"][0]) > m.modseq  # there and back again
            box.set_flags(uid, frozenset(items[b"FLAGS"]) - {rb"\Recent"})
        box.next = int(answer.codes(b"UIDNEXT"))

    def settled(self, s, fill=True):
        """What a session knows after a command that tells everything."""
        if s.box is None:
            return
        if [u for u in s.uids if u] != [u for u, v in zip(s.box.alive(), s.uids) if v] or len(s.uids) != len(s.box.messages):
            s.wrong(f"sees {s.uids}, there are {s.box.alive()}")
        if fill:
            s.uids = s.box.alive()
        for uid in s.silenced:
            s.flags.pop(uid, None)
        s.silenced = set()
        for uid, flags in s.flags.items():
            if flags is not None and flags != s.box.messages[uid].flags:
                s.wrong(f"was not told that UID {uid} has {set(s.box.messages[uid].flags)}, it knows {set(flags)}")
        if s.recent_told is not None and all(uid in s.is_recent for uid in s.uids):
            self.equal(s, "RECENT", s.recent_told, sum(s.is_recent[uid] for uid in s.uids))

    def noop(self, s):
        s.run(self.rng.choice(["NOOP", "NOOP", "CHECK"]) if s.box else "NOOP")
        self.settled(s)

    # ---- sets ----

    def pick(self, s):
        """A set of messages as a command names them: "STORE 1:3" or "UID STORE 7,9"; and the UIDs the client means."""
        known = [u for u in s.uids if u]
        if self.rng.random() < 0.5 or not s.uids or s.notify:
            text, uids = uid_set(self.rng, known, (known[-1] + 1) if known else 1)
            return "UID ", text, uids
        n = len(s.uids)
        seqs = [self.rng.randint(1, n) for _ in range(self.rng.randint(1, 3))]
        low, high = sorted((self.rng.randint(1, n), self.rng.randint(1, n)))
        text, named = self.rng.choice([(",".join(map(str, seqs)), seqs), (f"{low}:{high}", range(low, high + 1)),
                                       (f"*:{low}", range(low, n + 1)), ("1:*", range(1, n + 1)), ("*", [n])])
        return "", text, s.of(sorted(set(named)))

    def there(self, s, uids):
        return [uid for uid in uids if uid in s.box.messages]

    # ---- the steps ----

    STEPS = {"append": 12, "deliver": 5, "store": 20, "conditional": 6, "fetch": 10, "changed": 4, "body": 5, "expunge": 5,
             "uid_expunge": 4, "noop": 8, "search": 6, "copy": 4, "move": 4, "status": 4, "select": 4, "leave": 2, "idle": 6,
             "come_back": 6, "burst": 3, "rename": 1, "delete": 1, "reconnect": 1, "restart": 1, "multiappend": 3, "replace": 4,
             "sort": 3, "thread": 3, "saved": 3, "hear": 5, "vanish": 3}

    def step(self):
        weights = {**self.STEPS, **{name: 10 for name in [getattr(self.args, "often", None)] if name}}
        what = self.rng.choices(list(weights), list(weights.values()))[0]
        s = self.rng.choice(self.sessions)
        self.listen(s)
        getattr(self, "do_" + what)(s)

    def listen(self, s):
        """NOTIFY: what it acts on is what there is, not what there was when it read last."""
        if s.notify and s.box:
            s.run("NOOP")
            self.settled(s)

    def text(self):
        self.number += 1
        n = self.number
        return n, (f"From: s{n}@example.test\r\nTo: b@example.test\r\nSubject: number {n}\r\n"
                   f"Message-ID: <{n}.{self.args.seed}@example.test>\r\n\r\n" + "text\r\n" * self.rng.randrange(20)).encode()

    def do_append(self, s):
        box = s.box if s.box and self.rng.random() < 0.7 else self.rng.choice(self.boxes)
        if len(box.messages) > MESSAGES_MAX:
            return
        n, text = self.text()
        flags = self.rng.sample(FLAGS, self.rng.randrange(3))
        uid = box.next
        box.add(uid, n, flags, len(text))
        answer = s.run(f'APPEND "{box.name}" ({b" ".join(flags).decode()}) {{{len(text)}+}}', literal=text)
        self.equal(s, "APPENDUID", answer.code, b"APPENDUID %d %d" % (box.validity, uid))
        self.settled(s)

    def do_multiappend(self, s):
        box = self.rng.choice(self.boxes)
        if len(box.messages) > MESSAGES_MAX:
            return
        first, line = box.next, ""
        texts = [self.text() for _ in range(self.rng.randint(2, 3))]
        rest = b""
        for i, (n, text) in enumerate(texts):
            flags = self.rng.sample(FLAGS, self.rng.randrange(3))
            box.add(box.next, n, flags, len(text))
            head = f" ({b' '.join(flags).decode()}) {{{len(text)}+}}"
            if i == 0:
                line = head
            else:
                rest += head.encode() + b"\r\n"
            rest += text
        answer = s.run(f'APPEND "{box.name}"{line}', literal=rest)
        self.equal(s, "APPENDUID", answer.code, b"APPENDUID %d %d:%d" % (box.validity, first, box.next - 1))
        self.settled(s)

    def do_replace(self, s):
        """One message goes, another comes, in one commit (RFC 8508)."""
        box = self.rng.choice(self.boxes)
        known = self.there(s, [u for u in s.uids if u]) if s.box else []
        if not known or s.read_only:
            return
        old = self.rng.choice(known)
        by_uid = s.notify or self.rng.random() < 0.5
        command = f"UID REPLACE {old}" if by_uid else f"REPLACE {s.uids.index(old) + 1}"
        n, text = self.text()
        uid = box.next
        box.add(uid, n, [], len(text))
        s.box.remove(old)
        answer = s.run(f'{command} "{box.name}" {{{len(text)}+}}', literal=text)
        self.equal(s, "APPENDUID", answer.codes(b"APPENDUID"), b"%d %d" % (box.validity, uid))
        self.settled(s)

    def do_sort(self, s):
        if not s.box:
            return
        self.look_into(s.box)
        before = [u for u in s.uids if u]
        answer = s.run("UID SORT (REVERSE SIZE) UTF-8 ALL")
        found = [int(n) for n in (answer.data(b"SORT") or [])]
        before = [u or 0 for u in s.uids] if s.notify else before  # it may have been told of some first
        if sorted(u for u in found if u in s.box.messages) != self.there(s, before):
            s.wrong(f"SORT has {found} of {before}")
        sizes = [s.box.messages[u].size for u in found if u in s.box.messages]
        if sizes != sorted(sizes, reverse=True):
            s.wrong(f"SORT by size: {sizes}")

    def do_thread(self, s):
        if not s.box:
            return
        before = [u or 0 for u in s.uids]
        answer = s.run(f"UID THREAD {self.rng.choice(['REFERENCES', 'REFS', 'ORDEREDSUBJECT'])} UTF-8 ALL")
        found = sorted(int(n) for line in answer.untagged if line.startswith(b"* THREAD") for n in re.findall(rb"\d+", line))
        if [u for u in found if u in s.box.messages] != self.there(s, before):
            s.wrong(f"THREAD has {found} of {before}")

    def do_vanish(self, s):
        """A client goes in the middle of commands that change nothing; another one comes."""
        whole = "UID FETCH 1:* (FLAGS BODY.PEEK[])" if s.box else "NOOP"
        for command in self.rng.sample([whole, "UID SEARCH TEXT number" if s.box else "NOOP", "IDLE", 'LIST "" "*"',
                                        f'APPEND "{self.boxes[0].name}" {{1000+}}'], self.rng.randint(1, 3)):
            s.start(command, literal=b"Subject: half of" if command.startswith("APPEND") else None)
        self.replace(s)

    def do_saved(self, s):
        """SEARCH RETURN (SAVE), then $ (RFC 5182); what goes meanwhile is not in it any more."""
        if not s.box:
            return
        before = [u for u in s.uids if u]
        flag = self.rng.choice(["SEEN", "FLAGGED", "DELETED"])
        found = [u for u in self.there(s, before) if b"\\" + flag.capitalize().encode() in s.box.messages[u].flags]
        s.run(f"UID SEARCH RETURN (SAVE) {flag}")
        if self.rng.random() < 0.5:
            self.act(self.rng.choice(self.others(s)))
        self.listen(s)
        answer = s.run("UID FETCH $ (UID RFC822.SIZE)")
        told = [u for u, items in answer.fetched.items() if b"RFC822.SIZE" in items and u in s.box.messages]
        self.equal(s, f"$ of {flag}", told, self.there(s, found))

    def do_hear(self, s):
        """NOTIFY: without any command."""
        if s.notify and s.box:
            self.act(self.rng.choice(self.others(s)))
            self.hears(s)

    def do_deliver(self, s):
        box = self.boxes[0]
        if not self.args.mx or len(box.messages) > MESSAGES_MAX:
            return
        self.deliver()
        box.add(box.next, self.number, [])

    def deliver(self):
        n, text = self.text()
        with smtplib.SMTP(self.args.host, self.args.mx, timeout=20) as client:
            client.sendmail(f"s{n}@remote.test", [self.args.user], text)

    def do_store(self, s):
        if not s.box:
            return
        uid, text, uids = self.pick(s)
        mode, flags = self.rng.choice(["+", "-", ""]), self.rng.sample(FLAGS, self.rng.randint(1, 2))
        silent = self.rng.random() < 0.5
        command = f"{uid}STORE {text} {mode}FLAGS{'.SILENT' if silent else ''} ({b' '.join(flags).decode()})"
        if s.read_only:
            s.run(command, allowed=("NO",))
            return
        change = change_of(mode, flags)
        for u in self.there(s, uids):
            s.box.set_flags(u, change(s.box.messages[u].flags))
        answer = s.run(command, begin=lambda: self.believe(s, uids, change) if silent else None, allowed=("OK", "NO"))
        self.may_have_failed(s, answer, uids)
        for u in self.there(s, uids):
            if not silent and b"FLAGS" not in answer.fetched.get(u, {}):
                s.wrong(f"STORE has not told the flags of UID {u}")
            if silent and s.condstore and b"MODSEQ" not in answer.fetched.get(u, {}):
                s.wrong(f"STORE.SILENT has not told the MODSEQ of UID {u}")

    def may_have_failed(self, s, answer, uids):
        """NO only when some of the messages are gone already."""
        if answer.status == "NO" and (self.there(s, uids) == uids or answer.code != b"EXPUNGEISSUED"):
            s.wrong(f"{answer.line!r}, though all were there")

    @staticmethod
    def believe(s, uids, change):
        """.SILENT: the client works out the flags itself. With NOTIFY it cannot: what it is told next may be older."""
        for uid in uids:
            if s.notify:
                s.silenced.add(uid)
            elif s.flags.get(uid) is not None:
                s.flags[uid] = change(s.flags[uid])

    def do_conditional(self, s):
        if not s.box or not s.condstore or s.read_only or not s.box.messages:
            return
        self.look_into(s.box)
        uid, text, uids = self.pick(s)
        since = self.rng.choice([0, s.box.modseq, *[m.modseq for m in s.box.messages.values()]])
        mode, flags = self.rng.choice(["+", "-", ""]), self.rng.sample(FLAGS, self.rng.randint(1, 2))
        silent = self.rng.random() < 0.5
        change = change_of(mode, flags)
        done = [u for u in self.there(s, uids) if s.box.messages[u].modseq <= since]
        left = [u for u in self.there(s, uids) if s.box.messages[u].modseq > since]
        for u in done:
            s.box.set_flags(u, change(s.box.messages[u].flags))
        answer = s.run(f"{uid}STORE {text} (UNCHANGEDSINCE {since}) {mode}FLAGS{'.SILENT' if silent else ''} "
                       f"({b' '.join(flags).decode()})", allowed=("OK", "NO"),
                       begin=lambda: self.believe(s, done, change) if silent else None)
        told = numbers(answer.codes(b"MODIFIED") or b"")
        if not uid:
            told = s.of(told)
        self.equal(s, "MODIFIED", [u for u in told if u in s.box.messages], left)
        for u in done:
            if b"MODSEQ" not in answer.fetched.get(u, {}):
                s.wrong(f"conditional STORE has not told the MODSEQ of UID {u}")

    def do_fetch(self, s):
        if not s.box:
            return
        uid, text, uids = self.pick(s)
        items = self.rng.choice(["(UID FLAGS)", "FLAGS", "(FLAGS RFC822.SIZE)", "FAST", "(UID INTERNALDATE FLAGS)", "RFC822.SIZE",
                                 "(UID BODYSTRUCTURE)", "ENVELOPE", "ALL", "FULL", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)] UID)"])
        answer = s.run(f"{uid}FETCH {text} {items}", allowed=("OK", "NO"))
        self.may_have_failed(s, answer, uids)
        for u in self.there(s, uids):
            told = answer.fetched.get(u)
            if told is None:
                s.wrong(f"UID {u} is missing in the answer")
            m = s.box.messages[u]
            if b"RFC822.SIZE" in told and m.size:
                self.equal(s, f"size of {u}", int(told[b"RFC822.SIZE"]), m.size)
            if b"ENVELOPE" in told:
                self.equal(s, f"subject of {u}", told[b"ENVELOPE"][1], b"number %d" % m.number)

    def do_changed(self, s):
        """FETCH … (CHANGEDSINCE n): exactly those that changed."""
        if not s.box or not s.condstore:
            return
        self.look_into(s.box)
        since = self.rng.choice([1, s.box.modseq, *[m.modseq for m in s.box.messages.values()]])
        vanished = " VANISHED" if s.qresync and self.rng.random() < 0.5 else ""
        s.earlier, known, low = [], list(s.uids), self.rng.randint(1, s.box.next)
        answer = s.run(f"UID FETCH {low}:* (FLAGS) (CHANGEDSINCE {since}{vanished})")
        told = [u for u in answer.fetched if u in s.box.messages]
        due = [u for u, m in s.box.messages.items() if m.modseq > since and u >= low]
        if not set(due) & set(known) <= set(told):  # news may come with it
            s.wrong(f"CHANGEDSINCE {since} told {told}, changed are {due}")
        if set(s.earlier) & set(s.box.messages) or (s.earlier and min(s.earlier) < low):
            s.wrong(f"VANISHED (EARLIER) {s.earlier} for {low}:*, there are {s.box.alive()}")
        old = next((uids for box, modseq, uids, _ in self.snapshots if box is s.box and modseq >= since), [])
        if vanished and not {u for u in old if u >= low} <= {*s.box.messages, *s.earlier, *known}:
            s.wrong(f"VANISHED (EARLIER) {s.earlier} for {low}:* and {since}: once there were {old}")

    def do_body(self, s):
        if not s.box:
            return
        uid, text, uids = self.pick(s)
        item, marks = self.rng.choice([("BODY.PEEK[]", False), ("BODY[]", True), ("RFC822", True), ("BODY[TEXT]", True),
                                       ("BODY.PEEK[HEADER]", False), ("RFC822.HEADER", False), ("BODY[]<0.20>", True)])
        if marks and not s.read_only:
            for u in self.there(s, uids):
                s.box.set_flags(u, s.box.messages[u].flags | {rb"\Seen"})
        answer = s.run(f"{uid}FETCH {text} (UID {item})", allowed=("OK", "NO"))
        self.may_have_failed(s, answer, uids)
        for u in self.there(s, uids):
            told = [v for k, v in answer.fetched.get(u, {}).items() if k.startswith((b"BODY[", b"RFC822"))]
            if len(told) != 1 or told[0] is None:
                s.wrong(f"UID {u} came without {item}")
            if item in ("BODY.PEEK[]", "BODY[]", "RFC822", "RFC822.HEADER", "BODY.PEEK[HEADER]") and (
                    b"Subject: number %d\r\n" % s.box.messages[u].number not in told[0]):
                s.wrong(f"{item} of UID {u} is another message's: {told[0][:200]!r}")

    def do_expunge(self, s):
        if not s.box:
            return
        if s.read_only:
            s.run("EXPUNGE", allowed=("NO",))
            return
        for u in [u for u, m in s.box.messages.items() if rb"\Deleted" in m.flags]:
            s.box.remove(u)
        s.run("EXPUNGE")
        self.settled(s)

    def do_uid_expunge(self, s):
        if not s.box or s.read_only:
            return
        known = [u for u in s.uids if u]
        text, uids = uid_set(self.rng, known, (known[-1] + 1) if known else 1)
        for u in self.there(s, uids):
            if rb"\Deleted" in s.box.messages[u].flags:
                s.box.remove(u)
        s.run(f"UID EXPUNGE {text}")
        self.settled(s)

    def do_noop(self, s):
        self.noop(s)

    def do_search(self, s):
        if not s.box:
            return
        box, rng = s.box, self.rng
        flag, n = rng.choice(FLAGS), rng.randint(1, self.number)
        known = [u for u in s.uids if u]
        uid_text, uids = uid_set(rng, known, (known[-1] + 1) if known else 1)
        word = flag.decode().lstrip("\\") if flag.startswith(b"\\") else f"KEYWORD {flag.decode()}"
        unword = "UN" + word
        keys = [("ALL", lambda m: True), (word.upper() if flag.startswith(b"\\") else word, lambda m: flag in m.flags),
                (unword, lambda m: flag not in m.flags), (f'SUBJECT "number {n}"', lambda m: str(m.number).startswith(str(n))),
                (f"FROM s{n}@", lambda m: m.number == n), (f"UID {uid_text}", lambda m: m.uid in uids),
                (f"NOT FROM s{n}@", lambda m: m.number != n), (f"OR FLAGGED FROM s{n}@", lambda m: rb"\Flagged" in m.flags or m.number == n),
                ("TEXT example.test", lambda m: True), (f"LARGER {200 + n % 100}", lambda m: m.size > 200 + n % 100)]
        if not all(m.size for m in box.messages.values()):
            self.look_into(box)
        (key, test), (key2, test2) = rng.choice(keys), rng.choice(keys)
        if rng.random() < 0.5:
            key, test2 = key, lambda m: True
        else:
            key = f"{key} {key2}"
        by_uid = rng.random() < 0.5
        must = [u for u in s.uids if u in box.messages and test(box.messages[u]) and test2(box.messages[u])]
        count = len(s.uids)
        before = list(s.uids)
        answer = s.run(f"{'UID ' if by_uid else ''}SEARCH {rng.choice(['', 'RETURN (ALL) ', 'RETURN (COUNT ALL) '])}{key}")
        found = []
        for line in answer.untagged:
            if line.startswith(b"* SEARCH"):
                found += [int(n) for n in line.split()[2:] if n.isdigit()]
            elif line.startswith(b"* ESEARCH"):
                words = line.split()
                found += numbers(words[words.index(b"ALL") + 1]) if b"ALL" in words else []
        if not by_uid:
            if found and max(found) > count:
                s.wrong(f"SEARCH found {max(found)} of {count}")
            found = [before[n - 1] for n in found]
        gone = [u for u in before if u not in box.messages]
        self.equal(s, f"SEARCH {key}", [u for u in found if u not in gone], must)

    def do_copy(self, s, move=False):
        box = self.rng.choice(self.boxes)
        if not s.box or len(box.messages) > MESSAGES_MAX or (move and s.read_only):
            return
        uid, text, uids = self.pick(s)
        there = self.there(s, uids)
        complete = there == uids
        target = range(box.next, box.next + len(there))
        before = dict(s.box.messages)
        if complete or uid:
            for u, fresh in zip(there, target):
                m = s.box.messages[u]
                box.add(fresh, m.number, m.flags, m.size)
                if move:
                    s.box.remove(u)
        answer = s.run(f'{uid}{"MOVE" if move else "COPY"} {text} "{box.name}"', allowed=("OK",) if complete or uid else ("NO",))
        if answer.status == "NO":
            self.may_have_failed(s, answer, uids)
            return
        told = answer.codes(b"COPYUID")
        if not there:
            self.equal(s, "COPYUID", told, None)
            return
        validity, source, new = told.split(b" ")
        self.equal(s, "COPYUID", (int(validity), numbers(source), numbers(new)), (box.validity, there, list(target)))
        if move:
            self.settled(s)
        del before

    def do_move(self, s):
        self.do_copy(s, move=True)

    def do_status(self, s):
        box = self.rng.choice(self.boxes)
        self.look_into(box)
        answer = s.run(f'STATUS "{box.name}" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE{" HIGHESTMODSEQ" if s.condstore else ""})')
        told = {k: int(v) for k, v in pairs(answer.data(b"STATUS")[1]).items()}
        true = {b"MESSAGES": len(box.messages), b"UIDNEXT": box.next, b"UIDVALIDITY": box.validity,
                b"UNSEEN": sum(rb"\Seen" not in m.flags for m in box.messages.values()),
                b"SIZE": sum(m.size for m in box.messages.values())}
        if s.condstore:
            true[b"HIGHESTMODSEQ"] = box.modseq
        self.equal(s, f"STATUS {box.name}", told, true)

    def do_select(self, s):
        self.remember(s)
        self.select(s, self.rng.choice(self.boxes), examine=self.rng.random() < 0.2)

    def do_leave(self, s):
        if not s.box:
            return
        self.remember(s)
        how = self.rng.choice(["CLOSE", "UNSELECT"])
        if how == "CLOSE" and not s.read_only:
            for u in [u for u, m in s.box.messages.items() if rb"\Deleted" in m.flags]:
                s.box.remove(u)
        box, s.truth = s.box, None
        answer = s.run(how)
        if any(b"EXPUNGE" in line or b"VANISHED" in line for line in answer.untagged):
            s.wrong(f"{how} told of expunges")
        s.forget()
        if self.rng.random() < 0.7:
            self.select(s, box)

    def do_idle(self, s):
        if not s.box:
            return
        s.idle()
        s.truth = None  # what it is told now may be old already
        for _ in range(self.rng.randint(1, 3)):
            self.act(self.rng.choice(self.others(s)))
            self.hears(s)
        s.idle_done()
        self.settled(s)
        s.truth = self.truth_of(s)

    def hears(self, s):
        """In IDLE or with NOTIFY: until what it knows is what is there."""
        deadline = time.monotonic() + NEWS_S
        while True:
            try:
                self.settled(s, fill=False)  # which messages the new numbers are it cannot know yet
                return
            except Wrong:
                if time.monotonic() > deadline:
                    raise
            s.idle_news(max(0.01, deadline - time.monotonic()))

    def act(self, s):
        """Something that others may have to be told."""
        self.listen(s)
        self.rng.choice([self.do_append, self.do_deliver, self.do_store, self.do_store, self.do_expunge, self.do_move, self.do_copy])(s)

    # ---- QRESYNC ----

    def remember(self, s):
        """What a client would keep in its cache."""
        if s.qresync and s.box:
            self.noop(s)
            if any(s.flags.get(u) is None for u in s.uids):
                s.run("UID FETCH 1:* (FLAGS)")
            self.snapshots = [*self.snapshots[-SNAPSHOTS:], (s.box, s.modseq, list(s.uids), dict(s.flags))]

    def do_come_back(self, s):
        """A client comes with what it knew once: it is told the difference, and only what is so (RFC 7162)."""
        if not s.qresync:
            return
        self.remember(s)
        if self.rng.random() < 0.5 and s.box:
            s.run("UNSELECT")
            s.forget()
        for _ in range(self.rng.randint(0, 4)):
            self.act(self.rng.choice(self.others(s)))
        box, modseq, uids, flags = self.rng.choice(self.snapshots[-3:] if self.rng.random() < 0.7 else self.snapshots)
        if box not in self.boxes:
            return
        known = self.rng.choice(["", "", f" 1:{max(uids, default=1)}", " " + ",".join(map(str, uids)) if uids else ""])
        s.forget()
        s.box = box
        answer = s.run(f'SELECT "{box.name}" (QRESYNC ({box.validity} {modseq}{known}))')
        told, gone = dict(s.flags), set(s.earlier)
        self.opened(s, box, answer)
        alive = set(box.messages)
        if gone & alive:
            s.wrong(f"VANISHED (EARLIER) names {gone & alive}, which are there")
        kept = {uid: f for uid, f in flags.items() if uid not in gone}
        kept.update({answer_uid: f for answer_uid, f in self.by_uid(answer).items()})
        s.flags = {**{uid: f for uid, f in kept.items()}, **told}
        if set(s.flags) != alive:
            s.wrong(f"came back with {uids} of {modseq} and has {sorted(s.flags)}, there are {sorted(alive)}")
        self.settled(s)

    @staticmethod
    def by_uid(answer):
        return {int(items[b"UID"]): frozenset(items[b"FLAGS"]) - {rb"\Recent"} for items in answer.fetched.values() if b"FLAGS" in items}

    # ---- mailboxes ----

    def do_rename(self, s):
        """Sessions that have it selected go on."""
        box = self.rng.choice(self.boxes[1:])
        self.renamed += 1
        s.run(f'RENAME "{box.name}" "m{self.renamed}&APY-"')
        box.name = f"m{self.renamed}&APY-"
        for t in self.sessions:
            self.noop(t)

    def do_delete(self, s):
        """Who has it selected is sent away; the name may come back, with another UIDVALIDITY."""
        box = self.rng.choice(self.boxes[1:])
        mine = s.box is box
        s.run(f'DELETE "{box.name}"')
        if mine:
            s.forget()
        fresh = Box(box.name)
        self.boxes[self.boxes.index(box)] = fresh
        s.run(f'CREATE "{fresh.name}"')
        self.open_box(fresh)
        if fresh.validity <= box.validity:
            s.wrong(f"UIDVALIDITY {fresh.validity} after {box.validity}")
        if mine:
            self.select(s, fresh)
        for t in [t for t in self.others(s) if t.box is box]:
            try:
                t.run("NOOP")
                t.wrong("goes on in a mailbox that was deleted")
            except Gone:
                self.replace(t)

    def do_reconnect(self, s):
        self.remember(s)
        s.leaving = True
        s.run("LOGOUT")
        self.replace(s)

    def do_restart(self, s):
        """store is killed, idle or in the middle of much, and comes back: nothing is lost, and all sessions go on."""
        if not self.args.restart:
            return
        if self.rng.random() < 0.5:
            self.do_burst(s, kill=True)
        else:
            self.args.restart()
            self.up()
            for t in self.sessions:
                self.noop(t)

    # ---- all at once ----

    def do_burst(self, s, kill=False):
        """Every session sends several commands without waiting for any answer; with `kill` store dies meanwhile."""
        self.certain = False
        for t in self.sessions:
            t.truth = None
        for t in self.sessions:
            self.pipeline(t)
        if kill:
            self.args.restart()
        elif self.args.mx and self.rng.random() < 0.5 and len(self.boxes[0].messages) < MESSAGES_MAX:
            self.deliver()
        busy = [t for t in self.sessions if t.pending]
        while busy:
            t = self.rng.choice(busy)
            answer = t.finish(allowed=("OK", "NO"))
            if answer.status == "NO" and answer.code not in (b"EXPUNGEISSUED", b"NOPERM", kill and b"UNAVAILABLE"):
                t.wrong(f"{answer.line!r}")
            if answer.status == "NO" and answer.code == b"UNAVAILABLE":
                t.flags = {}  # what it has worked out may be so or not
            busy = [t for t in self.sessions if t.pending]
        self.certain = True
        if kill:
            self.up()
        for box in self.boxes:
            self.look_into(box, learn=True)
        for t in self.sessions:
            if t.box:
                t.truth = None
                self.noop(t)
                t.truth = self.truth_of(t)

    def pipeline(self, s):
        """Numbers are only good as long as no EXPUNGE may come between."""
        rng, numbered = self.rng, True
        for _ in range(rng.randint(1, 5)):
            known = [u for u in s.uids if u]
            what = rng.choice(["append", "noop", "status"]) if not known else rng.choice(
                ["fetch", "store", "search", "fetch", "store", "ufetch", "ustore", "expunge", "copy", "move", "append", "noop"])
            n, uid = rng.randint(1, max(len(known), 1)), rng.choice(known) if known else 1
            change = f"{rng.choice(['+', '-'])}FLAGS{rng.choice(['', '.SILENT'])} ({rng.choice(FLAGS).decode()})"
            if what in ("fetch", "store", "search") and (not numbered or s.notify):
                what = "u" + what if what != "search" else "noop"
            numbered = numbered and what in ("fetch", "store", "search")
            if what == "append":
                number, text = self.text()
                s.start(f'APPEND "{rng.choice(self.boxes).name}" {{{len(text)}+}}', literal=text)
                continue
            if what in ("store", "ustore"):
                change_by = change_of(change[0], [change.split("(")[1].rstrip(")").encode()])
                uids = s.uids[n - 1:n] if what == "store" else [uid]
                begin = (lambda u=uids, c=change_by: self.believe(s, u, c)) if "SILENT" in change and not s.read_only else None
                s.start(f"STORE {n} {change}" if what == "store" else f"UID STORE {uid} {change}", begin=begin)
                continue
            s.start({"fetch": f"FETCH {n}:* (UID FLAGS)", "search": "SEARCH UNSEEN", "ufetch": f"UID FETCH {uid}:* (FLAGS)",
                     "expunge": "EXPUNGE", "copy": f'UID COPY {uid} "{rng.choice(self.boxes).name}"',
                     "move": f'UID MOVE {uid} "{rng.choice(self.boxes).name}"', "noop": "NOOP",
                     "status": f'STATUS "{rng.choice(self.boxes).name}" (MESSAGES)'}[what])

    # ---- the whole ----

    def rest(self):
        """Nobody acts: all sessions must come to the same state as one that just opened the mailbox."""
        for box in self.boxes:
            self.look_into(box)
        for s in self.sessions:
            self.noop(s)
            if s.box and s.uids:
                s.run("FETCH 1:* (UID FLAGS)")
                self.settled(s)

    def play(self):
        for step in range(self.args.steps):
            try:
                self.step()
                if step % 50 == 49:
                    self.rest()
            except Exception:
                print(f"seed {self.args.seed}, step {step}:", *self.log[-self.args.context:], sep="\n  ", file=sys.stderr)
                raise
            del self.log[:-2 * self.args.context]
        for s in self.sessions:
            s.leaving = True
            s.run("LOGOUT")
            s.conn.close()
        self.observer.conn.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mx", type=int, help="port where mail for the user is taken")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--context", type=int, default=60, help="lines of the protocol shown when it fails")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    args.restart = None
    print(f"seed {args.seed}")
    Story(args).play()
    print("ok")


if __name__ == "__main__":
    main()
