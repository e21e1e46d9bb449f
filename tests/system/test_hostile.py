"""What bad input gets: a proper error, bounded memory, one line in the log; and everybody else is served as before."""
import random
import re
import socket
import time
from pathlib import Path

import mail
import pytest
from wire import Smtp

MEBIBYTE = 1 << 20


def memory(server):
    """Proportional set size of all processes, in bytes."""
    total = 0
    for pid in server.pids():
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


@pytest.fixture(autouse=True)
def healthy(server, user):
    """After every test: the same processes, no memory lost in sight, a message still gets through."""
    roles, before = server.roles(), memory(server)
    yield
    assert server.roles() == roles, "a process died of it\n" + "\n".join(server.lines[-30:])
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
        assert client.deliver("a@remote.test", [user.address], mail.plain()).code == 250
    grown = memory(server) - before
    assert grown < 64 * MEBIBYTE, f"{grown} bytes more"


# ---- SMTP ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("line", [
    b"EHLO \0\r\n", b"\0\0\0\0\r\n", b"MAIL FROM:<a\0b@c.test>\r\n", b"\xff\xfe\xfd\r\n", b"EHLO " + b"x" * 600 + b"\r\n",
    b"MAIL FROM:<" + b"a" * 65 + b"@b.test>\r\n", b"MAIL FROM:<a@" + b"b." * 130 + b"test>\r\n", b"\r\n", b" \r\n",
    b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n", b"HELO\r\n", b"MAIL FROM:<@a,@b:c@d.test>\r\n",
    b"RCPT TO:<>\r\n", b"MAIL FROM:<\"\\\"@b.test>\r\n",
])
def test_smtp_lines(smtp, line):
    client = smtp()
    client.send(line)
    try:
        reply = client.reply()
    except (EOFError, OSError):  # what is plainly another protocol gets no answer
        assert line.startswith((b"GET", b"\x16"))
        return
    assert reply.code >= 500 or line.startswith(b"MAIL"), reply
    try:
        client.send(b"NOOP\r\n")
        client.reply()
    except (EOFError, OSError):
        pass  # some are worth a close


def test_endless_line(smtp):
    client = smtp()
    client.sock.settimeout(20)
    sent = 0
    try:
        for _ in range(320):  # 20 MB without an end
            client.send(b"x" * 65536)
            sent += 65536
    except OSError:
        pass
    data = b""
    try:
        data = client.at_end(20)
    except (TimeoutError, OSError):
        pytest.fail("neither answer nor close")
    assert data.startswith((b"500", b"421")) or sent > 0


def test_line_too_long_then_good_ones(smtp):
    client = smtp()
    client.ehlo()
    client.send(b"NOOP " + b"x" * 30000 + b"\r\nNOOP\r\n")
    assert client.reply().code == 500
    assert client.reply().code == 250


def test_100000_recipients(smtp, server):
    client = smtp(timeout=60)
    client.ehlo()
    assert client.cmd("MAIL FROM:<a@remote.test>").code == 250
    codes = {}
    for start in range(0, 100000, 1000):
        try:
            client.send("".join(f"RCPT TO:<t{n % 150}+{n}@example.test>\r\n" for n in range(start, start + 1000)))
            for _ in range(1000):
                code = client.reply().code
                codes[code] = codes.get(code, 0) + 1
        except (EOFError, OSError):
            break
    assert codes[250] <= 1000 and set(codes) <= {250, 452, 421, 550, 554}, codes
    assert codes.get(452, 0) > 0


def test_too_many_errors_end_the_session(smtp):
    client = smtp()
    client.ehlo()
    last = None
    try:
        for _ in range(200):
            last = client.cmd("NONSENSE")
    except (EOFError, OSError):
        pass
    assert last.code in (421, 500, 502)
    with pytest.raises((EOFError, OSError)):
        for _ in range(50):
            client.cmd("NOOP")


def test_header_too_large(smtp, user):
    client = smtp(timeout=60)
    client.ehlo()
    message = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 900) for n in range(12000)) + b"\r\nbody\r\n"
    reply = client.deliver("a@remote.test", [user.address], message)
    assert reply.code in (250, 552, 554), reply


def test_line_of_a_message_too_long(smtp, user):
    client = smtp()
    client.ehlo()
    reply = client.deliver("a@remote.test", [user.address], b"Subject: x\r\n\r\n" + b"y" * 200000 + b"\r\n")
    assert reply.code in (250, 500, 552, 554), reply
    assert client.cmd("NOOP").code == 250


BOUNDARY = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def deep_tree(depth):
    head = b"Subject: deep\r\nMIME-Version: 1.0\r\n"
    out = [head]
    for level in range(depth):
        out.append(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level))
    out.append(b"Content-Type: text/plain\r\n\r\nleaf\r\n")
    return b"".join(out)


ODD_MESSAGES = {
    "10,000 deep": deep_tree(10000),
    "nested message/rfc822": b"Content-Type: message/rfc822\r\n\r\n" * 5000,
    "only boundaries": b"Subject: b\r\n" + BOUNDARY + b"--b\r\n" * 100000,
    "only closing boundaries": b"Subject: b\r\n" + BOUNDARY + b"--b--\r\n" * 50000,
    "empty": b"\r\n",
    "no header at all": b"\r\nbody without a header\r\n",
    "no body": b"Subject: only a header\r\n",
    "no colon": b"this is no header line\r\nnor this\r\n\r\nbody\r\n",
    "wrong charset": b"Subject: =?x-no-such?q?=FF=FE?=\r\nContent-Type: text/plain; charset=\"utf-99\"\r\n\r\n\xff\xfe\x80\r\n",
    "wrong encoded words": b"Subject: =?utf-8?b?////?= =?utf-8?q?=zz?= =?utf-8?x?a?= =?==?=\r\n\r\nx\r\n",
    "broken base64": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n****QUJD====A\r\n",
    "broken quoted-printable": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ =\r\n=4\r\n",
    "boundary missing": b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\npart\r\n",
    "boundary very long": b"Content-Type: multipart/mixed; boundary=\"" + b"b" * 900 + b"\"\r\n\r\ntext\r\n",
    "parameters by the thousand": b"Content-Type: text/plain;\r\n" + b"".join(b" p%d=v;\r\n" % n for n in range(5000)) + b"\r\nx\r\n",
    "addresses by the thousand": b"To: " + b",\r\n ".join(b"a%d@b.test" % n for n in range(20000)) + b"\r\n\r\nx\r\n",
    "groups without end": b"From: g:" + b"(" * 3000 + b"a@b.test;\r\n\r\nx\r\n",
    "nul bytes": b"Subject: nul\0nul\r\n\r\nbody\0body\r\n",
    "8-bit header": b"Subject: \xe4\xf6\xfc\r\nFrom: \xff <a@b.test>\r\n\r\nx\r\n",
    "same header 5000 times": b"Content-Type: text/html\r\n" * 5000 + b"\r\nx\r\n",
    "quotes and parentheses": b"Subject: x\r\nFrom: \"\\\" <a@b.test>, (((( \"\r\nContent-Disposition: attachment; filename=\"a\\\"b\r\n\r\nx\r\n",
}


@pytest.mark.parametrize("name", ODD_MESSAGES)
def test_odd_messages_are_kept_and_readable(smtp, imap, user, name):
    message = ODD_MESSAGES[name]
    client = smtp(timeout=30)
    client.ehlo()
    reply = client.deliver("a@remote.test", [user.address], message)
    if name == "nul bytes" and reply.code >= 500:
        return
    assert reply.code == 250, reply
    box = imap(user, timeout=30)
    box.wait_messages(1)
    box.ok("SELECT INBOX")
    answer = box.ok("FETCH 1 (UID RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
    assert answer.find(rb"BODYSTRUCTURE \(") and answer.find(rb"ENVELOPE \(")
    kept = answer.untagged[0]
    tail = message.partition(b"\r\n\r\n")[2]
    assert tail[-2000:] in kept, "bytes were lost"
    box.ok('SEARCH TEXT "nothing"')
    box.ok("FETCH 1 (BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[TEXT])")


# ---- IMAP ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("line", [
    b"\0\r\n", b"a\0b NOOP\r\n", b"a LOGIN {99999999999}\r\n", b"a LOGIN {4294967296+}\r\n", b"a LOGIN {-1}\r\n", b"a LOGIN {}\r\n",
    b"a LOGIN \"x\r\n", b"* NOOP\r\n", b"+ NOOP\r\n", b"a\r\n", b"\r\n", b"a " + b"(" * 5000 + b"\r\n", b"a LOGIN \xff \xfe\r\n",
    b"GET / HTTP/1.1\r\n", b"a SEARCH " + b"NOT " * 5000 + b"ALL\r\n", b"a" * 5000 + b" NOOP\r\n", b"a AUTHENTICATE PLAIN ====\r\n",
    b"a AUTHENTICATE NOTHING\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n",
])
def test_imap_lines_before_login(imap, line):
    client = imap()
    client.send(line)
    try:
        answer = client.response()
        assert b" BAD" in answer or b" NO" in answer or answer.startswith((b"* BYE", b"* BAD")), answer
        client.send(b"zz NOOP\r\n")
        client.until(b"zz")
    except (EOFError, OSError):
        pass


@pytest.mark.parametrize("command", [
    b"FETCH " + b",".join(b"%d" % n for n in range(1, 20000, 2)) + b" FLAGS",
    b"UID FETCH 4294967295:* (FLAGS)", b"UID FETCH *:4294967295 FLAGS", b"FETCH 4294967296 FLAGS", b"FETCH 00000000000000000001 FLAGS",
    b"SEARCH " + b"(" * 2000 + b"ALL" + b")" * 2000, b"SEARCH " + b"OR " * 3000 + b"ALL " * 3001,
    b"FETCH 1 (" + b"FLAGS " * 20000 + b")", b"FETCH 1 BODY[" + b"1." * 5000 + b"1]", b"FETCH 1 BODY[1.2.3.HEADER.FIELDS (a b c)]",
    b"FETCH 1 BODY[TEXT]<4294967295.4294967295>", b"FETCH 1 BODY[]<0.0>", b"STORE 1 +FLAGS (" + b"".join(b"k%d " % n for n in range(5000)) + b")",
    b"CREATE \"" + b"a" * 3000 + b"\"", b"CREATE \"" + b"a." * 500 + b"\"", b"CREATE \"../../etc/passwd\"", b"CREATE \"a\0b\"", b"CREATE \"\"",
    b"SELECT \"../t1@example.test\"", b"LIST \"\" \"" + b"%*" * 500 + b"\"", b"RENAME INBOX INBOX", b"STATUS \"" + b"x" * 2000 + b"\" (MESSAGES)",
    b"COPY 1 INBOX " * 100, b"SEARCH SINCE 99-Foo-9999", b"SEARCH BEFORE 31-Feb-2026", b"UID SEARCH UID 0", b"THREAD X UTF-8 ALL",
])
def test_imap_commands(imap, user, command):
    client = imap(user, timeout=30)
    client.append("INBOX", mail.multipart())
    client.ok("SELECT INBOX")
    try:
        assert client.cmd(command).status in ("OK", "NO", "BAD")
        client.ok("NOOP")
    except EOFError:
        pass  # past a bound: BYE and close


def test_imap_append_bounds(imap, user):
    client = imap(user)
    assert client.cmd('APPEND INBOX (\\Seen) "99-Foo-2026 00:00:00 +0000"', b"x").status == "BAD"
    client.send(b"b APPEND INBOX {99999999999}\r\n")
    answer = client.response()
    assert answer.startswith((b"b NO", b"b BAD")), answer
    client.send(b"c APPEND Nowhere {10}\r\n")
    assert client.response().startswith((b"c NO", b"+"))


def test_imap_endless_line(imap):
    client = imap()
    client.sock.settimeout(20)
    try:
        for _ in range(320):
            client.send(b"x" * 65536)
    except OSError:
        return
    client.at_end(20)


# ---- any protocol ----------------------------------------------------------------------------------------------------
SMTP_STATES = [b"", b"EH", b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<a@b.test>\r\n", b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<t1@example.test>\r\n",
               b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<t1@example.test>\r\nDATA\r\n",
               b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<t1@example.test>\r\nDATA\r\nSubject: x\r\n\r\nhalf a mess",
               b"EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<t1@example.test>\r\nBDAT 1000\r\nxxx", b"EHLO x\r\nSTARTTLS\r\n",
               b"EHLO x\r\nSTARTTLS\r\n\x16\x03\x01\x00"]
IMAP_STATES = [b"", b"a LOG", b"a LOGIN t1@example.test {4}\r\n", b"a AUTHENTICATE PLAIN\r\n", b"a LOGIN t1@example.test pw-1\r\n",
               b"a LOGIN t1@example.test pw-1\r\nb SELECT INBOX\r\n", b"a LOGIN t1@example.test pw-1\r\nb SELECT INBOX\r\nc IDLE\r\n",
               b"a LOGIN t1@example.test pw-1\r\nb APPEND INBOX {1000+}\r\nhalf", b"a LOGIN t1@example.test pw-1\r\nb SELECT INBOX\r\nc FETCH 1:* BODY[]\r\n",
               b"a STARTTLS\r\n\x16\x03"]


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("name, states", [("mx", SMTP_STATES), ("imap", IMAP_STATES)])
def test_disconnects_at_every_state(server, how, name, states):
    for state in states:
        sock = socket.create_connection(("127.0.0.1", server.ports[name]), 10)
        sock.sendall(state)
        time.sleep(0.05)
        if how == "half":  # we say no more, but still listen
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(15)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        elif how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()


def test_slow_writer_does_not_hold_others(smtp, server, user):
    slow = smtp(greet=False)
    for byte in b"EHLO slow.test\r\nMAIL FROM:<a@b.test>\r\n":
        slow.send(bytes([byte]))
        time.sleep(0.01)
    fast = smtp()
    started = time.monotonic()
    fast.ehlo()
    assert time.monotonic() - started < 1
    assert slow.reply().code == 220 and slow.reply().code == 250 and slow.reply().code == 250


def test_reader_that_never_reads(server, imap, user):
    """Answers pile up for one who does not read them: bounded, and nobody else waits."""
    filler = imap(user, timeout=30)
    for _ in range(5):
        filler.append("INBOX", mail.plain(body=("z" * 70 + "\r\n") * 30000))
    lazy = imap(user)
    lazy.ok("SELECT INBOX")
    before = memory(server)
    try:
        for number in range(60):  # 600 MB of answers asked for
            lazy.send(b"x%d FETCH 1:* BODY.PEEK[]\r\n" % number)
    except OSError:
        pass
    time.sleep(1)
    assert memory(server) - before < 48 * MEBIBYTE
    other = imap(user)
    started = time.monotonic()
    other.ok("SELECT INBOX")
    assert time.monotonic() - started < 2


def test_many_idle_connections(server, user):
    held = [socket.create_connection(("127.0.0.1", server.ports["mx"]), 10) for _ in range(300)]
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
    for sock in held:
        sock.close()


@pytest.mark.parametrize("listener", ["mx", "imap", "imaps", "smtps", "mx-proxy", "metrics"])
def test_random_bytes(server, listener):
    random.seed(7)
    for _ in range(30):
        sock = socket.create_connection(("127.0.0.1", server.ports[listener]), 10)
        try:
            sock.sendall(random.randbytes(random.randrange(1, 3000)))
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(10)
            while sock.recv(65536):
                pass
        except OSError:
            pass
        sock.close()


@pytest.mark.parametrize("request_text", [b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                                          b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"GET /../../etc/passwd HTTP/1.0\r\n\r\n",
                                          b"GET /metrics HTTP/9.9\r\n\r\n", b"\r\n\r\n"])
def test_http(server, request_text):
    with socket.create_connection(("127.0.0.1", server.ports["metrics"]), 10) as sock:
        try:
            sock.sendall(request_text)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(10)
            data = b"".join(iter(lambda: sock.recv(65536), b""))
            assert b"root:" not in data and (not data or data.startswith(b"HTTP/1."))
        except ConnectionResetError:
            pass
    assert server.get("/livez")[0] == 200


def test_one_line_per_hostile_connection(smtp, server):
    mark = server.mark()
    client = smtp()
    for _ in range(5):
        client.cmd("NONSENSE")
    client.close()
    time.sleep(0.3)
    lines = server.since(mark)
    assert len(lines) <= 1, lines


def test_log_lines_cannot_be_forged(smtp, server, user):
    """Client text in the log never starts a line of its own nor looks like another field (surroundings, log injection)."""
    mark = server.mark()
    client = smtp()
    client.cmd("EHLO lost connection after X from v[198.51.100.9]")
    client.ehlo("x]<198.51.100.9>")
    client.cmd('MAIL FROM:<"lost connection after X from v[198.51.100.9]"@remote.test>')
    client.cmd("RCPT TO:<nobody@example.test>")
    client.cmd("QUIT")
    time.sleep(0.3)
    assert "[198.51.100.9]" not in (server.home / "mail.log").read_text()
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in server.since(mark))
