"""Outgoing mail: 20,000 queued messages of 10 KB to 1, 10 and 1,000 destinations over TLS, Rockdove beside Postfix handing on to
the same sink; one letter while all the others wait; 200,000 messages that wait."""
import base64
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import TOOLS, Row, cpu_seconds, pss, tool

import peers
from certs import Certs
from peers.dnszone import Dns
from peers.postrelay import PostRelay
from rockdove import Server, free_port
from wire import Smtp

SIZE = 10240
DOMAIN = "out.test"
SENDER, PASSWORD = "load@bench.test", "secret"
AUTH = base64.b64encode(f"\0{SENDER}\0{PASSWORD}".encode()).decode()
DESTINATIONS = (1, 10, 1000)
FILL_CONNECTIONS = 20
PROBES = 50
RUN_SECONDS = 600  # no run takes longer


def address(number):
    """Of destination `number`, as smtp_sink listens."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


class Sink:
    def __init__(self, cert, addresses=0):
        self.port, self.cert, self.addresses, self.process = free_port(), cert, addresses, None
        self.probes = {}

    def start(self):
        self.process = subprocess.Popen([TOOLS / "smtp_sink", "--port", str(self.port), "--addresses", str(self.addresses),
                                         "--cert", self.cert[0], "--key", self.cert[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n"
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        self.control = Smtp(self.port)
        self.base = self._stat()
        return self

    def _read(self, pipe):
        for line in pipe:
            to, _, moment = line.rpartition(" ")
            self.probes[to] = float(moment)

    def _stat(self):
        return list(map(int, self.control.cmd("STAT").text.split()))

    def messages(self):
        return self._stat()[0] - self.base[0]

    def connections(self):
        return self._stat()[1] - self.base[1]

    def wait(self, count):
        """The moment the last of them came."""
        deadline = time.monotonic() + RUN_SECONDS
        while (found := self.messages()) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {found} of {count} messages came")
            time.sleep(0.005)
        return time.monotonic()

    def stop(self):
        if self.process:
            self.control.close()
            self.process.stdin.close()
            self.process.wait(10)
            self.process = None


class Ours:
    name = "rockdove"

    def __init__(self, folder, certs, sink, destinations, **queue):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.dns = Dns(folder / "dns", free_port())
        self.dns.zone("test", "".join(f"d{n}.out MX 10 mx.d{n}.out\nmx.d{n}.out A {address(n)}\n" for n in range(destinations)))
        more = {"direct": {"port": sink.port, "allow_networks": ["127.0.0.0/8"], "mta_sts": False}}
        if destinations == 1:
            more["relay"] = {"host": "[127.0.0.1]", "port": sink.port, "tls": "required"}
        self.server = Server(folder / "server", certs, {SENDER: PASSWORD}, listeners=["submission-plain", "metrics"], domains=[{"name": "bench.test"}],
                             trusted_networks=["127.0.0.0/8"], resolver=self.dns.settings, queue={"retry_first": "1h", "retry_max": "1h", **queue},
                             log=[{"to": folder / "mail.log", "format": "text"}], **more)
        self.port = self.server.ports["submission-plain"]

    def start(self):
        self.dns.start()
        self.server.start()
        return self

    def stop(self):
        self.server.stop()
        self.dns.stop()

    def pid(self):
        return self.server.process.pid

    def fill(self, messages, destinations, size=SIZE):
        tool("smtp_load", "--port", self.port, "--connections", FILL_CONNECTIONS, "--messages", messages, "--size", size, "--per-connection", 1000,
             "--domain", DOMAIN, "--from", SENDER, "--auth", AUTH, "--destinations", destinations)

    def waiting(self):
        metrics = self.server.metrics()
        return int(sum(value for name, value in metrics.items() if name.startswith("rockdove_queue_messages")))

    def release(self):
        self.server.command("queue", "retry", "--all", timeout=120)

    def letter(self, to):
        """Submits one; the moment its last byte went out."""
        with Smtp(self.port) as client:
            client.ehlo()
            assert client.auth_plain(SENDER, PASSWORD).code == 235
            assert client.cmd(f"MAIL FROM:<{SENDER}>").code == 250
            assert client.cmd(f"RCPT TO:<{to}>").code == 250
            assert client.cmd("DATA").code == 354
            client.send(f"From: {SENDER}\r\nTo: {to}\r\nSubject: one\r\n\r\n" + "a line of text\r\n" * 100 + ".\r\n")
            moment = time.monotonic()
            assert client.reply().code == 250
            return moment


class Peer:
    name = "postfix"

    def __init__(self, folder, certs, sink, destinations):
        ways = {} if destinations == 1 else {f"d{n}.{DOMAIN}": f"smtp:[{address(n)}]:{sink.port}" for n in range(destinations)}
        self.port = free_port()
        self.postfix = PostRelay(folder, self.port, relayhost=f"[127.0.0.1]:{sink.port}" if destinations == 1 else "", transports=ways,
                                 tls="encrypt" if destinations == 1 else "may")

    def start(self):
        self.postfix.start()
        return self

    def stop(self):
        self.postfix.stop()

    def pid(self):
        return self.postfix.process.pid

    def fill(self, messages, destinations, size=SIZE):
        self.postfix.hold()
        tool("smtp_load", "--port", self.port, "--connections", FILL_CONNECTIONS, "--messages", messages, "--size", size, "--per-connection", 1000,
             "--domain", DOMAIN, "--from", SENDER, "--destinations", destinations)

    def waiting(self):
        return self.postfix.waiting()

    def release(self):
        self.postfix.release()


def wait_until(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


def queued_run(server, sink, messages, destinations):
    """Fills the queue while the sink is away, opens it; (messages per second, CPU seconds per 1,000, connections)."""
    sink.stop()
    server.fill(messages, destinations)
    wait_until(lambda: server.waiting() >= messages, "all to be queued")
    time.sleep(2)  # attempts that were under way end
    sink.start()
    cpu, begun = cpu_seconds(server.pid()), time.monotonic()
    server.release()
    ended = sink.wait(messages)
    time.sleep(0.5)  # what is left to be written belongs to the cost
    return messages / (ended - begun), (cpu_seconds(server.pid()) - cpu) / messages * 1000, sink.connections()


class Folder:
    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="rockdove-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
        self.path.chmod(0o755)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def throughput(rounds, messages, destinations):
    kinds = [Ours]
    reason = peers.private_reason()
    if reason:
        print(f"without the peer: {reason}", file=sys.stderr)
    else:
        kinds.append(Peer)
    rate, cpu = {}, {}
    with Folder() as folder:
        certs = Certs(folder / "certs")
        sink = Sink(certs.make("localhost", stem="sink"), destinations if destinations > 1 else 0)
        servers = []
        try:
            for kind in kinds:
                servers.append(kind(folder / kind.__name__.lower(), certs, sink, destinations).start())
            for number in range(rounds):
                for server in servers:
                    result = queued_run(server, sink, messages, destinations)
                    print(f"  {destinations} destination(s), round {number + 1}: {server.name} {result[0]:.0f} messages/s, {result[1]:.3f} CPU s per 1,000, "
                          f"{result[2]} connections", flush=True)
                    rate.setdefault(server.name, []).append(result[0])
                    cpu.setdefault(server.name, []).append(result[1])
        finally:
            for server in servers:
                server.stop()
            sink.stop()
    what = f"outbound, {messages} queued, {destinations} destination(s), TLS"
    return [Row(what, "messages/s", rate[Ours.name], rate.get(Peer.name), ratio_target=3),
            Row("  CPU", "s per 1,000", cpu[Ours.name], cpu.get(Peer.name), higher=False, ratio_target=3)]


def probe(server, sink, number, to=None):
    """Milliseconds from the last byte of a submission to the message's arrival at the sink."""
    to = to or f"probe{number}.{time.monotonic_ns()}@d0.{DOMAIN}"
    sent = server.letter(to)
    wait_until(lambda: to in sink.probes, f"the letter to {to}", 60)
    return (sink.probes[to] - sent) * 1000


def latency(messages):
    """One letter after the other while the others wait (their relay is not there), and while they are being sent."""
    with Folder() as folder:
        certs = Certs(folder / "certs")
        sink, dead = Sink(certs.make("localhost", stem="sink"), 2), Sink(certs.make("localhost", stem="sink"))
        server = Ours(folder / "ours", certs, sink, 2)
        server.server.config["relays"] = [{"name": "dead", "host": "[127.0.0.1]", "port": dead.port, "tls": "required", "recipients": [f"d1.{DOMAIN}"]}]
        server.server.write_config()
        sink.start()
        server.start()
        try:
            tool("smtp_load", "--port", server.port, "--connections", FILL_CONNECTIONS, "--messages", messages, "--size", SIZE, "--per-connection", 1000,
                 "--domain", f"d1.{DOMAIN}", "--from", SENDER, "--auth", AUTH, "--users", 1000)
            wait_until(lambda: server.waiting() >= messages, "all to be queued")
            probe(server, sink, 0)
            waiting = [probe(server, sink, number) for number in range(PROBES)]
            dead.start()
            server.release()
            sending = []
            while dead.messages() < messages * 0.9 and len(sending) < PROBES:
                sending.append(probe(server, sink, len(sending)))
            dead.wait(messages)
        finally:
            server.stop()
            sink.stop()
            dead.stop()
    print(f"  a letter while {messages} wait: median {statistics.median(waiting):.1f} ms, worst {max(waiting):.1f}; while they are sent: "
          + (f"median {statistics.median(sending):.1f} ms, worst {max(sending):.1f}" if sending else "none got in between"))
    return [Row(f"one letter, submission to sink, while {messages} wait", "ms", waiting, None, higher=False, limit=20),
            *([Row("  and while they are sent", "ms", sending, None, higher=False)] if sending else [])]


def deferred(messages):
    """Memory of a queue of messages that cannot be sent yet, and how soon after a restart the first of them goes out."""
    with Folder() as folder:
        certs = Certs(folder / "certs")
        sink = Sink(certs.make("localhost", stem="sink"), 1000)
        server = Ours(folder / "ours", certs, sink, 1000, retry_first="20s", retry_max="20s").start()
        try:
            time.sleep(2)
            before = pss(server.pid())
            begun = time.monotonic()
            server.fill(messages, 1000, size=1024)
            seconds = time.monotonic() - begun
            wait_until(lambda: server.waiting() >= messages, "all to be queued", 300)
            time.sleep(5)
            grown = pss(server.pid()) - before
            print(f"  {messages} messages taken in {seconds:.0f} s; memory {before / 1e6:.1f} MB and {grown / 1e6:.1f} MB more", flush=True)
            server.server.stop()
            time.sleep(25)  # then all are due
            sink.start()
            begun = time.monotonic()
            server.server.start()
            wait_until(lambda: sink.messages() > 0, "a message", 60)
            first = time.monotonic() - begun
            print(f"  start to the first of them sent: {first:.2f} s", flush=True)
            sink.wait(min(messages, 5000))
        finally:
            server.stop()
            sink.stop()
    return [Row(f"memory of {messages} waiting messages", "MB", [grown / 1e6], None, higher=False, limit=50),
            Row("  restart to the first one sent", "s", [first], None, higher=False, limit=2)]


def run(rounds, messages=20000):
    rows = []
    for destinations in DESTINATIONS:
        rows += throughput(rounds, messages, destinations)
    return rows + latency(messages) + deferred(messages * 10)
