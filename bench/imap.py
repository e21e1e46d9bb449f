"""IMAP beside Dovecot's sdbox and Maildir: the same messages in all, the same commands, in turn.

Each row is a function of a Box (one mailbox of one server) that gives milliseconds, or a rate. Warm: the command has
run before. Cold: the servers were started anew and the pages of their files dropped. Rows that end in a promise of
durability run with mail_fsync=always; Dovecot's default is shown beside them.
"""
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import PASSWORD, TOOLS, Certs, Row
from imap_servers import Dovecot, Rockdove, forget_pages
import peers

ENVELOPE = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"
FIELDS = "(BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID References In-Reply-To Content-Type)])"
BODIES_MAX = 5000   # messages whose bodies one round reads
SINGLE = 1000       # single STOREs of one round
APPENDS = 300       # messages appended one by one
APPEND_FROM = 5_000_000
CHANGED = 100       # messages changed before a QRESYNC
RARE = "quetzalcoatl"
INDEX_WAIT = 180    # seconds, at most


class Client:
    """One connection of bench/imap_time.c."""

    def __init__(self, port, user=None, tls=False):
        self.process = subprocess.Popen([TOOLS / "imap_time", "--port", str(port), *(["--tls"] if tls else [])],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.user, self.taken = user, 0
        if user:
            self.login()

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.user}: {line}: {self.process.stderr.read()}")
        self.last = json.loads(answer)
        return self.last["ms"]

    def run(self, command):
        return self.do("run " + command)

    def login(self):
        return self.do("open") + self.run(f"LOGIN {self.user} {PASSWORD}")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Box:
    """The mailbox of `size` messages of one kind of server."""

    def __init__(self, server, kind, size):
        self.server, self.kind, self.size, self.name = server, kind, size, f"box{size}"

    def client(self, durable=False, select="SELECT", tls=False):
        client = Client(self.server.ports["imaps" if tls else "imap"], self.server.user(self.name, self.kind, durable), tls=tls)
        if select:
            client.run(f"{select} INBOX")
        return client

    def fill(self):
        """Once; a folder that is kept has its messages already."""
        user = self.server.user(self.name, self.kind)
        if self.kind != "ours":
            user = user.replace("@", "-never@")
        with Client(self.server.ports["imap"], user) as client:
            client.run("STATUS Trash (MESSAGES)") if self.kind == "ours" else None  # opens the account, which may take a while
            client.run("STATUS INBOX (MESSAGES)")
            there = int(client.last["first"].rpartition(" ")[2].rstrip(")"))
            if there < self.size:
                client.do(f"append {self.size - there} {there} 40 INBOX")

    def settle(self):
        """Waits until our full-text index is made, which begins when an account is not used for a moment; at most INDEX_WAIT."""
        if self.kind != "ours":
            return
        index = self.server.folder / "data" / "store" / "accounts" / self.server.user(self.name, self.kind) / "search.db"
        end, size, calm = time.monotonic() + INDEX_WAIT, 0, 0
        while time.monotonic() < end and calm < 4:
            time.sleep(0.5)
            before, size = size, index.stat().st_size if index.exists() else 0
            calm = calm + 1 if size and size == before and not index.with_name("search.db-wal").exists() else 0


# ---- rows: what a round of one box gives ----

def timed(command, expect=None, select="EXAMINE", better="ms"):
    """A command that changes nothing, in a session that has just selected; expect: untagged answers per message."""
    def run(box):
        with box.client(select=select) as client:
            took = client.run(command)
            if expect and client.last["untagged"] < expect * box.size:
                raise RuntimeError(f"{box.kind}: {client.last['untagged']} answers to {command}")
            return took
    return run


def login_select(box):
    with Client(box.server.ports["imap"]) as client:
        client.user = box.server.user(box.name, box.kind)
        return client.login() + client.run("SELECT INBOX")


def select(box):
    with box.client() as client:
        client.run("UNSELECT")
        return client.run("SELECT INBOX")


def bodies(tls):
    def run(box):
        with box.client(select="EXAMINE", tls=tls) as client:
            took = client.run(f"FETCH 1:{min(box.size, BODIES_MAX)} BODY.PEEK[]")
            return client.last["bytes"] / took / 1000
    return run


def store_all(durable):
    def run(box):
        with box.client(durable) as client:
            took = client.run("STORE 1:* +FLAGS.SILENT (\\Flagged)")
            return (took + client.run("STORE 1:* -FLAGS.SILENT (\\Flagged)")) / 2
    return run


def store_single(durable):
    def run(box):
        count = min(SINGLE, box.size) // (1 if box.kind == "ours" or not durable else 2)
        with box.client(durable) as client:
            took = client.do(f"repeat {count} 1 STORE # +FLAGS (\\Answered)")
            client.run("STORE 1:* -FLAGS.SILENT (\\Answered)")
            return count / took * 1000
    return run


def fresh(client, *names):
    for name in names:
        try_delete(client, name)
        client.run(f"CREATE {name}")


def try_delete(client, name):
    client.run(f'LIST "" {name}')
    if client.last["untagged"]:
        client.run(f"DELETE {name}")


def append(durable):
    def run(box):
        with box.client(durable, select=None) as client:
            fresh(client, "Bench")
            took = client.do(f"append {APPENDS} {APPEND_FROM} 1 Bench")
            client.run("DELETE Bench")
            return APPENDS / took * 1000
    return run


def copies(count, durable):
    """COPY out of the mailbox, MOVE and EXPUNGE of what was copied into it: it stays as it was."""
    def run(box):
        with box.client(durable, select=None) as client:
            fresh(client, "Bench", "Other")
            client.run("SELECT INBOX")
            copy = client.run(f"COPY 1:{count} Bench")
            client.run(f"COPY 1:{count} INBOX")
            client.run("NOOP")
            move = client.run(f"MOVE {box.size + 1}:{box.size + count} Other")
            client.run(f"COPY 1:{count} INBOX")
            client.run("NOOP")
            client.run(f"STORE {box.size + 1}:{box.size + count} +FLAGS.SILENT (\\Deleted)")
            expunge = client.run("EXPUNGE")
            client.run("UNSELECT")
            client.run("DELETE Bench")
            client.run("DELETE Other")
            return copy, move, expunge
    return run


def qresync(box):
    """What a client is told that was away while every (size/100)th message changed."""
    with box.client() as other:
        other.run("ENABLE QRESYNC")
        other.run("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)")
        words = other.last["first"].replace(")", " ").replace("(", " ").split()
        validity, modseq = words[words.index("UIDVALIDITY") + 1], words[words.index("HIGHESTMODSEQ") + 1]
        step = max(box.size // CHANGED, 1)
        numbers = ",".join(str(n) for n in range(1, box.size + 1, step))
        other.run(f"STORE {numbers} +FLAGS.SILENT (\\Answered)")
        with box.client(select=None) as client:
            client.run("ENABLE QRESYNC")
            took = client.run(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
        other.run(f"STORE {numbers} -FLAGS.SILENT (\\Answered)")
        return took


def threads(kind):
    return timed(f"THREAD {kind} US-ASCII ALL")


# name: (what, unit, function, higher is better, ratio wanted, what limits us)
READ_ROWS = {
    "login_select": ("login to SELECT answer", "ms", login_select, False, 0.9, "two processes woken, one grant"),
    "select": ("SELECT", "ms", select, False, 0.9, "two messages between imap and store"),
    "fetch_flags": ("FETCH 1:* FLAGS", "ms", timed("FETCH 1:* FLAGS", 1), False, 0.9, "formatting in one thread"),
    "fetch_envelope": ("FETCH 1:* ENVELOPE and more", "ms", timed(f"FETCH 1:* {ENVELOPE}", 1), False, 0.9, "SQLite rows, copying between processes"),
    "fetch_header": ("header fields of all", "ms", timed(f"FETCH 1:* {FIELDS}", 1), False, 0.9, "the same"),
    "fetch_structure": ("BODYSTRUCTURE of all", "ms", timed("FETCH 1:* BODYSTRUCTURE", 1), False, 0.9, "the same"),
    "bodies": ("bodies", "MB/s", bodies(False), True, 0.9, "one open and one message per file"),
    "bodies_tls": ("bodies, TLS", "MB/s", bodies(True), True, 0.9, "AES in one thread"),
    "search_from": ("SEARCH FROM", "ms", timed("SEARCH FROM personA0", select="EXAMINE"), False, 0.9, "reading every message's facts"),
    "search_text": ("SEARCH TEXT, our index made", "ms", timed(f"SEARCH TEXT {RARE}"), False, 5, "reading what the index cannot exclude"),
    "sort": ("SORT (SUBJECT)", "ms", timed("SORT (SUBJECT) US-ASCII ALL"), False, 0.9, "reading every message's facts"),
    "thread": ("THREAD REFERENCES", "ms", threads("REFERENCES"), False, 0.9, "reading every message's facts"),
    "qresync": ("QRESYNC after 100 changes", "ms", qresync, False, 0.9, ""),
}
DURABLE_ROWS = {
    "store_all": ("STORE on all", "ms", store_all, False, 0.9, "one sync of the log"),
    "store_single": ("single STOREs", "a second", store_single, True, 0.9, "one sync of the log each"),
    "append": ("APPEND one by one", "a second", append, True, 0.9, "two syncs each"),
}
COPY_COUNTS = (1000, 10000)
NEEDS = {"sort": "SORT", "thread": "THREAD=REFERENCES"}  # rows that wait for a capability


class Table:
    """Values by (row, kind of server) and the rows made of them."""

    def __init__(self):
        self.values = {}

    def add(self, key, kind, value):
        self.values.setdefault(key, {}).setdefault(kind, []).append(value)

    def row(self, key, what, unit, higher, wanted, default=False):
        """default: values of Dovecot with its default of syncs stand under kind + ' default'."""
        values = self.values.get(key)
        if not values or "ours" not in values:
            return None
        medians = {kind: statistics.median(found) for kind, found in values.items()}
        durable = [kind for kind in medians if kind in ("sdbox", "maildir")]
        best = (max if higher else min)(durable, key=medians.get) if durable else None
        row = Row(what, unit, values["ours"], values.get(best), higher=higher, ratio_target=wanted)
        row.beside = "  ".join(f"{kind} {number:.4g}" for kind, number in medians.items() if kind != "ours")
        return row


def capabilities(boxes):
    with boxes[0].client(select=None) as client:
        client.run("CAPABILITY")
        return client.last["first"].upper().split()


def chosen(rows, wanted, has):
    for name, row in rows.items():
        if (not wanted or name in wanted) and NEEDS.get(name, "") in has + [""]:
            yield name, row


def warm(boxes, rounds, wanted, table):
    has = capabilities(boxes)
    for name, (what, *_rest) in chosen(READ_ROWS, wanted, has):
        function = READ_ROWS[name][2]
        for number in range(rounds + 1):  # the first one warms up
            for box in boxes:
                value = function(box)
                if number:
                    table.add((box.size, name), box.kind, value)
        tell(table, (boxes[0].size, name), what)


def durable(boxes, rounds, wanted, table):
    for name, (what, _unit, maker, *_rest) in DURABLE_ROWS.items():
        if wanted and name not in wanted:
            continue
        for number in range(rounds + 1):
            for box in boxes:
                for always in (True, False) if box.kind != "ours" else (True,):
                    value = maker(always)(box)
                    if number:
                        table.add((box.size, name), box.kind + ("" if always else " default"), value)
        tell(table, (boxes[0].size, name), what)
    for count in COPY_COUNTS:
        if count > boxes[0].size or (wanted and "copy" not in wanted):
            continue
        for number in range(max(rounds if count == 1000 else rounds // 2, 1) + 1):
            for box in boxes:
                for always in (True, False) if box.kind != "ours" else (True,):
                    values = copies(count, always)(box)
                    for verb, value in zip(("COPY", "MOVE", "EXPUNGE"), values):
                        if number:
                            table.add((box.size, f"{verb}{count}"), box.kind + ("" if always else " default"), value)
        for verb in ("COPY", "MOVE", "EXPUNGE"):
            tell(table, (boxes[0].size, f"{verb}{count}"), f"{verb} {count}")


COLD = {
    "cold_select": ("SELECT, cold", "EXAMINE INBOX"),
    "cold_flags": ("FETCH 1:* FLAGS, cold", "FETCH 1:* FLAGS"),
    "cold_envelope": ("FETCH 1:* ENVELOPE and more, cold", f"FETCH 1:* {ENVELOPE}"),
    "cold_bodies": ("500 bodies, cold", "FETCH 1:500 BODY.PEEK[]"),
}


def cold(servers, boxes, rounds, wanted, table):
    if wanted and not any(name in wanted for name in COLD):
        return
    for _ in range(rounds):
        for server in servers:
            server.stop()
            forget_pages(server.folder)
            server.start()
        for box in boxes:
            with Client(box.server.ports["imap"]) as client:
                client.user = box.server.user(box.name, box.kind)
                client.login()
                for name, (_what, command) in COLD.items():
                    table.add((box.size, name), box.kind, client.run(command))
    for name, (what, _command) in COLD.items():
        tell(table, (boxes[0].size, name), what)


def tell(table, key, what):
    """What came out so far, while the rest runs."""
    values = table.values.get(key, {})
    print(f"  {key[0]:>7} {what:<36}" + "  ".join(f"{kind} {statistics.median(found):.4g}" for kind, found in values.items()), flush=True)


def rows_of(table, sizes):
    rows = []
    for size in sizes:
        for name, (what, unit, _function, higher, target, _limit) in {**READ_ROWS, **DURABLE_ROWS}.items():
            rows.append(table.row((size, name), f"{size}: {what}", unit, higher, target))
        for count in COPY_COUNTS:
            for verb in ("COPY", "MOVE", "EXPUNGE"):
                rows.append(table.row((size, f"{verb}{count}"), f"{size}: {verb} of {count}", "ms", False, 0.9))
        for name, (what, _command) in COLD.items():
            rows.append(table.row((size, name), f"{size}: {what}", "ms", False, 0.9))
    return [row for row in rows if row]


def mean_of(rows):
    ratios = [row.ratio for row in rows if row.ratio]
    if not ratios:
        return []
    row = Row("geometric mean of the rows", "times", None, None)
    row.ratio = math.exp(statistics.fmean(map(math.log, ratios)))
    row.target, row.met = ">= 2 x", row.ratio >= 2
    return [row]


class World:
    """The servers in one folder, which stays when BENCH_KEEP names it."""

    def __init__(self, users, kinds=(Rockdove, Dovecot)):
        kept = os.environ.get("BENCH_KEEP")
        self.folder = Path(kept) if kept else Path(tempfile.mkdtemp(prefix="rockdove-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        self.kept = bool(kept)
        certs = Certs(self.folder / "certs")
        reason = Dovecot in kinds and peers.private_reason()
        if reason:
            print(f"without the peer: {reason}", file=sys.stderr)
        self.servers = [kind(self.folder / kind.__name__.lower(), certs, users) for kind in kinds if kind is not Dovecot or not reason]

    def __enter__(self):
        for server in self.servers:
            server.start()
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def boxes(self, size):
        return [Box(server, kind, size) for server in self.servers for kind in server.kinds]


def run(rounds, sizes, wanted, formats):
    table = Table()
    with World([f"box{size}" for size in sizes]) as world:
        for size in sizes:
            boxes = [box for box in world.boxes(size) if box.kind in ("ours", *formats)]
            begun = time.monotonic()
            for box in boxes:
                box.fill()
            for box in boxes:
                box.settle()
            print(f"mailboxes of {size} filled after {time.monotonic() - begun:.0f} s", flush=True)
            warm(boxes, rounds, wanted, table)
            durable(boxes, rounds, wanted, table)
            cold(world.servers, boxes, rounds, wanted, table)
    rows = rows_of(table, sizes)
    return rows + mean_of(rows)
