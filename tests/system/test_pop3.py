"""POP3: RFC 1939 and what clients use around it, over the same store as IMAP."""
import base64
import os
import poplib
import random
import re
import signal
import threading
import time

import mail
import pytest
from pop3_client import Pop3
from proxyheader import local, v2
from rockdove import DOMAIN
from sasl_client import Scram, b64
from test_clients import certificate, home, in_terminal, run  # noqa: F401
from wire import Imap, tls_context

SERVER = {"listeners": ["mx", "imap", "imaps", "submission", "metrics", "pop3", "pop3-starttls", "pop3s", "pop3s-proxy"],
          "timeouts": {"imap_login": "3s", "pop3_idle": "4s"},
          "limits": {"imap": {"connections_per_user_and_address": 8}, "auth_failure_delay": "200ms"}}


@pytest.fixture
def pop(server):
    """pop(user=None, listener="pop3", **options): a raw client, logged in when a user is given."""
    made = []

    def connect(user=None, listener="pop3", **options):
        client = Pop3(server.ports[listener], **options)
        made.append(client)
        if user:
            client.login(user)
        return client

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def box(imap, user):
    """An IMAP session to look from the other side, and a way to put messages there: box.put(bytes)."""
    client = imap(user)

    def put(*messages, flags=""):
        for message in messages:
            answer = client.append("INBOX", message, flags)
            assert answer.status == "OK", answer
    client.put = put
    return client


def sizes(messages):
    return [f"{number} {len(message)}".encode() for number, message in enumerate(messages, 1)]


def test_the_session_of_rfc_1939(pop, box, user):
    """Section 10 of the RFC, with messages of ours."""
    messages = [mail.plain(subject=f"m{n}", body="x" * 40 * n + "\r\n") for n in (1, 2, 3)]
    box.put(*messages)
    client = pop()
    assert client.greeting.startswith(b"+OK")
    client.ok(f"USER {user.address}")
    assert client.ok(f"PASS {user.password}").endswith(b"3 messages")
    total = sum(map(len, messages))
    assert client.ok("STAT") == f"+OK 3 {total}".encode()
    assert client.many("LIST") == sizes(messages)
    assert client.ok("LIST 2") == b"+OK " + sizes(messages)[1]
    client.err("LIST 4")
    assert client.message(1) == messages[0]
    client.ok("DELE 1")
    client.err("DELE 1"), client.err("RETR 1"), client.err("LIST 1"), client.err("UIDL 1"), client.err("TOP 1 0")
    assert client.ok("STAT") == f"+OK 2 {total - len(messages[0])}".encode()
    assert client.many("LIST") == sizes(messages)[1:]
    client.ok("RSET")
    assert client.ok("STAT") == f"+OK 3 {total}".encode()
    client.ok("NOOP")
    client.ok("DELE 2")
    assert client.cmd("quit").startswith(b"+OK")
    assert client.at_end() == b""
    box.ok("SELECT INBOX")
    assert not box.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").find(b"m2")
    assert len(box.ok("FETCH 1:* FLAGS").all(rb"FETCH")) == 2


def test_python_poplib(server, box, user):
    message = mail.plain(body=".dot\r\n..two\r\n.\r\nend\r\n")
    box.put(message, mail.multipart())
    client = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=tls_context(), timeout=10)
    assert b"Rockdove" in client.getwelcome()
    assert client.capa()["SASL"][:2] == ["PLAIN", "LOGIN"]
    client.utf8()
    client.user(user.address)
    client.pass_(user.password)
    assert client.stat()[0] == 2
    assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == message
    assert [line.split()[0] for line in client.uidl()[1]] == [b"1", b"2"]
    assert client.top(1, 0)[1][-1] == b""
    client.dele(1)
    client.quit()
    assert box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1\b")


def test_capabilities_by_state(pop, user):
    clear = pop(listener="pop3-starttls")
    before = clear.many("CAPA")
    assert b"STLS" in before and b"USER" not in before and not [c for c in before if c.startswith(b"SASL")]
    clear.err(f"USER {user.address}", b"TLS"), clear.err("PASS x", b"TLS"), clear.err("AUTH PLAIN", b"TLS")
    clear.starttls()
    under_tls = clear.many("CAPA")
    assert b"STLS" not in under_tls and b"USER" in under_tls
    assert any(re.match(rb"SASL PLAIN LOGIN\b.*SCRAM-SHA-256(?!-PLUS)", c) for c in under_tls), under_tls
    for name in (b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"EXPIRE NEVER", b"UTF8 USER",
                 b"IMPLEMENTATION Rockdove"):
        assert name in under_tls and name in before
    clear.err("STLS")
    clear.login(user)
    after = clear.many("CAPA")
    assert b"STLS" not in after and b"USER" not in after and b"UIDL" in after
    clear.err("STLS"), clear.err("UTF8"), clear.err("USER x"), clear.err("AUTH PLAIN")


def test_nothing_behind_stls_in_the_clear(pop):
    client = pop(listener="pop3-starttls")
    client.send(b"STLS\r\nCAPA\r\n")
    assert client.line().startswith(b"-ERR")
    assert client.at_end() == b""


def test_sasl(pop, user):
    def blob(password=user.password, authzid=""):
        return b64(f"{authzid}\0{user.address}\0{password}")

    client = pop()
    client.ok(f"AUTH PLAIN {blob(authzid=user.address)}")
    client = pop()
    assert client.cmd("auth plain") == b"+ "
    client.ok(blob())
    client = pop()
    assert client.cmd("AUTH LOGIN").startswith(b"+ ")
    assert client.cmd(b64(user.address)).startswith(b"+ ")
    client.ok(b64(user.password))
    client = pop()
    assert client.many("AUTH")[:2] == [b"PLAIN", b"LOGIN"]
    assert client.cmd("AUTH PLAIN") == b"+ "
    client.err("*", b"cancelled")
    client.err("AUTH PLAIN !!!"), client.err("AUTH CRAM-MD5"), client.err("AUTH PLAIN =")
    client.err(f"AUTH PLAIN {blob('wrong')}", b"[AUTH]")
    client.ok(f"AUTH PLAIN {blob()}")
    client.ok("STAT")


def test_scram(pop, user):
    """Without channel binding, and a client that could do it takes no offence: it was not offered."""
    for flag in ("n", "y"):
        client = pop(listener="pop3s", tls=True)
        scram = Scram(user.address, user.password, flag)
        first = client.cmd(f"AUTH SCRAM-SHA-256 {b64(scram.first())}")
        final = client.cmd(b64(scram.final(base64.b64decode(first[2:]).decode())))
        assert base64.b64decode(final[2:]).decode() == "v=" + scram.server
        client.ok("")
    pop(listener="pop3s", tls=True).err("AUTH SCRAM-SHA-256-PLUS")


def test_failed_logins(server, pop, user):
    client = pop()
    client.err("PASS first", b"USER")
    mark = server.mark()
    for _ in range(4):
        client.ok(f"USER {user.address}")
        client.err("PASS wrong words", b"[AUTH]")
    client.err("PASS x", b"USER")  # the name is not kept
    client.ok("USER nobody@example.test")
    client.err("PASS x", b"[AUTH] Authentication failed")
    assert client.at_end() == b"", "five are enough"
    server.wait_log(r"pop3\.login_failed .*mechanism=PLAIN", mark)
    with Pop3(server.ports["pop3s-proxy"], greet=False, proxy=v2(source="203.0.113.77"), tls=True) as stranger:
        assert stranger.line().startswith(b"+OK")
        stranger.ok(f"USER {user.address}>, rip=192.0.2.1")
        stranger.err("PASS x")
    deadline = time.monotonic() + 5
    line = r"dovecot\[\d+\]: pop3-login: Disconnected \(auth failed, 1 attempts in \d secs\): user=<[^>,]*>, method=PLAIN, rip=203\.0\.113\.77, lip=127\.0\.0\.1, TLS"
    while not re.search(line, (server.home / "mail.log").read_text()):
        assert time.monotonic() < deadline, (server.home / "mail.log").read_text()[-2000:]
        time.sleep(0.05)


def test_pipelining(pop, box, user):
    messages = [mail.plain(subject=f"p{n}", body="y" * 100 * n + "\r\n") for n in range(20)]
    box.put(*messages)
    client = pop()
    commands = ["CAPA", f"USER {user.address}", f"PASS {user.password}", "STAT", "UIDL", "LIST"]
    commands += [f"RETR {n}" for n in range(1, 21)] + [f"DELE {n}" for n in range(1, 20)] + ["NOOP", "QUIT"]
    client.send("".join(command + "\r\n" for command in commands))
    assert client.line().startswith(b"+OK") and client.rest()
    for _ in range(3):
        assert client.line().startswith(b"+OK")
    for _ in range(2):
        assert client.line().startswith(b"+OK") and len(client.rest()) == 20
    for message in messages:
        assert client.line() == b"+OK %d octets" % len(message)
        assert b"".join(line + b"\r\n" for line in client.rest()) == message
    for _ in range(21):
        assert client.line().startswith(b"+OK")
    assert client.at_end() == b""
    assert box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1\b")


def test_unique_ids_last(pop, box, imap, user):
    box.put(*(mail.plain() for _ in range(5)))
    first = dict(line.split() for line in pop(user).many("UIDL"))
    box.ok("SELECT INBOX")
    validity, = re.findall(rb"UIDVALIDITY (\d+)", box.ok("STATUS INBOX (UIDVALIDITY)").find(rb"\* STATUS.*")[0])
    assert first == {b"%d" % n: validity + b".%d" % n for n in range(1, 6)}
    box.ok("STORE 2,4 +FLAGS (\\Deleted)"), box.ok("EXPUNGE")
    box.put(mail.plain())
    client = pop(user)
    assert [line.split()[1] for line in client.many("UIDL")] == [first[b"1"], first[b"3"], first[b"5"], validity + b".6"]
    assert client.ok("UIDL 2") == b"+OK 2 " + first[b"3"]
    assert all(len(unique) <= 70 for unique in first.values())


@pytest.mark.parametrize("body", [
    b".", b"..", b".\r\n", b"a\r\n.\r\n.b\r\n..c\r\n", b"\r\n" * 3, b"no end of line", b"", b"." * 40000 + b"\r\n.x",
    b"\r\n.".join([b"z" * 16380] * 20), bytes(range(1, 10)) + bytes(range(14, 256)) + b"\r\n"], ids=lambda body: str(len(body)))
def test_every_octet_arrives(pop, box, user, body):
    message = b"Subject: octets\r\n\r\n" + body
    box.put(message)
    client = pop(user)
    wanted = message if message.endswith(b"\r\n") else message + b"\r\n"
    assert client.message(1) == wanted
    client.ok("NOOP")


def test_large_message_in_small_sips(pop, box, user):
    """The server holds a bounded part of it, whatever the client takes."""
    message = mail.plain(body=("." + "x" * 70 + "\r\n") * 120000)
    box.put(message)
    client = pop(user, timeout=30)
    client.send(b"RETR 1\r\nNOOP\r\n")
    time.sleep(0.5)
    assert client.line() == b"+OK %d octets" % len(message)
    assert b"".join(line + b"\r\n" for line in client.rest()) == message
    assert client.line().startswith(b"+OK")


def test_top(pop, box, user):
    box.put(b"Subject: t\r\nX: y\r\n\r\n.one\r\n\r\nthree\r\n", b"Subject: only a header\r\n\r\n")
    client = pop(user)
    header = [b"Subject: t", b"X: y", b""]
    assert client.many("TOP 1 0") == header
    assert client.many("TOP 1 1") == header + [b".one"]
    assert client.many("TOP 1 2") == header + [b".one", b""]
    assert client.many("TOP 1 3") == client.many("TOP 1 4294967296000") == header + [b".one", b"", b"three"]
    assert client.many("TOP 2 5") == [b"Subject: only a header", b""]
    client.err("TOP 1"), client.err("TOP 1 x"), client.err("TOP 0 1"), client.err("TOP 3 1"), client.err("TOP 1 -1")
    box.ok("SELECT INBOX")
    assert not box.ok("FETCH 1:* FLAGS").find(rb"\\Seen"), "a look at the top is no reading"


def test_read_is_seen(pop, box, user):
    box.put(mail.plain(), mail.plain(), mail.plain())
    client = pop(user)
    client.message(1), client.message(3)
    client.ok("DELE 3")
    client.ok("QUIT")
    box.ok("SELECT INBOX")
    answer = box.ok("FETCH 1:* FLAGS")
    assert [b"\\Seen" in line[0] for line in answer.all(rb"\* \d+ FETCH .*")] == [True, False]


def test_without_quit_nothing_is_deleted(pop, box, user):
    box.put(mail.plain(), mail.plain())
    for end in ("close", "reset"):
        client = pop(user)
        client.ok("DELE 1")
        getattr(client, end)()
    client = pop(user)
    assert client.ok("STAT").startswith(b"+OK 2 ")
    client.send(b"DELE 1\r\nDELE 2\r\n")
    client.sock.shutdown(1)
    assert client.at_end().count(b"+OK") == 2
    assert box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 2\b")


def test_deletes_what_it_named_and_nothing_else(pop, box, user):
    """\\Deleted of IMAP is neither asked for nor obeyed; what others expunged meanwhile is no failure."""
    box.put(*(mail.plain(subject=f"s{n}") for n in range(1, 7)))
    box.ok("SELECT INBOX"), box.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    client = pop(user)
    client.ok("DELE 2"), client.ok("DELE 3"), client.ok("DELE 5")
    box.ok("UID STORE 3 +FLAGS.SILENT (\\Deleted)"), box.ok("UID EXPUNGE 3")
    box.put(mail.plain(subject="s7"))
    assert client.ok("STAT").startswith(b"+OK 3 "), "the maildrop is that of the login"
    client.ok("QUIT")
    box.ok("NOOP")
    left = box.ok("UID FETCH 1:* (UID FLAGS)")
    assert [int(line[1]) for line in left.all(rb"UID (\d+)")] == [1, 4, 6, 7]


def test_a_message_another_session_removed(server, pop, box, user):
    box.put(mail.plain(), mail.plain())
    client = pop(user)
    box.ok("SELECT INBOX"), box.ok("STORE 1 +FLAGS.SILENT (\\Deleted)"), box.ok("EXPUNGE")
    assert len(client.many("LIST")) == 2, "numbers stand still"
    answer = client.cmd("RETR 1")
    if answer.startswith(b"+OK"):
        client.rest()  # its file stays for a minute, for sessions that lag
    assert client.many("RETR 2")
    client.ok("DELE 1"), client.ok("QUIT")
    assert box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1\b")


def test_update_is_all_or_nothing(make_server):
    """The whole server is killed somewhere in QUIT: what was marked is all gone, or all there."""
    count, chance = 400, random.Random(1939)
    address = f"t3@{DOMAIN}"
    server = make_server(listeners=["mx", "imap", "pop3", "metrics"]).start()
    for number in range(3):
        with Imap(server.ports["imap"]) as client:
            client.login(address, server.accounts[address])
            client.append("INBOX", mail.plain())
            client.ok("SELECT INBOX")
            while (have := int(client.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES (\d+)")[1])) < count:
                client.ok(f"COPY 1:{min(have, count - have)} INBOX")
        with Pop3(server.ports["pop3"]) as client:
            client.ok(f"USER {address}"), client.ok(f"PASS {server.accounts[address]}")
            client.send("".join(f"DELE {n}\r\n" for n in range(1, count + 1, 2)))
            for _ in range(0, count, 2):
                assert client.line().startswith(b"+OK")
            killer = threading.Timer(chance.uniform(0, 0.02) if number else 1, server.kill)  # the first time behind the answer
            killer.start()
            client.send(b"QUIT\r\n")
            try:
                answered = client.line().startswith(b"+OK")
            except (OSError, EOFError):
                answered = False
            killer.join()
        server.start()
        with Pop3(server.ports["pop3"]) as client:
            client.ok(f"USER {address}"), client.ok(f"PASS {server.accounts[address]}")
            left = int(client.ok("STAT").split()[1])
        assert left in ((count // 2,) if answered else (count // 2, count)), (number, left, answered)
        assert answered or number


def test_store_restarts(server, pop, box, user):
    box.put(mail.plain())
    client = pop(user)
    client.ok("DELE 1")
    os.kill(server.roles()["store"], signal.SIGKILL)
    assert b"[SYS/TEMP]" in client.at_end(), "who was in the middle is told and comes again"
    deadline = time.monotonic() + 10
    while True:
        client = pop()
        client.ok(f"USER {user.address}")
        answer = client.cmd(f"PASS {user.password}")
        if answer.startswith(b"+OK"):
            assert answer.endswith(b" 1 messages")
            break
        assert b"[SYS/TEMP]" in answer and time.monotonic() < deadline, answer
        time.sleep(0.1)


def test_bad_input(server, pop, user):
    client = pop()
    for line in ("", "FOO", "RETR 1", "STAT", "APOP x y", "XTND", "USER", "PASS", "CAPA x", "QUIT now", "LIST\t1"):
        client.err(line)
    client.send(b"NOOP\n")
    assert client.line().startswith(b"-ERR")
    client.send(b"CA\0PA\r\n")
    assert client.line().startswith(b"-ERR")
    client.login(user)
    for line in ("RETR", "RETR x", "RETR 0", "RETR -1", "RETR 1 2", "RETR 99999999999999999999", "DELE 1", "LIST 1 1",
                 "UIDL a", "TOP", "USER x", "\xff", "R" * 900):
        client.err(line.encode("latin-1"))
    client.send(b"RETR " + b"1" * 200000 + b"\r\n")
    assert client.line().startswith(b"-ERR")
    assert client.ok("STAT") == b"+OK 0 0" and client.many("LIST") == [] and client.many("UIDL") == []
    client.ok("QUIT ")
    client = pop()
    for _ in range(21):
        client.err("GET / HTTP/1.1")
    assert client.at_end() == b""


def test_times(pop, user):
    stranger, client = pop(), pop(user)
    stranger.ok("CAPA"), stranger.rest()
    started = time.monotonic()
    time.sleep(1.5), client.ok("NOOP")
    assert stranger.at_end() == b"" and time.monotonic() - started < 6, "nobody waits for a login for ever"
    assert client.at_end() == b"" and 5 < time.monotonic() - started < 9, "autologout (RFC 1939 section 3) says nothing"


def test_too_many_connections_of_one_user(pop, user):
    clients = [pop(user) for _ in range(8)]
    last = pop()
    last.ok(f"USER {user.address}")
    answer = last.cmd(f"PASS {user.password}")
    assert answer.startswith(b"-ERR [IN-USE]") or answer.startswith(b"-ERR [SYS/TEMP]"), answer
    clients[0].ok("QUIT")
    time.sleep(0.2)
    pop(user)


def test_health_checks_and_proxy(server, user):
    mark = server.mark()
    checker = "127.0.0.77"  # sessions of other tests may still be about to end
    with Pop3(server.ports["pop3s-proxy"], greet=False, proxy=local(), tls=True, source=checker) as check:
        assert check.line().startswith(b"+OK")
        check.ok("QUIT")
    with Pop3(server.ports["pop3s-proxy"], greet=False, proxy=v2(source="203.0.113.5"), tls=True) as client:
        client.line()
        client.login(user)
        client.ok("QUIT")
    server.wait_log(r"pop3\.login .*client=203\.0\.113\.5", mark)
    server.wait_log(r"pop3\.closed .*client=203\.0\.113\.5", mark)
    assert not [line for line in server.since(mark) if "pop3.closed" in line and checker in line]
    printed = server.command("haproxy", "--backend", "127.0.0.1").stdout
    assert re.search(r"bind [^\n]*:995\b", printed) and r"tcp-check expect rstring ^\+OK" in printed


def test_metrics(server, pop, box, user):
    before = server.metrics()
    client = pop(user)
    client.ok("STAT"), client.err("RETR 1")
    after = server.metrics()

    def grown(name):
        return after[f"rockdove_{name}"] - before.get(f"rockdove_{name}", 0)
    assert grown('pop3_commands_total{command="stat"}') == 1 and grown('pop3_commands_total{command="retr"}') == 1
    assert grown('pop3_replies_total{reply="err"}') == 1
    assert grown('logins_total{service="pop3",result="ok"}') == 1
    assert grown('connections_total{service="pop3"}') == 1
    assert after['rockdove_sessions{service="pop3"}'] >= 1


def test_a_maildrop_of_many(server, pop, box, user):
    """100,000 messages: nothing waits for anything but the network, and the update is quick and one commit however scattered."""
    count = 100000
    box.put(*(mail.plain(subject=f"many {n}") for n in range(100)))
    box.ok("SELECT INBOX")
    have = 100
    while have < count:
        take = min(have, count - have)
        box.ok(f"COPY 1:{take} INBOX")
        have += take
    started = time.monotonic()
    client = pop(user, timeout=30)
    total = int(client.ok("STAT").split()[2])
    rows, unique = client.many("LIST"), client.many("UIDL")
    took = time.monotonic() - started
    assert len(rows) == len(unique) == len({line.split()[1] for line in unique}) == count
    assert sum(int(row.split()[1]) for row in rows) == total
    assert took < 5, took
    client.send("".join(f"DELE {n}\r\n" for n in range(1, count + 1, 2)))
    for _ in range(count // 2):
        assert client.line().startswith(b"+OK")
    started = time.monotonic()
    client.ok("QUIT")
    took = time.monotonic() - started
    assert box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 50000\b")
    assert took < 10, took


# ---- programs people use ----

def test_curl(server, box, user, home):
    box.put(mail.plain(subject="curl one"), mail.plain(subject="curl two"))
    secure = ["curl", "-sS", "--max-time", "20", "--cacert", certificate(server), "-u", f"{user.address}:{user.password}"]
    url = f"pop3s://localhost:{server.ports['pop3s']}/"
    assert [line.split()[0] for line in run([*secure, url]).splitlines()] == ["1", "2"]
    assert "Subject: curl two" in run([*secure, url + "2"])
    assert "." in run([*secure, "-X", "UIDL", url]).split()[1]
    run([*secure, "--ssl-reqd", "-X", "DELE", "-I", f"pop3://localhost:{server.ports['pop3-starttls']}/1"])
    assert box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 1\b")


def test_mutt_reads_and_deletes(server, box, user, home):
    box.put(*(mail.plain(subject=f"for mutt {n}") for n in range(3)))
    (home / "muttrc").write_text(f"""
set spoolfile="pops://localhost:{server.ports['pop3s']}/" pop_user="{user.address}" pop_pass="{user.password}"
set ssl_verify_host=no certificate_file="{certificate(server)}" ssl_ca_certificates_file="{certificate(server)}"
set header_cache="" message_cachedir="" delete=yes quit=yes wait_key=no pop_delete=yes
""")

    def count():
        return int(box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES (\d+)")[1])

    # read the first, delete the second, write the changes, leave
    in_terminal(["mutt", "-n", "-F", home / "muttrc"], ["1\n", "\n", "q", "2\n", "d", "$", "q"], lambda: count() == 2,
                dict(os.environ, HOME=str(home), TMPDIR=str(home), TERM="xterm", LANG="C.UTF-8"))
    box.ok("SELECT INBOX")
    assert not box.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").find(b"for mutt 1")
