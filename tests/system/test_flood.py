"""A flood of many addresses beside ordinary clients, and HAProxy's checks in all forms every 200 ms while mail flows."""
import asyncio
import itertools
import shutil
import subprocess
import threading
import time

import mail
import pytest
from peers.haproxy import HAProxy, Pool
from proxyheader import local, v2
from rockdove import free_port
from test_haproxy import CHECKS
from wire import Imap, Smtp

SERVER = {"bans": "local", "before_greeting": {"wait": "500ms"},
          "limits": {"mx": {"connections_per_minute": 300, "messages_per_minute": 300}, "smtp_sessions": 4000, "auth_failure_delay": "1s"}}
FLOOD_SECONDS = 12
RATE = 300  # connections a second; the bench does thousands, without a sanitizer
BANNED = "198.19.0.0/16"

EARLY = b"EHLO flood.test\r\nMAIL FROM:<a@flood.test>\r\n"
# what a bad client sends behind its header, and from where
MANNERS = [("198.18", EARLY), ("198.19", b""), ("198.19", EARLY), ("198.18", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
           ("198.18", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), ("192.0", None)]


class Flood(threading.Thread):
    """So many connections a second, each from another address; counts how they ended."""

    def __init__(self, port, seconds=FLOOD_SECONDS, rate=RATE):
        super().__init__(daemon=True)
        self.port, self.seconds, self.rate = port, seconds, rate
        self.ended, self.open, self.refused = 0, 0, 0
        self.answers = {}

    async def one(self, number):
        network, words = MANNERS[number % len(MANNERS)]
        source = f"{network}.{number // 250 % 250 + 1}.{number % 250 + 1}"
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 10)
            writer.write(v2(source) + (words or b""))
            # one of them reads nothing and goes away after a while, a byte sent now and then
            answer = await asyncio.wait_for(reader.read(300), 10) if words is not None else b"left"
            if words is None:
                await asyncio.sleep(1)
            self.answers[answer[:3]] = self.answers.get(answer[:3], 0) + 1
            writer.close()
            self.ended += 1
        except (OSError, asyncio.TimeoutError):
            self.refused += 1

    async def storm(self):
        begun, tasks = time.monotonic(), []
        for number in itertools.count():
            if time.monotonic() - begun > self.seconds:
                break
            tasks.append(asyncio.ensure_future(self.one(number)))
            late = begun + number / self.rate - time.monotonic()
            if late > 0:
                await asyncio.sleep(late)
        await asyncio.gather(*tasks)

    def run(self):
        asyncio.run(self.storm())


def wait_banned(server, source="198.19.77.7"):
    """The ban is known to the role that accepts."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with Smtp(server.ports["mx-proxy"], proxy=v2(source), greet=False) as client:
            if client.at_end(5).startswith(b"521 5.7.1"):
                return
        time.sleep(0.1)
    raise AssertionError("not banned")


def swaks(server, listener, *words):
    return subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(server.ports[listener]), "--timeout", "20", *words],
                          capture_output=True, text=True, timeout=40)


def deliver_as(server, source, name, receiver):
    """An ordinary server delivers one message; how long it took."""
    begun = time.monotonic()
    with Smtp(server.ports["mx-proxy"], proxy=v2(source), timeout=20) as client:
        client.ehlo(f"mail.{name}.test")
        assert client.deliver(f"a@{name}.test", [receiver.address], mail.plain()).code == 250
        assert client.cmd("QUIT").code == 221
    return time.monotonic() - begun


@pytest.mark.skipif(shutil.which("swaks") is None, reason="no swaks")
def test_ordinary_clients_pass_while_a_flood_runs(server, new_user):
    sender, receiver = new_user(), new_user()
    server.command("ban", "add", BANNED, "--reason", "flood")
    wait_banned(server)
    roles, mark, before = server.roles(), server.mark(), server.metrics()
    honest = [(f"203.0.113.{number}", f"honest{number}") for number in range(1, 9)]
    for source, name in honest:
        deliver_as(server, source, name, receiver)  # known from now on
    flood = Flood(server.ports["mx-proxy"])
    flood.start()
    sent, longest = len(honest), 0
    while flood.is_alive():
        source, name = honest[sent % len(honest)]
        longest = max(longest, deliver_as(server, source, name, receiver))
        sent += 1
        if sent % 10 == 0:
            done = swaks(server, "mx", "--to", receiver.address, "--from", "swaks@remote.test", "--helo", "swaks.remote.test")
            assert done.returncode == 0, done.stdout[-500:]
            done = swaks(server, "smtps", "--tls-on-connect", "--auth", "PLAIN", "--auth-user", sender.address, "--auth-password", sender.password,
                         "--to", receiver.address, "--from", sender.address)
            assert done.returncode == 0, done.stdout[-500:]
            sent += 2
        if sent % 4 == 0:
            with Imap(server.ports["imaps-proxy"], tls=True, proxy=v2("203.0.113.200")) as reader:
                assert reader.login(receiver.address, receiver.password).status == "OK"
                reader.ok("SELECT INBOX")
        time.sleep(0.1)
    flood.join()
    with Imap(server.ports["imap"]) as reader:
        assert reader.login(receiver.address, receiver.password).status == "OK"
        reader.wait_messages(sent)
    assert longest < 5, f"an honest delivery took {longest:.1f} s"
    assert server.roles() == roles, "a process was restarted"
    assert flood.ended > FLOOD_SECONDS * RATE / 2 and flood.answers.get(b"521", 0) > 0, (flood.ended, flood.refused, flood.answers)
    after = server.metrics()

    def grown(name):
        return sum(after[key] - before.get(key, 0) for key in after if key.startswith(name))
    assert grown('rockdove_security_events_total{kind="early_talker"') > 0
    assert grown('rockdove_security_events_total{kind="banned"') > 0
    assert grown('rockdove_security_events_total{kind="protocol_abuse"') > 0
    lines = [line for line in server.since(mark) if " security." in line]
    assert len(lines) < (FLOOD_SECONDS + 5) * 150, "a flood does not fill the disk"
    assert not [line for line in lines if "203.0.113." in line], "nothing was held against the honest"
    # nobody honest is banned, or near it
    for source, _ in honest:
        assert "not banned" in server.command("ban", "explain", source, check=False).stdout
    server.command("ban", "remove", BANNED)


def test_what_a_flood_may_cost_is_bounded(server):
    """Memory of all processes before and after some thousand bad connections, and no descriptor is left behind."""
    from pathlib import Path

    def descriptors():
        return {role: len(list(Path(f"/proc/{pid}/fd").iterdir())) for role, pid in server.roles().items()}
    time.sleep(1)
    before = descriptors()
    flood = Flood(server.ports["mx-proxy"], seconds=4)
    flood.start()
    flood.join()
    deadline = time.monotonic() + 8
    while (after := descriptors()) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert all(after[role] <= before[role] + 2 for role in before), (before, after)


@pytest.mark.usefixtures("need_peers")
def test_all_checks_every_200_ms_during_load(server, scratch, new_user):
    """Every form of check five times a second, one HAProxy server line each, while mail and reset connections come in."""
    receiver = new_user()
    roles, mark, compat = server.roles(), server.mark(), server.home / "mail.log"
    written = len(compat.read_text().splitlines())
    front = HAProxy(scratch / f"haproxy{free_port()}", [
        Pool(name, server.ports[listener], f"{line.format(**server.ports)} inter 200ms fall 3 rise 1", options)
        for name, (listener, line, options) in CHECKS.items()], free_port).start()
    try:
        front.wait_status("UP")
        before = server.metrics()["rockdove_health_checks_total"]
        deadline, sent, longest = time.monotonic() + 8, 0, 0
        while time.monotonic() < deadline:
            longest = max(longest, deliver_as(server, f"203.0.113.{100 + sent % 20}", "load", receiver))
            sent += 1
            for header in (local(), b""):
                with Smtp(server.ports["mx-proxy"], proxy=header, greet=False) as client:
                    client.reset()
            rows = front.servers()
            assert all(row["status"] == "UP" for row in rows.values()), {n: (r["status"], r["check_status"]) for n, r in rows.items()}
        assert longest < 5, longest
        assert server.roles() == roles, "a process was restarted"
        looked = server.metrics()["rockdove_health_checks_total"] - before
        assert looked > 8 * 5 * 8, f"only {looked} checks were seen"
    finally:
        front.stop()
    noise = [line for line in server.since(mark) if " smtp.accepted " not in line and " queue." not in line and " store." not in line
             and "client=203.0.113." not in line and " relay." not in line]
    assert noise == [], noise[:10]
    assert compat.read_text().splitlines()[written:] == [], "lines that would get the proxy banned"
