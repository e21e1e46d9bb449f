"""The real HAProxy 2.6 in front: four frontends, and its health checks in every form."""
import re
import time

import mail
import pytest
from peers.haproxy import HAProxy, Pool
from rockdove import free_port
from wire import Imap, Smtp

pytestmark = pytest.mark.usefixtures("need_peers")
EVERY_SECOND = "inter 1s fall 3 rise 1"

# name: (listener, server line, backend options); {port} is the listener's own port for "check port"
CHECKS = {
    "tcp": ("mx", "check", ()),
    "v2": ("mx-proxy", "send-proxy-v2 check", ()),
    "v2send": ("mx-proxy", "send-proxy-v2 check check-send-proxy", ()),
    "v2tcpcheck": ("mx-proxy", "send-proxy-v2 check check-send-proxy", ("option tcp-check",)),
    "v1": ("mx-proxy", "check check-send-proxy", ()),
    "port": ("mx-proxy", "send-proxy-v2 check port {mx}", ()),
    "portsend": ("mx-proxy", "send-proxy-v2 check port {mx-proxy} check-send-proxy", ()),
    "smtpchk": ("mx-proxy", "send-proxy-v2 check", ("option smtpchk EHLO probe.test",)),
    "smtphelo": ("mx-proxy", "send-proxy-v2 check", ("option smtpchk",)),
    "smtpport": ("mx-proxy", "send-proxy-v2 check port {mx}", ("option smtpchk EHLO probe.test",)),
    "ssl": ("imaps-proxy", "send-proxy-v2 check check-ssl verify none", ()),
    "sslsmtps": ("smtps-proxy", "send-proxy-v2 check check-ssl verify none", ()),
    "imapsplain": ("imaps-proxy", "send-proxy-v2 check", ()),
    "banner": ("mx-proxy", "send-proxy-v2 check", ("option tcp-check", "tcp-check connect send-proxy",
                                                   "tcp-check expect string 220")),
    "submission": ("submission-proxy", "send-proxy-v2 check", ("option smtpchk EHLO probe.test",)),
    "optional": ("mx-optional", "send-proxy-v2 check", ()),
}


@pytest.fixture
def haproxy(scratch):
    running = []

    def start(pools):
        running.append(HAProxy(scratch / f"haproxy{free_port()}", pools, free_port).start())
        return running[-1]
    yield start
    for one in running:
        one.stop()


def troubles(server, mark):
    """Log lines above the level of information, but for what relay finds out in the background about the server's own name."""
    return [line for line in server.since(mark) if not re.search(r" (info|debug) | relay\.identity ", line)]


def four_pools(server, words=f"send-proxy-v2 check {EVERY_SECOND}"):
    return [Pool("smtp", server.ports["mx-proxy"], words), Pool("smtps", server.ports["smtps-proxy"], words),
            Pool("submission", server.ports["submission-proxy"], words), Pool("imaps", server.ports["imaps-proxy"], words)]


def test_mail_through_four_frontends(server, haproxy, imap, new_user):
    sender, receiver = new_user(), new_user()
    front = haproxy(four_pools(server))
    front.wait_status("UP")
    with Smtp(front.ports["smtp"]) as client:
        client.ehlo()
        client.starttls()
        assert client.deliver("a@remote.test", [receiver.address], mail.plain()).code == 250
    for name, tls in (("smtps", True), ("submission", False)):
        with Smtp(front.ports[name], tls=tls) as client:
            client.ehlo()
            if not tls:
                client.starttls()
            assert client.auth_plain(sender.address, sender.password).code == 235
            assert client.deliver(sender.address, [receiver.address], mail.plain(sender=sender.address)).code == 250
    with Imap(front.ports["imaps"], tls=True) as client:
        assert client.login(receiver.address, receiver.password).status == "OK"
        client.wait_messages(3)
        client.ok("SELECT INBOX")
        text = client.ok("FETCH 1 BODY[HEADER.FIELDS (RECEIVED)]").untagged[0]
        assert b"127.0.0.1" in text


def test_mapped_ipv4_of_a_dual_stack_frontend(server, haproxy, imap, user):
    front = haproxy([Pool("smtp", server.ports["mx-proxy"], "send-proxy-v2", bind=":::{} v4v6")])
    with Smtp(front.ports["smtp"]) as client:
        client.ehlo()
        assert client.deliver("a@remote.test", [user.address], mail.plain()).code == 250
    box = imap(user)
    box.wait_messages(1)
    box.ok("SELECT INBOX")
    text = box.ok("FETCH 1 BODY[HEADER.FIELDS (RECEIVED)]").untagged[0]
    assert b"[127.0.0.1]" in text and b"ffff" not in text


def test_all_options_of_the_header(server, haproxy, user):
    front = haproxy([Pool("smtp", server.ports["mx-proxy"], "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,cert-cn")])
    with Smtp(front.ports["smtp"]) as client:
        client.ehlo()
        assert client.deliver("a@remote.test", [user.address], mail.plain()).code == 250


def test_health_checks_cost_nothing(server, haproxy):
    """Every form of check for some seconds: all servers up, no log line, no process gone, one counter grown."""
    roles, before = server.roles(), server.metrics()
    mark, compat = server.mark(), server.home / "mail.log"
    lines = len(compat.read_text().splitlines())
    words = {name: line.format(**server.ports) for name, (_, line, _) in CHECKS.items()}
    front = haproxy([Pool(name, server.ports[listener], f"{words[name]} {EVERY_SECOND}", options)
                     for name, (listener, _, options) in CHECKS.items()])
    front.wait_status("UP")
    for _ in range(12):
        time.sleep(0.5)
        rows = front.servers()
        assert all(row["status"] == "UP" for row in rows.values()), {n: (r["status"], r["check_status"]) for n, r in rows.items()}
    assert troubles(server, mark) == []
    new = compat.read_text().splitlines()[lines:]
    assert not new, "lines that would get the proxy banned: " + "\n".join(new)
    assert server.roles() == roles, "a process was restarted"
    after = server.metrics()
    counted = [name for name in after if "health" in name and after[name] > before.get(name, 0)]
    assert counted, "health checks are counted"
    assert not any(after[name] > before.get(name, 0) for name in after if "refused" in name), "and nothing else"


def test_checks_during_load(server, haproxy, imap, new_user):
    users = [new_user() for _ in range(4)]
    front = haproxy(four_pools(server))
    front.wait_status("UP")
    roles = server.roles()
    deadline = time.monotonic() + 4
    sent = 0
    while time.monotonic() < deadline:
        with Smtp(front.ports["smtp"]) as client:
            client.ehlo()
            for one in users:
                assert client.deliver("a@remote.test", [one.address], mail.plain()).code == 250
            sent += 1
    assert all(row["status"] == "UP" for row in front.servers().values())
    for one in users:
        imap(one).wait_messages(sent)
    assert server.roles() == roles


def test_a_reset_before_accept(server):
    """What a plain check of HAProxy does at its worst: reset before anyone accepted, with and without the header."""
    import socket
    from proxyheader import local
    mark, roles = server.mark(), server.roles()
    for data in (b"", local(), local(b"\0" * 40)):
        for name in ("mx", "mx-proxy", "imaps-proxy", "smtps-proxy", "imaps"):
            for _ in range(20):
                s = socket.create_connection(("127.0.0.1", server.ports[name]), 5)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if data and "proxy" in name:
                    s.send(data)
                s.close()
    time.sleep(0.5)
    assert troubles(server, mark) == [] and server.roles() == roles
    with Smtp(server.ports["mx"]) as client:
        assert client.greeting.code == 220
