"""A real CrowdSec beside the server: it reads our log and decides; we ask it and obey, and tell it what we would ban.

Clients come from addresses of their own, each with a PROXY header from the trusted loopback network. What CrowdSec has
decided is asked of its own `cscli`.
"""
import base64
import itertools
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

import proxyheader as proxy
from peers import crowdsec as peer
from pop3_client import Pop3
from rockdove import BINARY, DOMAIN, TOP, Server, free_port
from wire import Imap, Smtp

pytestmark = pytest.mark.skipif(peer.missing_reason() is not None, reason=str(peer.missing_reason()))

PORTS = ("mx-proxy", "submission-proxy", "smtps-proxy", "imaps-proxy", "pop3s-proxy")
ACCOUNTS = {f"jane@{DOMAIN}": "right-word"}
LIMITS = {"mx": {"connections_per_minute": 1000000}, "imap": {"connections_per_user_and_address": 5000}, "auth_failure_delay": "50ms"}
_addresses = (f"203.0.113.{number}" for number in itertools.count(1))
_others = (f"198.51.100.{number}" for number in itertools.count(1))
VICTIM = "198.51.100.199"  # never connects, is named by all attackers


@pytest.fixture
def address():
    """A client's address no other test uses."""
    return next(_addresses)


@pytest.fixture
def other():
    return next(_others)


@pytest.fixture(scope="module")
def files(scratch):
    folder = scratch / "crowdsec-files"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "key").write_text(peer.BOUNCER_KEY + "\n")
    (folder / "machine").write_text(peer.PASSWORD + "\n")
    (folder / "key2").write_text("f" * 32)
    return folder


@pytest.fixture(scope="module")
def crowdsec(scratch, files):
    logs = [(files / "mail.log", {"type": "syslog"}), (files / "docker.log", {"type": "rockdove-container"}),
            (files / "cri.log", {"type": "rockdove-container"})]
    one = peer.CrowdSec(scratch / "crowdsec", free_port(), logs)
    one.add_parser("s00-raw", TOP / "deploy/crowdsec/rockdove-container.yaml")
    try:
        one.start()
        one.add_bouncer("second", "f" * 32)
        one.add_bouncer("tests", "e" * 32)
        yield one
    finally:
        one.stop()


def lapi_options(url, files, key="key", machine=True, **more):
    options = {"url": url, "key_file": files / key, "interval": "200ms", **more}
    return {**options, "machine": peer.MACHINE, "machine_file": files / "machine"} if machine else options


@pytest.fixture(scope="module")
def server(scratch, certs, crowdsec, files):
    one = Server(scratch / "door", certs, ACCOUNTS, crowdsec=lapi_options(crowdsec.url, files, machine=False), bans="observe",
                 before_greeting={"wait": "300ms"}, limits=LIMITS,
                 log=[{"to": "stderr", "format": "text"}, {"to": files / "mail.log", "format": "postfix"}])
    one.start()
    one.wait_log(r"relay\.crowdsec url=")
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def running(crowdsec):
    """A test that ends CrowdSec leaves the next one a new process."""
    yield
    if crowdsec.process.poll() is not None:
        crowdsec.start()


# ---- clients ----

def knock(server, listener, source, greet=True, **options):
    header = proxy.v2(source, "2001:db8::1" if ":" in source else "198.18.0.1")
    kind = Imap if listener.startswith("imap") else Pop3 if listener.startswith("pop3") else Smtp
    return kind(server.ports[listener], greet=greet, proxy=header, tls=listener.startswith(("smtps", "imaps", "pop3s")), **options)


def is_open(server, listener, source):
    """The client gets a greeting; False: it is sent away at once."""
    try:
        with knock(server, listener, source, greet=False) as client:
            return client.line()[:4] in (b"220 ", b"220-", b"* OK", b"+OK ")
    except (EOFError, ConnectionError, ssl.SSLError):
        return False


def doors(server, source):
    """The listeners that are open for this address."""
    return tuple(listener for listener in PORTS if is_open(server, listener, source))


def wait_doors(server, source, wanted, timeout=8):
    deadline = time.monotonic() + timeout
    while (found := doors(server, source)) != wanted:
        assert time.monotonic() < deadline, f"{source}: open are {found}, not {wanted}\n{server.log()[-3000:]}"
        time.sleep(0.1)


def wait_shut(server, source, timeout=8):
    wait_doors(server, source, (), timeout)


def wait_open(server, source, timeout=8):
    wait_doors(server, source, PORTS, timeout)


def fail_imap(server, source, times=4, name=f"jane@{DOMAIN}"):
    for number in range(times):
        with knock(server, "imaps-proxy", source) as client:
            assert client.login(name, f"wrong-{number}").status == "NO"


def submission(server, listener, source):
    client = knock(server, listener, source)
    client.ehlo()
    if listener.startswith("submission"):
        client.starttls()
        client.ehlo()
    return client


def b64(text):
    return base64.b64encode(text.encode()).decode()


def sasl_plain(client, number):
    return client.auth_plain(f"jane@{DOMAIN}", f"wrong-{number}")


def sasl_login(client, number):
    assert client.cmd("AUTH LOGIN").code == 334
    assert client.cmd(b64(f"jane@{DOMAIN}")).code == 334
    return client.cmd(b64(f"wrong-{number}"))


def sasl_scram(client, number):
    reply = client.cmd("AUTH SCRAM-SHA-256 " + b64(f"n,,n=jane@{DOMAIN},r=clientnonce{number}"))
    assert reply.code == 334, reply
    nonce = base64.b64decode(reply.text.split()[-1]).decode().split(",")[0]
    return client.cmd(b64(f"c=biws,{nonce},p={'A' * 43}="))


def mail_log(files):
    return (files / "mail.log").read_text()


# ---- what it reads in our log ----

def test_guessing_over_imap(server, crowdsec, address, other):
    """Brute force on IMAP: CrowdSec sees it in the log, decides, and every port is shut before TLS; deleted: open again."""
    wait_open(server, address)
    fail_imap(server, address)
    assert crowdsec.wait_decision(address) == "crowdsecurity/dovecot-spam"
    wait_shut(server, address)
    assert doors(server, other) == PORTS
    with knock(server, "mx-proxy", address, greet=False) as client:
        assert client.line().startswith(b"521 5.7.1 ")
        client.at_end()
    crowdsec.unban(address)
    wait_open(server, address)


def test_guessing_over_pop3(server, crowdsec, address):
    for number in range(4):
        with knock(server, "pop3s-proxy", address) as client:
            client.ok(f"USER jane@{DOMAIN}")
            client.err(f"PASS wrong-{number}", b"[AUTH]")
    assert crowdsec.wait_decision(address) == "crowdsecurity/dovecot-spam"
    wait_shut(server, address)


@pytest.mark.parametrize("listener", ["submission-proxy", "smtps-proxy"])
@pytest.mark.parametrize("guess", [sasl_plain, sasl_login, sasl_scram])
def test_guessing_over_smtp(server, crowdsec, address, listener, guess):
    with submission(server, listener, address) as client:
        if guess is sasl_scram and "SCRAM-SHA-256" not in client.cmd("EHLO again").text:
            pytest.skip("SCRAM is offered where every account has such a secret")
    for number in range(6):
        with submission(server, listener, address) as client:
            assert guess(client, number).code == 535
            assert client.cmd("QUIT").code == 221
    assert crowdsec.wait_decision(address) == "crowdsecurity/postfix-spam"
    wait_shut(server, address)


def test_unknown_recipients(server, crowdsec, address):
    with knock(server, "mx-proxy", address) as client:
        client.ehlo()
        assert client.cmd("MAIL FROM:<a@remote.test>").code == 250
        for number in range(7):
            assert client.cmd(f"RCPT TO:<nobody{number}@{DOMAIN}>").code == 550
        client.cmd("QUIT")
    assert crowdsec.wait_decision(address) == "crowdsecurity/postfix-spam"
    wait_shut(server, address)


def test_clients_that_vanish(server, crowdsec, address):
    for _ in range(7):
        client = knock(server, "mx-proxy", address)
        client.ehlo()
        assert client.cmd("MAIL FROM:<a@remote.test>").code == 250
        client.close()
    assert crowdsec.wait_decision(address) == "crowdsecurity/postfix-spam"


@pytest.mark.parametrize("source", ["203.0.113.250", "2001:db8:5::1"])
def test_early_talker(server, crowdsec, source):
    with knock(server, "mx-proxy", source, greet=False) as client:
        client.send("EHLO early.example\r\nMAIL FROM:<a@b>\r\n")
        client.at_end()
    assert crowdsec.wait_decision(source) == "crowdsecurity/postscreen-rbl"
    wait_shut(server, source)


def test_guessers_who_do_not_wait(server, crowdsec, files, address):
    """Who hangs up before the delayed answer is seen all the same."""
    for number in range(5):
        client = knock(server, "imaps-proxy", address)
        client.send(f'a LOGIN jane@{DOMAIN} "wrong-{number}"\r\n')
        client.close()
    assert crowdsec.wait_decision(address) == "crowdsecurity/dovecot-spam"


def test_device_with_an_old_password(server, crowdsec, files, other, address):
    """The same wrong password again and again is one line, whatever the service: nobody bans a user's own phone."""
    for number in range(8):
        with knock(server, "imaps-proxy", other) as client:
            assert client.login(f"jane@{DOMAIN}", "last-year").status == "NO"
        client = submission(server, "smtps-proxy", other)
        assert client.auth_plain(f"jane@{DOMAIN}", "last-year").code == 535
        client.close()
    fail_imap(server, address)
    crowdsec.wait_decision(address)  # all lines were read
    text = mail_log(files)
    assert text.count(f"[{other}]") + text.count(f"rip={other}") == 1
    assert doors(server, other) == PORTS


def test_ipv6_client(server, crowdsec):
    source = "2001:db8:6::66"
    fail_imap(server, source)
    assert crowdsec.wait_decision(source) == "crowdsecurity/dovecot-spam"
    wait_shut(server, source)
    assert doors(server, "2001:db8:6::67") == PORTS


def test_mapped_ipv4_in_the_header(server, crowdsec, files, other):
    """HAProxy hands an IPv4 client of a [::] socket over as ::ffff:a.b.c.d: in the log it is IPv4."""
    mapped = proxy.header(1, proxy.TCP6, socket.inet_pton(socket.AF_INET6, f"::ffff:{other}") * 2 + b"\x9c\x41\x00\x19")
    for number in range(4):
        with Imap(server.ports["imaps-proxy"], proxy=mapped, tls=True) as client:
            assert client.login(f"jane@{DOMAIN}", f"wrong-{number}").status == "NO"
    assert crowdsec.wait_decision(other) == "crowdsecurity/dovecot-spam"
    assert "ffff" not in mail_log(files)
    wait_shut(server, other)


def test_honest_clients_leave_no_line(server, crowdsec, files, other):
    """Mail, a login, a typing error in a recipient, a probe, a client that only looks: nothing a tool could count."""
    before = mail_log(files).count(f"[{other}]") + mail_log(files).count(f"rip={other}")
    for _ in range(8):
        with knock(server, "mx-proxy", other) as client:
            client.ehlo()
            assert client.deliver("a@remote.test", [f"jane@{DOMAIN}"], b"Subject: x\r\n\r\ny\r\n").code == 250
            assert client.cmd("QUIT").code == 221
        with knock(server, "imaps-proxy", other) as client:
            assert client.login(f"jane@{DOMAIN}", "right-word").status == "OK"
        with knock(server, "mx-proxy", other):
            pass
        for listener in PORTS:
            for header in (proxy.local(), proxy.V1_UNKNOWN, b""):
                sock = socket.create_connection(("127.0.0.1", server.ports[listener]))
                sock.sendall(header)
                sock.close()
    time.sleep(0.5)
    text = mail_log(files)
    assert text.count(f"[{other}]") + text.count(f"rip={other}") == before
    assert "[127.0.0.1]" not in text and "rip=127.0.0.1" not in text


def test_limits_leave_no_line(make_server, address, other):
    """Who is told to come later, or is one of the owner's, is not to be banned for it."""
    monitor, own = "192.0.2.200", "192.0.2.100"
    one = make_server(ACCOUNTS, trusted_networks=[f"{own}/32"], ban_policy={"except": [f"{monitor}/32"]}, before_greeting={"wait": "0s"},
                      limits={"mx": {"connections_per_minute": 10, "messages_per_minute": 3, "recipients_per_minute": 6},
                              "imap": {"connections_per_user_and_address": 2}, "auth_failure_delay": "50ms"}).start()
    with knock(one, "mx-proxy", address) as client:
        client.ehlo()
        codes = []
        for number in range(8):
            codes.append(client.cmd("MAIL FROM:<a@remote.test>").code)
            codes.append(client.cmd(f"RCPT TO:<jane@{DOMAIN}>").code)
            client.cmd("RSET")
        assert {450, 451, 452, 421} & set(codes) and not {550, 554} & set(codes), codes
    for _ in range(30):
        with knock(one, "mx-proxy", address, greet=False) as client:
            client.line()
    kept = []
    for _ in range(8):
        kept.append(knock(one, "imaps-proxy", other))
        kept[-1].login(f"jane@{DOMAIN}", "right-word")
    for client in kept:
        client.close()
    for source in (monitor, own):
        fail_imap(one, source, 5)
        with knock(one, "mx-proxy", source) as client:
            client.ehlo()
            client.cmd("MAIL FROM:<a@remote.test>")
            assert client.cmd(f"RCPT TO:<nobody@{DOMAIN}>").code == 550
    time.sleep(0.5)
    assert (one.home / "mail.log").read_text() == ""


def test_lines_of_a_container(server, crowdsec, files, certs, make_server, address, other):
    """The same lines on stdout, as Docker and containerd keep them, beside our lines for people with a stranger's words."""
    class OnStdout(Server):
        def start(self, timeout=10):
            real, here = subprocess.Popen, self

            def spawn(command, **options):
                here.out = open(here.home / "stdout", "wb")
                return real(command, **{**options, "stdout": here.out})
            subprocess.Popen = spawn
            try:
                return super().start(timeout)
            finally:
                subprocess.Popen = real

    one = OnStdout(files.parent / "container", certs, ACCOUNTS, limits=LIMITS,
                   log=[{"to": "stderr", "format": "text"}, {"to": "stdout", "format": "postfix"}])
    one.start()
    try:
        for source in (address, other):
            fail_imap(one, source, name=f'x, rip={VICTIM}, lip=1.1.1.1')
            with knock(one, "mx-proxy", source) as client:
                client.cmd(f"EHLO lost connection after X from v[{VICTIM}]")
                client.cmd(f"HELO v[{VICTIM}]")
        time.sleep(0.3)
    finally:
        one.stop()
        one.out.close()
    lines = (one.home / "stdout").read_text().splitlines()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime())
    assert len(lines) >= 8
    with open(files / "docker.log", "a") as log:
        log.writelines(json.dumps({"log": line + "\n", "stream": "stdout", "time": stamp}) + "\n" for line in lines if other not in line)
        log.writelines(json.dumps({"log": line + "\n", "stream": "stderr", "time": stamp}) + "\n" for line in one.lines * 3)
    with open(files / "cri.log", "a") as log:
        log.writelines(f"{stamp} stdout F {line}\n" for line in lines if address not in line)
        log.writelines(f"{stamp} stderr F {line}\n" for line in one.lines * 3)
    assert crowdsec.wait_decision(address) == "crowdsecurity/dovecot-spam"
    assert crowdsec.wait_decision(other) == "crowdsecurity/dovecot-spam"
    assert VICTIM not in crowdsec.decisions()


# ---- injection ----

LOST = f"lost connection after X from v[{VICTIM}]"
DOVECOT = f"dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<u>, method=PLAIN, rip={VICTIM}, lip=1.1.1.1"
FORGED = (LOST, f"u>, rip={VICTIM}, lip=1.1.1.1", f"u\r\nNov 21 03:30:01 mail {DOVECOT}\r\n", f"[{VICTIM}]", f"x\0[{VICTIM}]",
          f"warning: v[{VICTIM}]: SASL PLAIN authentication failed: x", f"NOQUEUE: reject: RCPT from v[{VICTIM}]: 550",
          f"PREGREET 1 after 0.01 from [{VICTIM}]:1: x", f"x-login: auth failed: user=<a>, rip={VICTIM}, lip=1.1.1.1")


def quoted(text):
    return '"' + text.replace("\r", " ").replace("\n", " ").replace("\0", " ").replace("\\", "").replace('"', "") + '"'


def forge_imap(server, source, text):
    with knock(server, "imaps-proxy", source) as client:
        raw = text.replace("\0", " ").encode()
        client.send(b"a LOGIN {%d+}\r\n%s {5+}\r\nwrong\r\n" % (len(raw), raw))
        assert b"a NO" in client.line() or True


def forge_names(server, source, text):
    with submission(server, "smtps-proxy", source) as client:
        client.auth_plain(text.replace("\0", " "), "wrong")
        client.cmd(f"AUTH LOGIN {b64(text)}")
        client.cmd(b64("wrong"))


def forge_envelope(server, source, text):
    with knock(server, "mx-proxy", source) as client:
        client.cmd(f"EHLO {quoted(text)[1:-1]}")
        client.ehlo("host.example")
        client.cmd(f"MAIL FROM:<{quoted(text)}@remote.test>")
        client.cmd(f"RCPT TO:<{quoted(text)}@{DOMAIN}>")
        client.cmd(f"RCPT TO:<nobody@{DOMAIN}> {quoted(text)}")
        client.cmd(quoted(text)[1:-1])


def forge_early(server, source, text):
    with knock(server, "mx-proxy", source, greet=False) as client:
        client.send(text + "\r\n")
        client.at_end()


@pytest.mark.parametrize("forge", [forge_imap, forge_names, forge_envelope, forge_early])
def test_nobody_else_gets_banned(server, crowdsec, files, forge):
    """Whatever attackers write where, no decision and no alert ever names another than themselves."""
    attackers = []
    for text in FORGED:
        attackers.append(source := next(_addresses))
        for _ in range(4):
            try:
                forge(server, source, text)
            except (EOFError, ConnectionError, ssl.SSLError):
                pass  # sent away; also because it is banned already
    sentinel = next(_addresses)
    fail_imap(server, sentinel)
    crowdsec.wait_decision(sentinel)  # by then all lines before have been read
    assert any(source in crowdsec.decisions() for source in attackers), "the lines were not read at all"
    assert VICTIM not in crowdsec.decisions()
    assert VICTIM not in json.dumps([alert["source"] for alert in crowdsec.alerts()])
    text = mail_log(files)
    assert f"[{VICTIM}" not in text and f"rip={VICTIM}" not in text
    assert all(re.match(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d mail\.example\.test (postfix|dovecot)", line) for line in text.splitlines())


# ---- what it decides by itself ----

def test_networks(server, crowdsec):
    """A network by decision; more than one decision about an address."""
    crowdsec.ban("192.0.2.0/25", scope="range")
    crowdsec.ban("2001:db8:77::/48", scope="range")
    wait_shut(server, "192.0.2.7")
    wait_shut(server, "2001:db8:77:1::9")
    assert doors(server, "192.0.2.130") == doors(server, "2001:db8:78::1") == PORTS
    crowdsec.ban("192.0.2.7")
    crowdsec.unban("192.0.2.0/25", "range")
    crowdsec.unban("2001:db8:77::/48", "range")
    wait_open(server, "2001:db8:77:1::9")
    wait_open(server, "192.0.2.8")
    assert doors(server, "192.0.2.7") == ()
    crowdsec.unban("192.0.2.7")
    wait_open(server, "192.0.2.7")


def test_several_decisions_about_one_address(server, crowdsec, other):
    crowdsec.ban(other, "20m")
    crowdsec.ban(other, "10m")
    wait_shut(server, other)
    numbers = sorted(crowdsec.decision_ids(other, "e" * 32))  # the longest first: only that one is told where one asks for one
    assert len(numbers) == 2
    crowdsec.cscli("decisions", "delete", "--id", numbers[0])
    time.sleep(1.5)
    assert doors(server, other) == ()
    crowdsec.cscli("decisions", "delete", "--id", numbers[1])
    wait_open(server, other)


def test_decisions_end_by_themselves(server, crowdsec, other):
    crowdsec.ban(other, "3s")
    wait_shut(server, other, timeout=3)
    wait_open(server, other, timeout=6)


def test_mapped_and_other_decisions(server, crowdsec, address, other):
    """IPv4-mapped ones are about the IPv4 address; other types than ban are not for us; the world is not shut out."""
    crowdsec.ban(f"::ffff:{other}")
    crowdsec.ban(address, kind="captcha")
    mark = server.mark()
    crowdsec.ban("0.0.0.0/1", scope="range")
    wait_shut(server, other)
    server.wait_log(r"relay\.crowdsec_too_wide .*networks=1", mark)
    assert doors(server, address) == PORTS
    crowdsec.unban("0.0.0.0/1", "range")


def test_own_networks_are_never_shut_out(server, crowdsec, other):
    """Load balancers and this machine itself, whatever CrowdSec says."""
    crowdsec.ban("127.0.0.0/8", scope="range")
    crowdsec.ban(other)
    wait_shut(server, other)
    with Smtp(server.ports["mx"]) as client:
        assert client.cmd("QUIT").code == 221
    crowdsec.unban("127.0.0.0/8", "range")


# ---- it goes and comes back ----

def test_lapi_away(server, crowdsec, address, other):
    """What was decided stays; one line when it goes, one when it comes back."""
    crowdsec.ban(address)
    wait_shut(server, address)
    assert server.metrics()["rockdove_crowdsec_up"] == 1
    mark = server.mark()
    crowdsec.stop(signal.SIGKILL)
    server.wait_log(r"relay\.crowdsec_away ", mark)
    time.sleep(2)
    assert server.metrics()["rockdove_crowdsec_up"] == 0
    assert doors(server, address) == () and doors(server, other) == PORTS
    assert server.get("/readyz")[0] == 200
    crowdsec.start()
    server.wait_log(r"relay\.crowdsec_back ", mark, timeout=20)
    assert server.metrics()["rockdove_crowdsec_up"] == 1
    lines = [line for line in server.since(mark) if "relay.crowdsec" in line]
    assert len(lines) == 2, lines
    assert doors(server, address) == ()
    crowdsec.ban(other)
    wait_shut(server, other)
    crowdsec.unban(other)
    wait_open(server, other)


def test_restart_while_it_is_away(make_server, crowdsec, files, other):
    """A server that starts without the LAPI remembers what was decided."""
    crowdsec.ban(other)
    one = make_server(ACCOUNTS, crowdsec=lapi_options(crowdsec.url, files, key="key2", machine=False), bans="observe", before_greeting={"wait": "0s"}).start()
    wait_shut(one, other)
    time.sleep(1)  # kept within half a second
    crowdsec.stop()
    one.stop()
    one.start()
    one.wait_log(r"relay\.crowdsec_away ", one.mark() - 50)
    wait_shut(one, other, timeout=2)
    assert doors(one, "198.51.100.254") == PORTS


@pytest.mark.parametrize("role", ["auth", "relay", "smtp"])
def test_role_started_anew(server, crowdsec, other, role):
    """Whichever process dies: the decisions are there again in a moment."""
    crowdsec.ban(other)
    wait_shut(server, other)
    os.kill(server.roles()[role], signal.SIGKILL)
    time.sleep(1)
    wait_shut(server, other)
    crowdsec.unban(other)
    wait_open(server, other)


def test_key_changes(make_server, crowdsec, files, other):
    """A wrong key is one line; the right one in its file counts after a reload."""
    key = files / "changing-key"
    key.write_text("wrong\n")
    one = make_server(ACCOUNTS, crowdsec={"url": crowdsec.url, "key_file": key, "interval": "200ms"}, bans="observe",
                      before_greeting={"wait": "0s"}).start()
    assert "refuses the key" in one.wait_log(r"relay\.crowdsec_away ")
    crowdsec.ban(other)
    key.write_text("f" * 32 + "\n")
    one.process.send_signal(signal.SIGHUP)
    one.wait_log(r"relay\.crowdsec url=", timeout=10)
    wait_shut(one, other)
    crowdsec.unban(other)
    wait_open(one, other)


# ---- what we tell it ----

def test_reports(make_server, crowdsec, files, other):
    """What our own policy would ban becomes an alert, CrowdSec decides, and we obey."""
    one = make_server(ACCOUNTS, crowdsec=lapi_options(crowdsec.url, files, key="key2"), bans="observe", limits=LIMITS,
                      before_greeting={"wait": "0s"}, log=[{"to": "stderr", "format": "text"}]).start()
    deadline = time.monotonic() + 30
    for number in itertools.count():
        try:
            fail_imap(one, other, 1, f"user{number}@{DOMAIN}")
        except (EOFError, ConnectionError, ssl.SSLError):
            break
        assert time.monotonic() < deadline, one.log()[-3000:]
    assert re.match("rockdove/", crowdsec.wait_decision(other))
    alert = next(alert for alert in crowdsec.alerts() if alert["source"]["value"] == other)
    assert alert["machine_id"] == peer.MACHINE and alert["scenario"].startswith("rockdove/") and alert["events_count"] > 0
    assert alert["message"]
    wait_shut(one, other)
    assert one.metrics()['rockdove_crowdsec_reports_total{result="ok"}'] >= 1
    crowdsec.unban(other)
    wait_open(one, other)


# ---- a hostile LAPI ----

def entry(number, value, **more):
    return json.dumps({"duration": "1h", "id": number, "origin": "crowdsec", "scenario": "x", "scope": "Ip", "type": "ban", "value": value, **more})


class FakeLapi:
    """Answers each request with `answer`: bytes, or a function of (this, the socket)."""

    def __init__(self, cert=None):
        """`cert`: (certificate, key) of "localhost": it answers HTTPS."""
        self.socket = socket.create_server(("127.0.0.1", 0))
        port = self.socket.getsockname()[1]
        self.url = f"https://localhost:{port}/" if cert else f"http://127.0.0.1:{port}/"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if cert else None
        if cert:
            self.context.load_cert_chain(*cert)
        self.answer, self.asked, self.ended = self.page(b'{"new":null,"deleted":null}'), 0, False
        threading.Thread(target=self._run, daemon=True).start()

    @staticmethod
    def page(body, status=b"200 OK"):
        return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)

    def _run(self):
        while not self.ended:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            try:
                client.settimeout(30)
                if self.context:
                    client = self.context.wrap_socket(client, server_side=True)
                client.recv(65536)
                answer = self.answer
                self.asked += 1
                if callable(answer):
                    answer(self, client)
                else:
                    client.sendall(answer)
            except OSError:
                pass

    def close(self):
        self.ended = True
        self.socket.close()


@pytest.fixture(scope="module")
def fake():
    one = FakeLapi()
    yield one
    one.close()


@pytest.fixture(scope="module")
def beside_fake(scratch, certs, fake, files):
    one = Server(scratch / "beside-fake", certs, ACCOUNTS, crowdsec=lapi_options(fake.url, files, machine=False), bans="observe",
                 before_greeting={"wait": "0s"}, limits=LIMITS).start()
    yield one
    one.stop()


def endless(lapi, client):
    client.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"new":[')
    while True:
        client.sendall((entry(1, "198.51.100.1", type="other") + ",").encode() * 200)


def endless_string(lapi, client):
    client.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"new":[{"scenario":"')
    while True:
        client.sendall(b"a" * 65536)


def drip(lapi, client):
    """A byte now and then, as long as the test lasts (60 s would be the end of it)."""
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while lapi.answer is drip:
        client.sendall(b" ")
        time.sleep(0.05)


def endless_header(lapi, client):
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        client.sendall(b"X-Filler: " + b"y" * 1000 + b"\r\n")


HOSTILE = {
    "endless": endless, "endless string": endless_string, "endless header": endless_header, "drip": drip, "nothing": b"", "hangs up": lambda lapi, client: None,
    "no JSON": FakeLapi.page(b"<html>"), "broken": FakeLapi.page(b'{"new":[' + entry(9, "198.51.100.250").encode()),
    "deep": FakeLapi.page(b"[" * 100000), "deep list": FakeLapi.page(b'{"new":' + b"[" * 100000), "half": FakeLapi.page(b'{"new":null}')[:-5],
    "status": FakeLapi.page(b"{}", b"500 Oops"), "moved": b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "wrong list": FakeLapi.page(b'{"new":[' + entry(9, "198.51.100.250").encode() + b",7]}"),
}


def rss(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers(beside_fake, fake, name):
    """Whatever comes, it is no decision, what was decided stays, and the processes neither grow nor die."""
    roles = beside_fake.roles()
    fake.answer = fake.page(b'{"new":[%s]}' % entry(1, "198.51.100.240").encode())
    wait_shut(beside_fake, "198.51.100.240", timeout=20)
    deadline = time.monotonic() + 20
    while beside_fake.metrics()["rockdove_crowdsec_up"] != 1:  # what failed before has made the pauses longer
        assert time.monotonic() < deadline
        time.sleep(0.1)
    fake.answer, asked = HOSTILE[name], fake.asked
    deadline = time.monotonic() + 10
    while fake.asked < asked + (1 if callable(HOSTILE[name]) else 2):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    assert doors(beside_fake, "198.51.100.240") == ()
    assert doors(beside_fake, "198.51.100.250") == PORTS
    assert rss(roles["relay"]) < 400000 and beside_fake.roles() == roles


def test_many_decisions(make_server, files):
    """100,000 in one answer: told in pieces, and each is obeyed."""
    lapi = FakeLapi()
    lapi.answer = lapi.page(b'{"new":[%s]}' % ",".join(entry(n, f"45.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(100000)).encode())
    one = make_server(ACCOUNTS, crowdsec=lapi_options(lapi.url, files, machine=False), bans="observe", before_greeting={"wait": "0s"}).start()
    line = one.wait_log(r"relay\.crowdsec url=", timeout=20)
    assert "decisions=100000" in line
    lapi.answer = lapi.page(b'{"new":null,"deleted":[%s]}' % entry(99999, "45.1.134.159").encode())
    wait_open(one, "45.1.134.159", timeout=15)
    for source in ("45.0.0.1", "45.1.134.158"):
        wait_shut(one, source)
    lapi.close()


def test_https(make_server, certs, files):
    """Only a LAPI whose certificate ca_file knows is told the key."""
    lapi = FakeLapi(certs.issue("localhost"))
    lapi.answer = lapi.page(b'{"new":[%s]}' % entry(1, "198.51.100.230").encode())
    options = {"crowdsec": lapi_options(lapi.url, files, machine=False), "bans": "observe", "before_greeting": {"wait": "0s"}}
    one = make_server(ACCOUNTS, **options).start()
    assert "certificate" in one.wait_log(r"relay\.crowdsec_away ")
    assert lapi.asked == 0
    one.stop()
    other = make_server(ACCOUNTS, ca_file=certs.ca, **options).start()
    other.wait_log(r"relay\.crowdsec url=")
    wait_shut(other, "198.51.100.230")
    lapi.close()
