"""Random sessions on one mailbox, several commands of each under way at a time: of all kinds imap_view.py knows, of clients that count
no messages (UIDONLY), of another account the mailbox is shared with. At rest each must know what is there. Seed printed;
MIRROR_SEED repeats it, MIRROR_STEPS makes it longer."""
import itertools
import os
import random

import pytest

from imap_view import SYSTEM, Gone, View, Wrong, numbers, pairs, tokens

FLAGS = [r"\Seen", r"\Answered", r"\Flagged", r"\Deleted", r"\Draft", "Junk", "$Label1"]
KINDS = [{}, {"condstore": True}, {"qresync": True}, {"rev2": True}, {"rev2": True, "qresync": True}]
MESSAGES_MAX = 40
RIGHTS = "lrswitekxa"


class UidView(View):
    """After ENABLE UIDONLY: knows how many messages there are, and the flags of those it was told of by UID."""

    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        self.run("ENABLE UIDONLY")

    def forget(self):
        super().forget()
        self.exists = 0

    def note(self, line):
        words = line.split(b" ", 3)
        kind = words[2] if words[1].isdigit() else words[1]
        if kind in (b"FETCH", b"EXPUNGE"):
            self.wrong(f"{line!r} after ENABLE UIDONLY")
        if kind not in (b"UIDFETCH", b"EXISTS", b"VANISHED"):
            super().note(line)
            return
        self.log.append(f"{self.name} < {line[:400]!r}")
        if kind == b"EXISTS":
            if int(words[1]) < self.exists:
                self.wrong(f"{line!r} after {self.exists}")
            self.exists = int(words[1])
        elif kind == b"UIDFETCH":
            self.uid_fetched(int(words[1]), pairs(tokens(words[3])[0]))
        elif b"(EARLIER)" not in line:
            self.may_expunge("VANISHED")
            for uid in numbers(words[-1]):
                self.exists -= 1
                self.flags.pop(uid, None)

    def uid_fetched(self, uid, items):
        if b"FLAGS" in items:
            strange = {flag.lower() for flag in items[b"FLAGS"]} - SYSTEM - self.keywords
            if strange or (self.condstore and b"MODSEQ" not in items):
                self.wrong(f"{items} of UID {uid}; keywords not named before: {strange}")
            self.flags[uid] = frozenset(items[b"FLAGS"]) - {rb"\Recent"}


class Story:
    def __init__(self, server, owner, other, rng):
        self.rng, self.log, self.owner = rng, [], owner
        self.server, self.names = server, itertools.count()
        self.observer = self.view(View, owner)
        self.observer.run('CREATE "mirror"')
        self.observer.run(f'SETACL "mirror" {other.address} {RIGHTS}')
        self.sessions = [self.come(cls, user, **kind) for cls, user, kind in rng.sample(
            [(cls, user, kind) for cls in (View, UidView) for user in (owner, other) for kind in KINDS], 6)]
        self.silent = set()  # (session, uid): a .SILENT leaves the client to work the flags out

    def view(self, cls, user, **kind):
        return cls(f"s{next(self.names)}_", "127.0.0.1", self.server.ports["imap"], user.address, user.password, self.log, **kind)

    def come(self, cls, user, **kind):
        s = self.view(cls, user, **kind)
        s.home = "mirror" if user is self.owner else f"Other Users/{self.owner.address}/mirror"
        s.run(f'SELECT "{s.home}"')
        self.learn(s)
        return s

    @staticmethod
    def learn(s):
        s.run("UID FETCH 1:* (FLAGS)" if isinstance(s, UidView) else "UID FETCH 1:* (UID FLAGS)")

    def command(self, s, alone):
        """(command, literal). By number only when nothing that shifts numbers is under way."""
        rng, known = self.rng, sorted(s.flags) or [1]
        by_number = alone and s.uids and rng.random() < 0.5  # a UidView has no uids
        uid, low, high = ("", *rng.choices(range(1, len(s.uids) + 1), k=2)) if by_number else ("UID ", *rng.choices(known, k=2))
        names = rng.choice([f"{low}", f"{low}:{high}", "1:*", "*"])
        flags = " ".join(rng.sample(FLAGS, rng.randint(0, 3)))
        mail = f"Subject: s{rng.randint(1, 9)}\r\n\r\nbody {rng.randint(1, 9)}\r\n".encode()
        silent = rng.choice(["", ".SILENT"])
        if silent:
            self.silent.add(s)
        return rng.choice([
            (f'APPEND "{s.home}" ({flags}) {{{len(mail)}+}}', mail),
            (f'{uid}REPLACE {low} "{s.home}" ({flags}) {{{len(mail)}+}}', mail),
            (f"{uid}STORE {names} {rng.choice(['+', '-', ''])}FLAGS{silent} ({flags})", None),
            (f"{uid}STORE {names} {rng.choice(['+', '-', ''])}FLAGS{silent} ({flags})", None),
            ("EXPUNGE", None), (f"UID EXPUNGE {rng.choice(known)}", None), ("NOOP", None),
            (f"{uid}FETCH {names} (UID FLAGS)", None), (f"{uid}FETCH {names} BODY[TEXT]", None),
            (f'{uid}COPY {names} "{s.home}"', None), (f'{uid}MOVE {names} "{s.home}"', None),
            (f"{uid}SEARCH {rng.choice(['UNSEEN', 'DELETED', 'SUBJECT s1', 'BODY body'])}", None),
            (f"{uid}SORT (SUBJECT) UTF-8 ALL", None), (f"{uid}THREAD REFS UTF-8 ALL", None), (f'STATUS "{s.home}" (MESSAGES UNSEEN)', None),
            ("UID FETCH 1:* (FLAGS) (PARTIAL -1:-2)", None), (f"{uid}SEARCH RETURN (SAVE) SEEN", None)])

    def step(self):
        burst = self.rng.random() < 0.5
        for s in self.rng.sample(self.sessions, self.rng.randint(2, 6)) if burst else [self.rng.choice(self.sessions)]:
            for _ in range(self.rng.randint(1, 4) if burst else 1):
                command, literal = self.command(s, not burst)
                s.start(command, literal=literal)
        for s in self.sessions:
            while s.pending:
                s.finish(("OK", "NO"))

    def compare(self):
        x = self.observer
        x.run('EXAMINE "mirror"')
        self.learn(x)
        for s in self.sessions:
            s.run("NOOP")
            told = s.exists if isinstance(s, UidView) else len(s.uids)
            if told != len(x.uids) or (s.uids and [uid or there for uid, there in zip(s.uids, x.uids)] != x.uids):
                s.wrong(f"knows {told} messages {s.uids}, there are {x.uids}")
            for uid, flags in s.flags.items():
                if uid not in x.flags or (flags != x.flags[uid] and s not in self.silent):
                    s.wrong(f"UID {uid} has {set(flags)}, is {x.flags.get(uid)}")
            self.learn(s)
        self.silent.clear()
        if len(x.uids) > MESSAGES_MAX:
            middle = x.uids[MESSAGES_MAX // 2]
            x.run('SELECT "mirror"')
            x.run(rf"UID STORE {middle}:* +FLAGS.SILENT (\Deleted)")
            x.run("CLOSE")
            x.forget()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everybody_knows_what_is_there(server, new_user, seed):
    seed = int(os.environ.get("MIRROR_SEED", seed))
    story = Story(server, new_user(), new_user(), random.Random(seed))
    try:
        for number in range(int(os.environ.get("MIRROR_STEPS", 200))):
            story.step()
            if number % 8 == 7:
                story.compare()
    except (Wrong, Gone) as problem:
        raise AssertionError(f"seed {seed}: {problem}\n" + "\n".join(story.log[-80:])) from None
    for s in [story.observer, *story.sessions]:
        s.conn.close()
