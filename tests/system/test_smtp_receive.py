"""SMTP from strangers: the MX listener (RFC 5321 and its extensions)."""
import re

import mail
import pytest

SERVER = {
    "aliases": "two@example.test t150@example.test, t151@example.test\nself@example.test self@example.test\n",
    "domains": [{"name": "example.test"}, {"name": "catch.test", "catch_all": "t152@example.test"},
                {"name": "bücher.test"}],
}

EXTENSIONS = {"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "STARTTLS"}


def readable(imap, user, count=1):
    client = imap(user)
    client.wait_messages(count)
    client.ok("SELECT INBOX")
    return client


def test_greeting_and_extensions(smtp):
    client = smtp()
    assert client.greeting.code == 220 and client.greeting.text.startswith("mail.example.test ")
    offered = client.ehlo()
    assert EXTENSIONS <= offered
    assert any(line.startswith("SIZE ") and int(line[5:]) > 1000000 for line in offered)
    assert any(line.startswith("LIMITS ") for line in offered)
    assert not any(line.startswith("AUTH") for line in offered), "the MX never offers AUTH"
    after = client.starttls()
    assert "STARTTLS" not in after and not any(line.startswith("AUTH") for line in after)
    assert client.cmd("AUTH PLAIN AGEAYg==").code in (502, 503)
    assert client.cmd("QUIT").code == 221
    assert client.at_end() == b""


def test_helo_speaks_no_extensions(smtp):
    client = smtp()
    reply = client.cmd("HELO client.test")
    assert reply.code == 250 and len(reply.lines) == 1
    assert client.cmd("NOOP").code == 250


def test_a_message_arrives(smtp, imap, user):
    word = mail.marker()
    client = smtp()
    client.ehlo()
    reply = client.deliver("stranger@remote.test", [user.address], mail.plain(subject=word))
    assert reply.code == 250 and reply.text.startswith("2."), reply
    answer = readable(imap, user).ok("FETCH 1 (FLAGS BODY[])")
    text = answer.untagged[0]
    assert word.encode() in text
    block = text.partition(b"{")[2].partition(b"\r\n")[2]
    assert block.startswith(b"Return-Path: <stranger@remote.test>\r\n"), block[:200]
    assert re.search(rb"^Delivered-To: " + user.address.encode(), block, re.M | re.I)
    received = re.search(rb"^Received: (?:.*\r\n)(?:[ \t].*\r\n)*", block, re.M)[0]
    assert b"from client.test" in received and b"by mail.example.test" in received and b"127.0.0.1" in received
    assert b"with ESMTP" in received


def test_over_tls(smtp, imap, user):
    client = smtp()
    client.ehlo()
    client.starttls()
    assert client.deliver("stranger@remote.test", [user.address], mail.plain()).code == 250
    text = readable(imap, user).ok("FETCH 1 BODY[HEADER]").untagged[0]
    assert b"with ESMTPS" in text


def test_pipelined_whole_transaction(smtp, imap, user):
    client = smtp()
    client.ehlo()
    client.send(f"MAIL FROM:<a@remote.test>\r\nRCPT TO:<{user.address}>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n")
    assert [client.reply().code for _ in range(4)] == [250, 250, 550, 354]
    client.send(mail.plain() + b".\r\nRSET\r\nNOOP\r\n")
    assert [client.reply().code for _ in range(3)] == [250, 250, 250]
    readable(imap, user)


def test_unknown_recipient(smtp):
    client = smtp()
    client.ehlo()
    reply = client.envelope("a@remote.test", ["nobody-here@example.test"])[0]
    assert reply.code == 550 and reply.text.startswith("5.1.1 "), reply
    assert client.cmd("DATA").code in (503, 554)


def test_remote_recipient_is_refused_not_dropped(smtp):
    client = smtp()
    client.ehlo()
    reply = client.envelope("a@remote.test", ["someone@elsewhere.test"])[0]
    assert reply.code in (550, 554) and reply.text.startswith("5.7.1"), reply


@pytest.mark.parametrize("recipient", ["postmaster", "Postmaster", "postmaster@example.test", "PostMaster@catch.test"])
def test_postmaster_is_always_accepted(smtp, recipient):
    client = smtp()
    client.ehlo()
    assert client.envelope("", [recipient])[0].code == 250


def test_null_sender(smtp, imap, user):
    client = smtp()
    client.ehlo()
    assert client.deliver("", [user.address], mail.plain()).code == 250
    assert b"Return-Path: <>\r\n" in readable(imap, user).ok("FETCH 1 BODY[HEADER]").untagged[0]


def test_same_recipient_twice_gets_one_copy(smtp, imap, user):
    client = smtp()
    client.ehlo()
    upper = user.address.split("@")[0].upper() + "@EXAMPLE.test"
    assert client.deliver("a@remote.test", [user.address, upper, user.address], mail.plain()).code == 250
    readable(imap, user, 1)


def test_several_recipients(smtp, imap, new_user):
    users = [new_user() for _ in range(3)]
    client = smtp()
    client.ehlo()
    assert client.deliver("a@remote.test", [u.address for u in users], mail.plain()).code == 250
    for one in users:
        readable(imap, one, 1)


def test_plus_tag(smtp, imap, user):
    client = smtp()
    client.ehlo()
    name, domain = user.address.split("@")
    assert client.deliver("a@remote.test", [f"{name}+shop@{domain}"], mail.plain()).code == 250
    readable(imap, user)


def test_alias_with_two_targets_and_catch_all(smtp, imap):
    from conftest import ACCOUNTS, User
    client = smtp()
    client.ehlo()
    assert client.deliver("a@remote.test", ["two@example.test"], mail.plain()).code == 250
    assert client.deliver("a@remote.test", ["whatever@catch.test"], mail.plain()).code == 250
    for number in (150, 151, 152):
        address = f"t{number}@example.test"
        readable(imap, User(address, ACCOUNTS[address]), 1)


@pytest.mark.parametrize("domain", ["example.test", "EXAMPLE.TEST"])
def test_case_of_an_address_does_not_matter(smtp, imap, user, domain):
    client = smtp()
    client.ehlo()
    assert client.deliver("a@remote.test", [user.address.split("@")[0].upper() + "@" + domain], mail.plain()).code == 250
    readable(imap, user)


def test_a_label_and_u_label_are_one_domain(smtp):
    client = smtp()
    client.ehlo()
    assert client.envelope("a@remote.test", ["postmaster@xn--bcher-kva.test"])[0].code == 250
    client.cmd("RSET")
    assert client.cmd("MAIL FROM:<a@remote.test> SMTPUTF8").code == 250
    assert client.cmd("RCPT TO:<postmaster@bücher.test>").code == 250


def test_bdat(smtp, imap, user):
    message = mail.plain(body="line\r\n.\r\n..dots stay\r\n")
    client = smtp()
    client.ehlo()
    client.envelope("a@remote.test", [user.address], " BODY=8BITMIME")
    client.send(b"BDAT 20\r\n" + message[:20] + b"BDAT %d LAST\r\n" % (len(message) - 20) + message[20:])
    assert [client.reply().code, client.reply().code] == [250, 250]
    assert b"line\r\n.\r\n..dots stay\r\n" in readable(imap, user).ok("FETCH 1 BODY[]").untagged[0]


def test_bdat_empty_last_and_after_error(smtp, imap, user):
    client = smtp()
    client.ehlo()
    client.send(b"BDAT 5\r\nhello")
    assert client.reply().code == 503
    client.cmd("RSET")
    client.envelope("a@remote.test", [user.address])
    message = mail.plain()
    client.send(b"BDAT %d\r\n" % len(message) + message)
    assert client.reply().code == 250
    assert client.cmd("DATA").code == 503, "DATA and BDAT do not mix"
    assert client.cmd("BDAT 0 LAST").code in (250, 503)


def test_dot_stuffing(smtp, imap, user):
    client = smtp()
    client.ehlo()
    body = ".one\r\n..two\r\n.\r\nend\r\n"
    assert client.deliver("a@remote.test", [user.address], mail.plain(body=body)).code == 250
    assert body.encode() in readable(imap, user).ok("FETCH 1 BODY[TEXT]").untagged[0]


def test_eight_bit_and_smtputf8(smtp, imap, user):
    client = smtp()
    client.ehlo()
    client.envelope("jürgen@bücher.test", [user.address], " BODY=8BITMIME SMTPUTF8")
    assert client.data(mail.plain(subject="größer", body="ä €\r\n")).code == 250
    assert "ä €".encode() in readable(imap, user).ok("FETCH 1 BODY[TEXT]").untagged[0]


def test_utf8_address_needs_smtputf8(smtp):
    client = smtp()
    client.ehlo()
    assert client.cmd("MAIL FROM:<jürgen@remote.test>").code in (501, 550, 553)


def test_dsn_parameters_are_taken(smtp, user):
    client = smtp()
    client.ehlo()
    if "DSN" not in client.ehlo():
        pytest.fail("DSN is not offered")
    assert client.cmd("MAIL FROM:<a@remote.test> RET=HDRS ENVID=QQ+3D1").code == 250
    assert client.cmd(f"RCPT TO:<{user.address}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y.test").code == 250
    assert client.cmd(f"RCPT TO:<{user.address}> NOTIFY=NEVER,DELAY").code == 501
    assert client.cmd("RSET").code == 250
    assert client.cmd("MAIL FROM:<a@remote.test> RET=ALL RET=ALL").code == 501


def test_parameters_nobody_knows(smtp, user):
    client = smtp()
    client.ehlo()
    assert client.cmd("MAIL FROM:<a@remote.test> FOO=BAR").code == 555
    assert client.cmd("MAIL FROM:<a@remote.test>").code == 250
    assert client.cmd(f"RCPT TO:<{user.address}> FOO").code == 555


def test_size_parameter(smtp):
    client = smtp()
    client.ehlo()
    reply = client.cmd("MAIL FROM:<a@remote.test> SIZE=99999999999")
    assert reply.code == 552 and reply.text.startswith("5.3.4"), reply
    assert client.cmd("MAIL FROM:<a@remote.test> SIZE=x").code == 501


@pytest.mark.parametrize("commands, code", [
    (["RCPT TO:<t1@example.test>"], 503),
    (["DATA"], 503),
    (["MAIL FROM:<a@b.test>", "MAIL FROM:<a@b.test>"], 503),
    (["MAIL FROM:a@b.test"], 501),
    (["MAIL FROM:<a@b.test"], 501),
    (["MAIL FROM:<a@@b.test>"], 501),
    (["MAIL TO:<a@b.test>"], 501),
    (["FOO"], 500),
    (["STARTTLS now"], 501),
    (["RSET please"], 501),
    (["VRFY t1@example.test"], 252),
    (["HELP"], 214),
    (["NOOP anything goes"], 250),
    (["EXPN list"], 502),
    (["TURN"], 502),
])
def test_order_and_syntax(smtp, commands, code):
    client = smtp()
    client.ehlo()
    for command in commands[:-1]:
        assert client.cmd(command).code == 250
    reply = client.cmd(commands[-1])
    assert reply.code == code or (code in (500, 502) and reply.code in (500, 502)), reply
    assert client.cmd("NOOP").code == 250


def test_mail_before_hello(smtp):
    assert smtp().cmd("MAIL FROM:<a@b.test>").code == 503


@pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r\n\0.\r\n"])
def test_smuggling_endings_are_refused(smtp, imap, user, ending):
    """A second message hidden behind a false end of DATA never becomes one (CVE-2023-51764 and its kin)."""
    client = smtp()
    client.ehlo()
    client.envelope("a@remote.test", [user.address])
    assert client.cmd("DATA").code == 354
    hidden = b"MAIL FROM:<evil@remote.test>\r\nRCPT TO:<" + user.address.encode() + b">\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
    client.send(b"Subject: first\r\n\r\nbody" + ending + hidden)
    reply = client.reply()
    if b"\0" not in ending:
        assert reply.code in (500, 550, 554) and reply.code >= 500, reply
    box = imap(user)
    found = box.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES (\d+)")[1]
    assert int(found) <= (1 if b"\0" in ending else 0)
    if found != b"0":
        box.ok("SELECT INBOX")
        assert not box.ok('SEARCH SUBJECT "smuggled"').find(rb"SEARCH \d")


@pytest.mark.parametrize("body", [b"bare\nlf\r\n", b"bare\rcr\r\n"])
def test_bare_cr_and_lf_in_a_message(smtp, user, body):
    client = smtp()
    client.ehlo()
    reply = client.deliver("a@remote.test", [user.address], b"Subject: x\r\n\r\n" + body)
    assert reply.code >= 500, reply


def test_bare_lf_command_line(smtp):
    client = smtp()
    client.send(b"EHLO x\n")
    assert client.reply().code >= 500


def test_data_behind_starttls_is_refused(smtp):
    """Plain text sent in the packet of STARTTLS never counts as said under TLS (CVE-2011-0411)."""
    client = smtp()
    client.ehlo()
    client.send(b"STARTTLS\r\nMAIL FROM:<injected@remote.test>\r\n")
    reply = client.reply()
    if reply.code == 220:
        try:
            client.wrap()
            assert client.cmd("RCPT TO:<t1@example.test>").code == 503
        except (OSError, EOFError):
            pass  # closed: also fine
    else:
        assert reply.code >= 500


def test_loop_is_detected(smtp, user):
    client = smtp()
    client.ehlo()
    received = b"Received: from a.test by b.test; Sat, 21 Nov 2026 00:00:00 +0000\r\n" * 150
    reply = client.deliver("a@remote.test", [user.address], received + mail.plain())
    assert reply.code == 554 and reply.text.startswith("5.4.6"), reply


def test_strangers_trace_headers_do_not_survive(smtp, imap, user):
    client = smtp()
    client.ehlo()
    forged = (b"Return-Path: <forged@remote.test>\r\nX-Spam: Yes\r\nX-Spam-Flag: YES\r\n"
              b"Authentication-Results: mail.example.test; spf=pass\r\n"
              b"Authentication-Results: other.test; spf=pass\r\n")
    assert client.deliver("a@remote.test", [user.address], forged + mail.plain()).code == 250
    head = readable(imap, user).ok("FETCH 1 BODY[HEADER]").untagged[0]
    assert b"forged@remote.test" not in head and b"X-Spam: Yes" not in head and b"X-Spam-Flag: YES" not in head
    assert b"mail.example.test; spf=pass" not in head and b"other.test; spf=pass" in head


def test_many_messages_in_one_session(smtp, imap, user):
    client = smtp()
    client.ehlo()
    for number in range(30):
        assert client.deliver("a@remote.test", [user.address], mail.plain(subject=f"n{number}")).code == 250
    box = readable(imap, user, 30)
    answer = box.ok("UID FETCH 1:* (ENVELOPE)")
    subjects = [m[1].decode() for m in answer.all(rb'ENVELOPE \("[^"]*" "(n\d+)"')]
    assert subjects == [f"n{number}" for number in range(30)]


def test_large_message(smtp, imap, user):
    body = ("x" * 70 + "\r\n") * 150000  # 10 MB: a spool file, not a memfd
    client = smtp(timeout=60)
    client.ehlo()
    assert client.deliver("a@remote.test", [user.address], mail.plain(body=body)).code == 250
    size = readable(imap, user).ok("FETCH 1 RFC822.SIZE").find(rb"RFC822.SIZE (\d+)")[1]
    assert int(size) > len(body)


def test_message_over_the_limit(make_server):
    from wire import Smtp
    server = make_server(listeners=["mx"], limits={"message_size": "100K"}).start()
    client = Smtp(server.ports["mx"])
    assert "SIZE 102400" in client.ehlo() or "SIZE 100000" in client.ehlo()
    reply = client.deliver("a@remote.test", ["t1@example.test"], mail.plain(body="x\r\n" * 60000))
    assert reply.code == 552 and reply.text.startswith("5.3.4"), reply
    assert client.cmd("NOOP").code == 250, "the session goes on"


def test_the_log_follows_a_message(smtp, server, user):
    mark = server.mark()
    client = smtp()
    client.ehlo()
    reply = client.deliver("stranger@remote.test", [user.address], mail.plain())
    assert reply.code == 250
    line = server.wait_log(r"smtp\.accepted .*" + re.escape(user.address), mark)
    message_id = re.search(r" id=(\S+)", line)[1]
    trace = server.command("trace", message_id)
    assert user.address in trace.stdout and "127.0.0.1" in trace.stdout
