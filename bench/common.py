"""What every bench needs: both servers running beside each other, what they cost, medians and the table."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests" / "system"))

import peers  # noqa: E402
from certs import Certs  # noqa: E402
from peers.postdove import DOMAIN, PostDove  # noqa: E402
from rockdove import Server, children, free_port  # noqa: E402
from wire import Imap  # noqa: E402

TOOLS = Path(os.environ.get("BENCH_TOOLS", TOP / "build" / "bench"))
PASSWORD = "secret"
TICKS = os.sysconf("SC_CLK_TCK")
LISTENERS = ("mx", "submission", "imap", "imaps", "metrics")


def accounts(count):
    return [f"user{number}@{DOMAIN}" for number in range(count)]


class Ours:
    name = "rockdove"

    def __init__(self, folder, certs, users):
        self.server = Server(folder, certs, {user: PASSWORD for user in users}, listeners=LISTENERS,
                             domains=[{"name": DOMAIN}], trusted_networks=["127.0.0.0/8"],
                             log=[{"to": folder / "mail.log", "format": "text"}])
        ports = self.server.ports
        self.ports = {"smtp": ports["mx"], "imap": ports["imap"], "imaps": ports["imaps"]}
        self.users, self.sessions = users, []

    def start(self):
        self.server.start()
        return self

    def stop(self):
        for session in self.sessions:
            session.close()
        self.sessions = []
        self.server.stop()

    def pid(self):
        return self.server.process.pid

    def count_messages(self):
        """Messages readable in all mailboxes, over one IMAP session per user kept for the purpose."""
        if not self.sessions:
            for user in self.users:
                session = Imap(self.ports["imap"], timeout=30)
                assert session.login(user, PASSWORD).status == "OK"
                self.sessions.append(session)
        for session in self.sessions:
            session.send("s STATUS INBOX (MESSAGES)\r\n")
        return sum(int(session.until(b"s").find(rb"MESSAGES (\d+)")[1]) for session in self.sessions)


class Peer:
    name = "postfix+dovecot"

    def __init__(self, folder, certs, users):
        ports = {name: free_port() for name in ("smtp", "lmtp", "imap", "imaps")}
        self.both = PostDove(folder, ports, users, *certs.make("localhost", stem="peer"), password=PASSWORD)
        self.ports = ports

    def start(self):
        self.both.start()
        return self

    def stop(self):
        self.both.stop()

    def pid(self):
        return self.both.process.pid

    def count_messages(self):
        return self.both.count_messages()


class Bench:
    """Both servers in one scratch folder. `with Bench(users) as bench: bench.servers`"""

    def __init__(self, user_count, kinds=(Ours, Peer)):
        self.folder = Path(tempfile.mkdtemp(prefix="rockdove-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
        self.folder.chmod(0o755)
        certs = Certs(self.folder / "certs")
        users = accounts(user_count)
        self.servers, self.missing = [], None
        for kind in kinds:
            reason = kind is Peer and peers.private_reason()
            if reason:
                self.missing = reason
                print(f"without the peer: {reason}", file=sys.stderr)
            else:
                self.servers.append(kind(self.folder / kind.__name__.lower(), certs, users))

    def __enter__(self):
        started = []
        try:
            for server in self.servers:
                started.append(server.start())
        except BaseException:
            for server in started:
                server.stop()
            raise
        return self

    def __exit__(self, *_):
        try:
            for server in self.servers:
                server.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def tool(name, *words, check=True, nice=0):
    """Runs a load generator; what it measured. nice: it takes only the time that others leave."""
    done = subprocess.run([*(["nice", "-n", str(nice)] if nice else []), TOOLS / name, *map(str, words)], capture_output=True, text=True, timeout=900)
    if check and done.returncode != 0:
        raise RuntimeError(f"{name} {words}: {done.stdout} {done.stderr}")
    return json.loads(done.stdout)


def cpu_seconds(pid):
    """CPU time of a process, all its descendants and those of them already gone and waited for."""
    total = 0
    for one in [pid, *children(pid)]:
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def pss(pid):
    """Proportional set size of a process and all its descendants, in bytes."""
    total = 0
    for one in [pid, *children(pid)]:
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def wait_count(server, wanted, timeout=120):
    deadline = time.monotonic() + timeout
    while (found := server.count_messages()) < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.name}: only {found} of {wanted} messages are readable")
        time.sleep(0.01)
    return found


class Row:
    """One line of the table. higher: a larger number is better. target: a text, met: whether it holds (or None)."""

    def __init__(self, what, unit, ours, peer, higher=True, ratio_target=None, limit=None, exactly=None):
        self.what, self.unit = what, unit
        self.ours = statistics.median(ours) if ours else None
        self.peer = statistics.median(peer) if peer else None
        self.spread = f"{min(ours):.4g}–{max(ours):.4g}" if ours else ""
        self.ratio = self.target = self.met = None
        self.beside = ""  # what else was measured, as text
        if self.ours and self.peer:
            self.ratio = self.ours / self.peer if higher else self.peer / self.ours
        if ratio_target:
            self.target = f">= {ratio_target:g} x"
            self.met = None if self.ratio is None else self.ratio >= ratio_target
        if limit:
            self.target = f"<= {limit:g}"
            self.met = None if self.ours is None else self.ours <= limit
        if exactly is not None:
            self.target, self.met = f"{exactly:g}", self.ours == exactly


def show(rows):
    head = ("what", "unit", "rockdove", "(range)", "peer", "better by", "wanted", "", "")
    lines = [head]
    for row in rows:
        lines.append((row.what, row.unit, "-" if row.ours is None else f"{row.ours:.4g}", row.spread,
                      "-" if row.peer is None else f"{row.peer:.4g}", "-" if row.ratio is None else f"{row.ratio:.3g} x",
                      row.target or "", {True: "met", False: "MISSED", None: ""}[row.met], row.beside))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) if column in (0, 1, 7, 8) else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(line, widths))).rstrip())
