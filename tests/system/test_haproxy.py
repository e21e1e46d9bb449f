"""The real HAProxy 2.6 in front: four frontends, and its health checks in every form."""
import json
import re
import signal
import threading
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


# ---- rockdove haproxy ----

def generated(server, names=("mx-proxy", "smtps-proxy", "submission-proxy", "imaps-proxy"), more=()):
    """The configuration `rockdove haproxy` prints for these listeners, and the loopback port of each frontend."""
    ports = {name: free_port() for name in names}
    words = [word for name in names for word in ("--backend", f"{name}=127.0.0.1:{server.ports[name]}",
                                                 "--bind", f"{name}=127.0.0.1:{ports[name]}")]
    return server.command("haproxy", *words, *more).stdout, ports


def test_the_printed_configuration_carries_mail(server, haproxy, imap, new_user):
    """Every listener that reads PROXY headers, its checks in the strictest form, with mail through each."""
    sender, receiver = new_user(), new_user()
    text, ports = generated(server, ("mx-proxy", "mx-optional", "smtps-proxy", "submission-proxy", "imaps-proxy"))
    mark, compat = server.mark(), server.home / "mail.log"
    lines = len(compat.read_text().splitlines())
    front = haproxy(text)
    rows = front.wait_status("UP")
    time.sleep(3)  # a second look of each check
    rows = front.servers()
    assert {name: row["check_status"] for name, row in rows.items()} == {
        "mx-proxy": "L7OK", "mx-optional": "L7OK", "smtps-proxy": "L7OK", "submission-proxy": "L7OK", "imaps-proxy": "L7OK"}
    assert troubles(server, mark) == [] and compat.read_text().splitlines()[lines:] == []
    for name in ("mx-proxy", "mx-optional"):
        with Smtp(ports[name]) as client:
            client.ehlo()
            assert client.deliver("a@remote.test", [receiver.address], mail.plain()).code == 250
    for name in ("smtps-proxy", "submission-proxy"):
        with Smtp(ports[name], tls=name == "smtps-proxy") as client:
            client.ehlo()
            if name == "submission-proxy":
                client.starttls()
            assert client.auth_plain(sender.address, sender.password).code == 235
            assert client.deliver(sender.address, [receiver.address], mail.plain(sender=sender.address)).code == 250
    with Imap(ports["imaps-proxy"], tls=True) as client:
        assert client.login(receiver.address, receiver.password).status == "OK"
        client.wait_messages(4)


PORTS = """
# several servers; node ports; IPv6; standard ports where nothing is said
haproxy --backend 10.0.0.5 --backend 10.0.0.6
    bind :::25 v4v6
    server n2 10.0.0.6:2525
    bind :::465 v4v6
    server n1 10.0.0.5:4465
    bind :::587 v4v6
    server n1 10.0.0.5:5587
    bind :::993 v4v6
    server n2 10.0.0.6:10993
haproxy --backend mx-proxy=10.0.0.5:32525 --backend imaps-proxy=[fd00::5]:32993 --backend imaps-proxy=mail.example.org
    server n1 10.0.0.5:32525
    server n1 [fd00::5]:32993
    server n2 mail.example.org:10993
haproxy --backend 10.0.0.5:2525 --bind mx-proxy=:2025 --bind imaps-proxy=127.0.0.1
    bind :::2025 v4v6
    server n1 10.0.0.5:2525
haproxy --backend 10.0.0.5 --bind 192.0.2.1
    bind 192.0.2.1:25
    bind 192.0.2.1:993
"""
REFUSED = """
1 --backend x=10.0.0.5:25 | no listener x reads PROXY headers
1 --backend 10.0.0.5:99 | write LISTENER=HOST:PORT
1 --backend 10.0.0.5 --bind x=:25 | no listener x
2 --backend | usage
2 | usage
2 --bind :25 | usage
2 --backend 10.0.0.5:0 | usage
2 --backend 10.0.0.5:70000 | usage
2 --backend =10.0.0.5 | usage
2 --backend :25 | usage
2 --backend fd00::5 | usage
2 --backend a;b | usage
2 --backend a#b | usage
2 --backend 10.0.0.5 --format yaml | usage
2 --backend 10.0.0.5 more | usage
"""


@pytest.fixture
def four_listeners(make_server):
    server = make_server(listeners=["mx-proxy", "smtps-proxy", "submission-proxy", "imaps-proxy"])
    for listener, port in zip(server.config["listeners"], (2525, 4465, 5587, 10993)):
        listener["address"] = f"127.0.0.1:{port}"
    server.write_config()
    return server


def test_ports_of_the_printed_configuration(four_listeners):
    wanted, text = [], ""
    for line in [*PORTS.splitlines(), "haproxy --backend 10.0.0.5"]:
        if line.startswith("haproxy"):
            missing = [one for one in wanted if one not in text.splitlines()]
            assert not missing, (missing, text)
            text, wanted = four_listeners.command(*line.split()).stdout, []
        elif line.startswith(" "):
            wanted.append(line)


def test_what_it_refuses(four_listeners, make_server):
    for line in REFUSED.strip().splitlines():
        words, _, wanted = line.partition("|")
        code, *words = words.split()
        done = four_listeners.command("haproxy", *words, check=False)
        assert (done.returncode, done.stdout) == (int(code), "") and wanted.strip() in done.stderr, (line, done)
    done = make_server(listeners=["mx"]).command("haproxy", "--backend", "10.0.0.5", check=False)
    assert done.returncode == 1 and "hide every client" in done.stderr


def test_fields_and_json_say_the_same(four_listeners, haproxy, server):
    fields = [line.split("\t") for line in four_listeners.command(
        "haproxy", "--backend", "10.0.0.5", "--backend", "10.0.0.6", "--format", "fields").stdout.splitlines()]
    assert fields[0][0].startswith("#") and len(fields) == 9
    objects = json.loads(four_listeners.command("--json", "haproxy", "--backend", "10.0.0.5", "--backend", "10.0.0.6").stdout)
    assert [[one["listener"], one["bind"], one["server"], one["address"], one["server_fields"], "; ".join(one["backend_lines"])]
            for one in objects] == fields[1:]
    # what a generator makes of them is a configuration too, and the checks in it are met
    text, _ = generated(server, more=("--format", "fields"))
    made = "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n    timeout check 5s\n"
    for line in text.splitlines()[1:]:
        listener, bind, name, address, words, lines = line.split("\t")
        made += f"frontend mail_{listener}\n    bind {bind}\n    default_backend pool_{listener}\nbackend pool_{listener}\n"
        made += "".join(f"    {one}\n" for one in lines.split("; ")) + f"    server {name} {address} {words}\n"
    front = haproxy(made)
    front.wait_status("UP")
    assert {row["check_status"] for row in front.servers().values()} == {"L7OK"}


# ---- a drain ----

def test_checks_see_a_drain_first(make_server, haproxy):
    """SIGTERM under load: every check fails while clients are still served; then they are sent away, none in the middle
    of a message; /readyz says it from the first moment."""
    server = make_server(timeouts={"drain_notice": "4s", "drain": "12s"}).start()
    text, ports = generated(server)
    front = haproxy(text.replace("inter 2s", "inter 500ms"))
    front.wait_status("UP")
    with Smtp(ports["mx-proxy"]) as busy, Smtp(ports["mx-proxy"]) as idle, Imap(ports["imaps-proxy"], tls=True) as reader:
        for client in (busy, idle):
            client.ehlo()
        assert reader.login("t1@example.test", "pw-1").status == "OK"
        busy.envelope("a@remote.test", ["t1@example.test"])
        begun = time.monotonic()
        ending = threading.Thread(target=server.stop)
        server.process.send_signal(signal.SIGTERM)
        ending.start()
        front.wait_status("DOWN", timeout=4)
        seen = time.monotonic() - begun
        assert server.get("/readyz")[0] == 503 and server.get("/livez")[0] == 200
        checks = {name: row["check_status"] for name, row in front.servers().items()}
        # whoever comes past the checks is served, and who is there is not disturbed
        with Smtp(server.ports["mx"]) as direct:
            assert direct.greeting.code == 220
        assert idle.cmd("NOOP").code == 250 and reader.cmd("NOOP").status == "OK"
        assert time.monotonic() - begun < 4, f"the checks needed {seen:.1f} s"
        assert set(checks.values()) <= {"L7STS", "L7RSP"}, checks
        assert idle.reply().code == 421
        busy_reply = busy.data(mail.plain())
        assert busy_reply.code == 250, busy_reply
        ending.join(20)
        assert not ending.is_alive()


def test_without_a_balancer_a_drain_does_not_wait(make_server):
    server = make_server().start()
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 4
