"""Strangers on the MX before the greeting: the wait, early talkers, DNS lists, who is known, and everybody who must not notice
any of it. Clients come from foreign addresses through PROXY headers."""
import os
import re
import signal
import smtplib
import socket
import subprocess
import time

import mail
import proxyheader as proxy
import pytest
from peers.dnszone import Dns
from peers.haproxy import HAProxy, Pool
from rockdove import free_port
from wire import Smtp

WAIT, LATE = 1.0, 0.5  # seconds; how late a busy machine may be
GREETING = {"wait": "1s"}
SERVER = {"before_greeting": GREETING, "trusted_networks": ["192.0.2.128/25"],
          "listeners": ["mx", "mx-proxy", "submission-proxy", "smtps-proxy", "imap", "metrics"]}
_last = iter(range(1, 60000))


def fresh_address():
    """An address nobody has come from, each in a /24 with few others, and never one that the zones list."""
    number = next(_last)
    return f"100.{64 + number // 2000}.{number // 8 % 250}.{number % 8 * 8 + 1}"


def knock(server, source=None, listener="mx-proxy", header=None):
    """A connection without its greeting read, and when it was made."""
    if source:
        header = proxy.v2(source, "2001:db8::1" if ":" in source else "198.51.100.1")
    client = Smtp(server.ports[listener], greet=False, proxy=header or b"")
    client.began = time.monotonic()
    return client


def greeted(client):
    """The seconds until the greeting came."""
    reply = client.reply()
    client.after = time.monotonic() - client.began
    assert reply.code == 220, reply
    return client.after


def events(server, mark, kind, source):
    """Security events of this kind from an address."""
    time.sleep(0.2)
    return [line for line in server.since(mark) if f"security.{kind} " in line and f"client={source} " in line]


def compat(server, source):
    """The lines for tools that read Postfix's log in which the address stands."""
    return [line for line in (server.home / "mail.log").read_text().splitlines() if f"[{source}]" in line]


def troubles(server, mark):
    """Log lines above the level of information, but for what relay finds out in the background about the server's own name."""
    return [line for line in server.since(mark) if not re.search(r" (info|debug) | relay\.identity ", line)]


# ---- the wait ----

@pytest.mark.parametrize("sources", [("198.51.100.1", "198.51.100.1"), ("2001:db8:1::1", "2001:db8:1::2")])
def test_a_stranger_waits_once(server, sources):
    with knock(server, sources[0]) as client:
        assert WAIT - 0.02 <= greeted(client) < WAIT + LATE
        assert client.cmd("QUIT").code == 221
    with knock(server, sources[1]) as client:
        assert greeted(client) < LATE, "who behaved is not delayed again"


@pytest.mark.parametrize("name, options", {
    "this machine itself": {"listener": "mx"},
    "trusted network": {"source": "192.0.2.200"},
    "probe": {"header": proxy.local()},
    "load balancer": {"header": proxy.V1_UNKNOWN},
    "submission": {"source": "203.0.113.77", "listener": "submission-proxy"},
}.items())
def test_others_do_not_wait(server, name, options):
    with knock(server, **options) as client:
        assert greeted(client) < LATE, name


def test_without_a_word_in_the_configuration(make_server):
    """Three seconds, for strangers alone."""
    server = make_server(before_greeting=None, listeners=["mx", "mx-proxy"]).start()
    stranger = knock(server, "198.51.100.3")
    with knock(server, listener="mx") as client:
        assert greeted(client) < LATE
    assert 2.98 <= greeted(stranger) < 3 + LATE
    stranger.close()


def test_strangers_wait_side_by_side(server):
    clients = [knock(server, fresh_address()) for _ in range(200)]
    late = max(greeted(client) for client in clients)
    for client in clients:
        client.close()
    assert late < WAIT + 2 * LATE


def test_who_leaves_early_leaves_no_line(server):
    mark, source = server.mark(), fresh_address()
    for end in ("close", "reset"):
        client = knock(server, source)
        time.sleep(0.1)
        getattr(client, end)()
    time.sleep(0.3)
    assert not [line for line in server.since(mark) if source in line]
    with knock(server, source) as client:
        assert greeted(client) > WAIT - 0.02, "it has not passed"


# ---- early talkers ----

@pytest.mark.parametrize("words", [b"EHLO bot.test\r\n", b"E", b"\r\n", b"\n", b"\0", b"MAIL FROM:<x@y.test>\r\nQUIT\r\n", b"\xff" * 5000,
                                   b"Cookie: mstshash=Administr\r\n"])
def test_an_early_talker_is_refused(server, words):
    mark, source = server.mark(), fresh_address()
    client = knock(server, source)
    client.send(words)
    answer = client.at_end(5)
    assert answer == b"521 5.5.1 You spoke before the greeting\r\n"
    assert time.monotonic() - client.began < WAIT, "at once"
    assert len(events(server, mark, "early_talker", source)) == 1
    assert not [line for line in server.since(mark) if "smtp.session" in line and source in line], "one line is enough"
    line, = compat(server, source)
    assert re.search(rf" postfix/postscreen\[\d+\]: PREGREET {min(len(words), 8192)} after 0\.\d\d from \[{re.escape(source)}\]:40001: \S+$", line), line
    with knock(server, source) as client:
        assert greeted(client) > WAIT - 0.02


def test_behind_the_header_in_one_segment(server):
    """As HAProxy delivers it when the client was fast."""
    source = fresh_address()
    client = knock(server, header=proxy.v2(source) + b"EHLO bot.test\r\n")
    assert client.at_end(5).startswith(b"521 ")


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("words, detail", [(b"GET / HTTP/1.1\r\nHost: mx.example.test\r\n\r\n", "HTTP"), (b"POST /submit HTTP/1.0\r\n", "HTTP"),
                                           (b"CONNECT mail.example.test:25 HTTP/1.1\r\n", "HTTP"), (b"\x16\x03\x01\x02\x00\x01\x00", "TLS")])
def test_other_protocols_get_no_word(server, words, detail, early):
    mark, source = server.mark(), fresh_address()
    client = knock(server, source)
    if not early:
        greeted(client)
    client.send(words)
    assert client.at_end(5) == b""
    line, = events(server, mark, "protocol_abuse", source)
    assert detail in line
    assert not [line for line in server.since(mark) if "smtp.session" in line and source in line]
    assert not compat(server, source), "no line a tool could ban somebody for"


def test_own_machines_are_not_accused(server):
    """The same from a trusted network: closed, one ordinary line, no event."""
    mark = server.mark()
    client = knock(server, "192.0.2.201")
    greeted(client)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert client.at_end(5) == b""
    assert not events(server, mark, "protocol_abuse", "192.0.2.201")
    server.wait_log(r"smtp\.session .*client=192\.0\.2\.201", mark)


def test_bare_line_ends_are_an_offence(server):
    mark, source = server.mark(), fresh_address()
    client = knock(server, source)
    greeted(client)
    client.send(b"EHLO x\nNOOP\n")
    assert client.at_end(5).startswith(b"554 5.5.2 ")
    assert len(events(server, mark, "protocol_abuse", source)) == 1


def test_early_talkers_may_only_be_scored(make_server, new_user):
    server = make_server(before_greeting={"wait": "500ms", "reject_early": False}, listeners=["mx-proxy", "imap"]).start()
    user, mark, source = new_user(), server.mark(), "198.51.100.9"
    client = knock(server, source)
    client.send(b"EHLO hasty.test\r\n")
    assert 0.48 <= greeted(client) < 0.5 + LATE
    assert client.reply().code == 250
    assert client.deliver("a@remote.test", [user.address], mail.plain()).code == 250
    assert len(events(server, mark, "early_talker", source)) == 1
    assert len([line for line in compat(server, source) if "PREGREET" in line]) == 1
    with knock(server, source) as client:
        assert greeted(client) > 0.48, "it has not passed"


# ---- what is allowed ----

@pytest.mark.parametrize("source", ["203.0.113.50", "203.0.113.50"])
def test_whole_dialogues_at_once(server, imap, new_user, source):
    """Behind the greeting, in one write, by one who waited and again by the same who is known."""
    mark, user = server.mark(), new_user()
    with knock(server, source) as client:
        greeted(client)
        client.send(b"EHLO client.test\r\nMAIL FROM:<a@remote.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % user.address.encode()
                    + mail.plain() + b".\r\nQUIT\r\n")
        assert [client.reply().code for _ in range(6)] == [250, 250, 250, 354, 250, 221]
    with knock(server, source) as client:
        greeted(client)
        client.send(b"EHLO client.test\r\nQUIT\r\n")
        assert [client.reply().code for _ in range(2)] == [250, 221]
    imap(user).wait_messages(1)
    assert not [line for line in server.since(mark) if "security." in line]
    assert not compat(server, source)


@pytest.mark.parametrize("words", [[], ["--pipeline"], ["-tls"]])
def test_swaks_waits(server, imap, user, words):
    subprocess.run(["swaks", "--to", user.address, "--from", "stranger@remote.test", "--helo", "client.test", "--silent", "2", "--server",
                    f"127.0.0.1:{server.ports['mx-proxy']}", "--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-source", fresh_address(),
                    "--proxy-source-port", "4444", "--proxy-dest", "127.0.0.1", "--proxy-dest-port", "25", *words],
                   check=True, timeout=30, stdout=subprocess.DEVNULL)
    imap(user).wait_messages(1)


class Proxied(smtplib.SMTP):
    """Python's own client behind a proxy."""

    def __init__(self, port, source):
        self.header = proxy.v2(source)
        super().__init__("127.0.0.1", port, local_hostname="client.test", timeout=10)

    def _get_socket(self, host, port, timeout):
        sock = socket.create_connection((host, port), timeout)
        sock.sendall(self.header)
        return sock


def test_smtplib_waits(server, imap, user):
    with Proxied(server.ports["mx-proxy"], fresh_address()) as client:
        client.sendmail("stranger@remote.test", [user.address], mail.plain())
    imap(user).wait_messages(1)


def test_two_lines(make_server, scratch, need_peers):
    """Strangers see a greeting in two lines; HAProxy's smtpchk, which fails on one, sees a single line and stays content."""
    server = make_server(before_greeting={"wait": "1s", "text": "mail.example.test wants a moment"}, listeners=["mx", "mx-proxy", "metrics"]).start()
    with knock(server, "203.0.113.60") as client:
        assert client.line() == b"220-mail.example.test wants a moment"
        assert time.monotonic() - client.began < LATE
        assert client.line() == b"220 mail.example.test ESMTP Rockdove"
        assert WAIT - 0.02 <= time.monotonic() - client.began < WAIT + LATE
        client.ehlo()
    with knock(server, "203.0.113.61") as client:
        assert client.line().startswith(b"220-")
        client.send("EHLO bot.test\r\n")
        assert client.at_end(5) == b"521 5.5.1 You spoke before the greeting\r\n"
    checks = {"v2": (server.ports["mx-proxy"], "send-proxy-v2 check"), "port": (server.ports["mx-proxy"], f"send-proxy-v2 check port {server.ports['mx']}")}
    front = HAProxy(scratch / f"greeting{free_port()}", [Pool(name, port, f"{words} inter 200ms fall 1 rise 1", ("option smtpchk EHLO probe.test",))
                                                         for name, (port, words) in checks.items()], free_port).start()
    try:
        mark = server.mark()
        front.wait_status("UP")
        for _ in range(15):
            time.sleep(0.1)
            assert all(row["status"] == "UP" for row in front.servers().values())
        assert not troubles(server, mark)
    finally:
        front.stop()


# ---- lists ----

POINTS = "2.0.0.127 A 127.0.0.2\n2.0.0.127 TXT listed\n"
LISTED = "66.113.0.203 A 127.0.0.4\n"
BAD = {  # zone: (records, what the alarm says)
    "all.test": ("* A 127.0.0.2\n", "lists everybody"),
    "none.test": (LISTED, "lists nobody"),
    "refuses.test": ("* A 127.255.255.254\n", "refuses our resolver"),
    "parked.test": ("* A 203.0.113.80\n", "is no list"),
    "fails.test": (None, "does not answer"),
}


@pytest.fixture
def dns(scratch, need_peers):
    dns = Dns(scratch / f"dns{free_port()}", free_port())
    yield dns
    dns.pause(False)
    dns.stop()


def with_lists(make_server, dns, lists, reject_score=1, wait="1s"):
    return make_server(resolver=dns.settings, listeners=["mx", "mx-proxy", "metrics"],
                       before_greeting={"wait": wait, "reject_score": reject_score, "lists": lists}).start()


def lists_on(server):
    metrics = server.metrics()
    return metrics['rockdove_dns_lists{state="on"}'], metrics['rockdove_dns_lists{state="off"}']


def wait_lists(server, on, off):
    deadline = time.monotonic() + 10
    while lists_on(server) != (on, off):
        assert time.monotonic() < deadline, (lists_on(server), server.log())
        time.sleep(0.05)


def test_listed_clients_are_refused(make_server, dns):
    dns.zone("block.test", POINTS + LISTED + "67.113.0.203 A 127.0.0.9\n68.113.0.203 A 127.0.0.4\n69.113.0.203 A 127.0.0.3\n69.113.0.203 A 127.0.0.9\n")
    dns.zone("allow.test", POINTS + "68.113.0.203 A 127.0.10.2\n")
    dns.start()
    server = with_lists(make_server, dns, [{"zone": "block.test", "weight": 2, "answers": ["127.0.0.2/31", "127.0.0.4"]},
                                           {"zone": "allow.test", "weight": 1, "allow": True}], reject_score=2)
    wait_lists(server, 2, 0)
    mark = server.mark()
    for last, refused in ((66, True), (67, False), (68, False), (69, True), (70, False)):
        source = f"203.0.113.{last}"
        with knock(server, source) as client:
            reply = client.reply()
            assert WAIT - 0.02 <= time.monotonic() - client.began < WAIT + LATE
            assert reply.code == (554 if refused else 220), (last, reply)
            if refused:
                assert reply.text == f"5.7.1 No mail is taken from {source}: it is on block.test"
                assert client.at_end(2) == b""
        assert len(events(server, mark, "listed", source)) == refused
        assert not compat(server, source), "no line a tool could ban somebody for"
    assert not troubles(server, mark)


def test_a_listing_only_scores_unless_told_otherwise(make_server, dns):
    dns.zone("block.test", POINTS + LISTED)
    dns.start()
    server = with_lists(make_server, dns, [{"zone": "block.test", "weight": 3}], reject_score=0)
    wait_lists(server, 1, 0)
    mark = server.mark()
    with knock(server, "203.0.113.66") as client:
        greeted(client)
    server.wait_log(r"smtp\.listed client=203\.0\.113\.66 score=3 zones=block\.test refused=(false|no|0)", mark)
    assert not events(server, mark, "listed", "203.0.113.66")


def test_lists_that_answer_wrongly_are_off(make_server, dns):
    """One line each, and nobody is refused for them; the one good list works all the same."""
    for zone, (records, _) in BAD.items():
        dns.zone(zone, records) if records else dns.servfail(zone)
    dns.zone("good.test", POINTS + "77.113.0.203 A 127.0.0.2\n")
    dns.start()
    server = with_lists(make_server, dns, [{"zone": zone} for zone in [*BAD, "good.test"]])
    wait_lists(server, 1, len(BAD))
    for zone, (_, text) in BAD.items():
        assert text in server.wait_log(rf" error smtp\.dns_list\.off zone={re.escape(zone)} ")
    with knock(server, "203.0.113.66") as client:
        greeted(client)
    with knock(server, "203.0.113.77") as client:
        assert client.reply().code == 554
    time.sleep(6)  # one more test of the silent one, which is not worth another line
    alarms = [line for line in server.lines if "smtp.dns_list.off" in line]
    assert len(alarms) == len(BAD), alarms


def test_lists_die_and_come_back(make_server, dns):
    """They work at start; later one lists everybody, one refuses us, one's domain expired: the first honest client they would have hit
    passes, with one alarm each. A reload tests anew."""
    zones = ("one.test", "two.test", "three.test")
    for zone in zones:
        dns.zone(zone, POINTS + LISTED)
    dns.start()
    server = with_lists(make_server, dns, [{"zone": zone} for zone in zones])
    wait_lists(server, 3, 0)
    with knock(server, "203.0.113.66") as client:
        assert client.reply().code == 554
    for zone, dead in zip(zones, ("all.test", "refuses.test", "parked.test")):
        dns.zone(zone, BAD[dead][0])
        dns.reload(zone)
    time.sleep(10)  # a listing is believed for so long after a test; and the resolver's memory of what was
    with knock(server, "198.51.100.20") as client:
        greeted(client)
    wait_lists(server, 0, 3)
    assert len([line for line in server.lines if "smtp.dns_list.off" in line]) == 3
    for zone in zones:
        dns.zone(zone, POINTS + LISTED)
        dns.reload(zone)
    time.sleep(1.5)
    server.process.send_signal(signal.SIGHUP)
    wait_lists(server, 3, 0)


def test_a_dns_that_hangs_delays_nobody(make_server, dns):
    dns.zone("block.test", POINTS + LISTED)
    dns.start()
    server = with_lists(make_server, dns, [{"zone": "block.test"}])
    wait_lists(server, 1, 0)
    dns.pause()
    clients = [knock(server, f"203.0.113.{last}") for last in (66, 67, 68)]
    for client in clients:
        assert WAIT - 0.02 <= greeted(client) < WAIT + LATE
        client.ehlo()
        client.close()


# ---- who is known ----

def test_known_clients_survive_a_restart(make_server):
    server = make_server(before_greeting=GREETING, listeners=["mx-proxy", "metrics"]).start()
    sources = [fresh_address() for _ in range(50)] + ["2001:db8:7::1"]
    for client in [knock(server, source) for source in sources]:
        greeted(client)
        client.close()
    assert server.metrics()["rockdove_clients_known"] == len(sources)
    server.stop()
    assert (server.home / "data" / "auth" / "known").stat().st_mode & 0o777 == 0o600
    server.start()
    for killed in (False, True):
        if killed:  # what was saved before comes back also to a new process
            mark = server.mark()
            os.kill(server.roles()["smtp"], signal.SIGKILL)
            server.wait_log(r"role_ready role=smtp", mark)
        for source in sources:
            with knock(server, source) as client:
                assert greeted(client) < LATE
    with knock(server, "198.51.100.77") as client:
        assert greeted(client) > WAIT - 0.02


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"\xff" * 5000, b"\x20known1\n\x04", None])
def test_a_damaged_memory_costs_nothing(make_server, damage):
    server = make_server(before_greeting={"wait": "200ms"}, listeners=["mx-proxy"]).start()
    with knock(server, "198.51.100.78") as client:
        greeted(client)
    server.stop()
    file = server.home / "data" / "auth" / "known"
    file.write_bytes(damage) if damage is not None else file.unlink()
    server.start()
    with knock(server, "198.51.100.78") as client:
        greeted(client)


def test_a_reload_keeps_who_waits_and_who_is_known(make_server):
    server = make_server(before_greeting=GREETING, listeners=["mx-proxy", "metrics"]).start()
    with knock(server, "198.51.100.80") as client:
        greeted(client)
    waiting = knock(server, "198.51.100.81")
    server.config["before_greeting"] = {"wait": "300ms"}
    server.write_config()
    mark = server.mark()
    server.process.send_signal(signal.SIGHUP)
    server.wait_log(r"supervisor\.reload", mark)
    with knock(server, "198.51.100.80") as client:
        assert greeted(client) < LATE / 2
    with knock(server, "198.51.100.82") as client:
        assert 0.28 <= greeted(client) < 0.3 + LATE
    assert WAIT - 0.02 <= greeted(waiting) < WAIT + LATE
    waiting.close()


def test_a_stop_tells_who_waits(make_server):
    server = make_server(before_greeting={"wait": "20s"}, listeners=["mx-proxy"], timeouts={"drain": "2s"}).start()
    client = knock(server, "198.51.100.90")
    time.sleep(0.2)
    server.stop()
    assert client.at_end(5).startswith(b"421 4.3.2 ")
