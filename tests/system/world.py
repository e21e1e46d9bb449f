"""What tests of outgoing mail need: a DNS, remote servers on loopback addresses of their own, the server, and the eyes on
its queue. `world` in conftest.py is one of these for each test file."""
import contextlib
import email
import email.policy
import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import time

import mail
from peers.dnszone import Dns
from peers.httpsts import PolicyServer
from peers.smtpserver import SmtpServer
from rockdove import Server, free_port
from wire import Imap, Smtp

REMOTES = 380  # domains r1.test … with an MX of the same number
NAMED = 9  # the first of them are for tests that name them
QUICK = {"retry_first": "500ms", "retry_max": "2s"}
SHORT = {"connect": "2s", "greeting": "3s", "command": "3s", "data": "3s", "end_of_data": "3s", "idle": "1s"}


def remote_host(number):
    """Where the MX of r<number>.test is."""
    return f"127.0.{10 + number // 200}.{number % 200 + 1}"


class Remote(SmtpServer):
    """A scripted server that is the MX of `domain`."""

    def __init__(self, world, number, **options):
        self.number, self.domain = number, f"r{number}.test"
        options.setdefault("name", f"mx.r{number}.test")
        super().__init__(world.port, host=remote_host(number), **options)

    def address(self, user="user"):
        return f"{user}@{self.domain}"


class World:
    """zones: {name: records or (records, {options of Dns.zone})}, %PORT% in them being where MXs listen; extra lines of the zone
    `test` in `records`."""

    def __init__(self, folder, certs, accounts, records="", zones=None, servfail=(), queue=None, timeouts=None, direct=None, **server):
        self.folder, self.certs, self.accounts = folder, certs, dict(accounts)
        folder.mkdir()
        folder.chmod(0o755)
        self.port, self.sts_port = free_port(), free_port()
        self.dns = Dns(folder / "dns", free_port())
        lines = "".join(f"r{n} MX 10 mx.r{n}\nmx.r{n} A {remote_host(n)}\n" for n in range(1, REMOTES + 1))
        self.dns.zone("test", lines + records)
        for name, content in (zones or {}).items():
            text, options = content if isinstance(content, tuple) else (content, {})
            self.dns.zone(name, text.replace("%PORT%", str(self.port)), **options)
        for name in servfail:
            self.dns.servfail(name)
        self._numbers, self._users = itertools.count(NAMED + 1), itertools.count()
        self.closing = []
        self.options = {
            "listeners": ["mx", "submission-plain", "imap", "metrics"],
            "resolver": self.dns.settings, "ca_file": certs.ca,
            "direct": {"port": self.port, "sts_port": self.sts_port, "allow_networks": ["127.0.0.0/8"], **(direct or {})},
            "queue": {**QUICK, **(queue or {})}, "relay_timeouts": {**SHORT, **(timeouts or {})}, **server}
        self.server = None

    def start(self):
        self.dns.start()
        self.server = Server(self.folder / "server", self.certs, self.accounts, **self.options)
        self.server.start()
        return self

    def stop(self):
        self.close_remotes()
        try:
            if self.server:
                self.server.stop()
        finally:
            if self.server:
                self.server.kill()
            self.dns.stop()

    def close_remotes(self):
        for one in self.closing:
            one.stop()
        self.closing = []

    # ---- elsewhere ----

    def next_number(self):
        number = next(self._numbers)
        assert number <= REMOTES, "REMOTES is too small"
        return number

    def remote(self, script=None, number=None, **options):
        """A started remote server with a domain of its own (or r<number>.test); ended with the test."""
        return self.keep(Remote(self, number or self.next_number(), script=script, **options).start())

    def keep(self, peer):
        self.closing.append(peer)
        return peer

    def server_at(self, host, port=None, **options):
        """A started scripted server at an address."""
        return self.keep(SmtpServer(port or self.port, host=host, **options).start())

    def policy_server(self, cert, host, policies):
        return self.keep(PolicyServer(self.sts_port, cert, host, policies).start())

    # ---- our side ----

    def new_user(self):
        """An address with an account."""
        return list(self.accounts)[next(self._users) % len(self.accounts)]

    def submission(self, user, server=None, patient=False):
        """A client logged in as this account. patient: parts of the server are being killed, "later" is a fair answer."""
        client = Smtp((server or self.server).ports["submission-plain"], timeout=20)
        self.extensions = client.ehlo()
        reply = client.auth_plain(user, self.accounts[user])
        deadline = time.monotonic() + 20
        while patient and reply.code == 454 and time.monotonic() < deadline:
            time.sleep(0.1)
            reply = client.auth_plain(user, self.accounts[user])
        assert reply.code == 235, reply
        return client

    def kill_role(self, role, timeout=30):
        """Kills it and waits until it, and all others, are there again."""
        pid = self.server.roles()[role]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + timeout
        while True:
            done = self.server.command("status", "--json", check=False)
            roles = json.loads(done.stdout) if done.returncode == 0 else []
            if roles and all(one["state"] == "ready" and one["pid"] != pid for one in roles):
                return
            assert time.monotonic() < deadline, (done.stdout, done.stderr, self.told())
            time.sleep(0.1)

    def send(self, user, to, message=None, mail_parameters="", rcpt_parameters="", server=None, subject="hello", body="text\r\n", sender=None):
        """Submits a message (a plain one by default); it must be accepted. Answers (queue id, marker in the body)."""
        word = mail.marker()
        to = [to] if isinstance(to, str) else list(to)
        if message is None:
            message = mail.plain(subject=subject, body=f"{word}\r\n{body}", sender=user, to=", ".join(to))
        with self.submission(user, server) as client:
            reply = client.cmd(f"MAIL FROM:<{user if sender is None else sender}>{mail_parameters}")
            assert reply.code == 250, reply
            for address in to:
                reply = client.cmd(f"RCPT TO:<{address}>{rcpt_parameters}")
                assert reply.code == 250, reply
            reply = client.data(message)
            assert reply.code == 250, reply
        return queue_id(reply), word

    def receive(self, to, message, sender="stranger@remote.test", server=None, parameters=""):
        """Hands a message in at the MX port as a stranger; the final reply."""
        with Smtp((server or self.server).ports["mx"], timeout=20) as client:
            client.ehlo()
            reply = client.cmd(f"MAIL FROM:<{sender}>{parameters}")
            assert reply.code == 250, reply
            for address in [to] if isinstance(to, str) else to:
                reply = client.cmd(f"RCPT TO:<{address}>")
                assert reply.code == 250, reply
            return client.data(message)

    def inbox(self, user, server=None):
        """The messages in a user's INBOX, as bytes."""
        with Imap((server or self.server).ports["imap"], timeout=20) as client:
            client.ok(f'LOGIN "{user}" "{self.accounts[user]}"')
            if not client.ok("SELECT INBOX").find(rb"\* [1-9]\d* EXISTS"):
                return []
            texts = []
            for line in client.ok("FETCH 1:* BODY.PEEK[]").untagged:
                size = re.search(rb"BODY\[\] \{(\d+)\}\r\n", line)
                texts.append(line[size.end():size.end() + int(size[1])])
            return texts

    def wait_inbox(self, user, count=1, timeout=20, server=None):
        deadline = time.monotonic() + timeout
        while len(found := self.inbox(user, server)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} messages for {user} instead of {count}\n" + self.told())
            time.sleep(0.1)
        assert len(found) == count, found
        return found

    def bounce(self, user, timeout=20):
        """The one notification in a user's INBOX."""
        return Notification(self.wait_inbox(user, 1, timeout)[0])

    def told(self):
        """The end of the log, without our own looking into mailboxes."""
        return "\n".join(line for line in self.server.lines if " imap info " not in line)[-4000:]

    # ---- the queue ----

    def rows(self, *filters, server=None):
        """`queue list --json`: one dictionary for each recipient that waits."""
        done = (server or self.server).command("queue", "list", *filters, "--json", check=False)
        assert done.returncode in (0, 1), done
        return json.loads(done.stdout) if done.stdout.strip() else []

    def row(self, recipient):
        found = self.rows("--recipient", recipient)
        assert len(found) <= 1, found
        return found[0] if found else None

    def wait_row(self, recipient, timeout=10, **wanted):
        """Waits until the row of a recipient has these values (a value may be a regular expression for re.search)."""
        def fits(row):
            return row and all(re.search(str(value), str(row.get(name))) for name, value in wanted.items())
        deadline = time.monotonic() + timeout
        while not fits(row := self.row(recipient)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{recipient}: {row} instead of {wanted}\n" + self.told())
            time.sleep(0.05)
        return row

    def wait_gone(self, recipient, timeout=20):
        deadline = time.monotonic() + timeout
        while row := self.row(recipient):
            if time.monotonic() > deadline:
                raise AssertionError(f"still in the queue: {row}\n" + self.told())
            time.sleep(0.05)

    def attempts(self, domain):
        """What is kept of attempts for the reports on TLS: [(mx, policy, result, outcome, count)]."""
        copy = self.folder / "copied"  # the server keeps its database to itself
        copy.mkdir(exist_ok=True)
        for name in ("system.db", "system.db-wal"):
            shutil.copyfile(self.folder / "server" / "data" / "queue" / name, copy / name)
        with contextlib.closing(sqlite3.connect(copy / "system.db")) as db:
            return db.execute("SELECT mx, policy, tls_result, outcome, sum(count) FROM attempt WHERE domain = ? GROUP BY 1, 2, 3, 4", (domain,)).fetchall()

    def queue(self, *words, check=True, server=None):
        return (server or self.server).command("queue", *words, check=check)


def queue_id(reply):
    found = re.search(r"\b([A-Za-z0-9]{10,})\b", reply.text.split(" ", 1)[1])
    return found[1] if found else None


class Notification:
    """A delivery status notification, taken apart by Python's own parser."""

    def __init__(self, raw):
        self.raw = raw
        self.message = email.message_from_bytes(raw, policy=email.policy.SMTP)
        assert self.message.get_content_type() == "multipart/report", raw.decode("utf-8", "replace")
        assert self.message.get_param("report-type") in ("delivery-status", "global-delivery-status")
        parts = list(self.message.iter_parts())
        assert len(parts) in (2, 3), raw
        self.text = parts[0].get_content()
        assert parts[1].get_content_type() in ("message/delivery-status", "message/global-delivery-status"), raw
        blocks = self._blocks(parts[1])
        self.about, self.recipients = blocks[0], list(blocks[1:])
        self.original = parts[2] if len(parts) == 3 else None

    @staticmethod
    def _blocks(part):
        """Python knows message/delivery-status; what it takes for a whole message is cut at the blank lines."""
        inner = part.get_payload()
        if isinstance(inner, list) and len(inner) > 1:
            return inner
        text = inner[0].as_bytes().decode("utf-8", "surrogateescape") if isinstance(inner, list) else part.get_payload(decode=True).decode("utf-8")
        return [email.message_from_string(block) for block in re.split(r"\r?\n\r?\n", text.strip())]

    def of(self, address):
        found = [block for block in self.recipients if address in block["Final-Recipient"] or address in (block["Original-Recipient"] or "")]
        assert len(found) == 1, self.raw.decode("utf-8", "replace")
        return found[0]

    @property
    def returned(self):
        """What came back of the original, as bytes."""
        return self.raw[self.raw.index(b"\r\n\r\n", self.raw.index(self.original.get_content_type().encode())) + 4:]
