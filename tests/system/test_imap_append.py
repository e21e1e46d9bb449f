"""APPEND and its kin: several messages at once, all or nothing; what is refused, and when it is told."""
import re
import threading

import mail
import pytest

from wire import Imap

MESSAGES = [mail.plain(subject=f"part {number}", body=f"number {number}\r\n" * number) for number in range(1, 6)]


def multi(client, mailbox, messages, how="+", options=None):
    """APPEND of several messages with literals of one kind ("": the client waits for each "+")."""
    tag = client.tag()
    line = tag + f' APPEND "{mailbox}"'.encode()
    for number, message in enumerate(messages):
        option = options[number] if options else ""
        line += f" {option}".encode() + b"{%d%s}\r\n" % (len(message), how.encode())
        if not how:
            client.send(line)
            first = client.response()
            if not first.startswith(b"+"):
                client.buffer = first + b"\r\n" + client.buffer
                return client.until(tag)
            line = b""
        line += message
    client.send(line + b"\r\n")
    return client.until(tag)


def bodies(client):
    return [m[1] for m in client.ok("FETCH 1:* (BODY.PEEK[])").all(rb"\{\d+\}\r\n(.*)\)$")]


def count(client, mailbox="INBOX"):
    return int(client.ok(f'STATUS "{mailbox}" (MESSAGES)').find(rb"MESSAGES (\d+)")[1])


@pytest.mark.parametrize("how", ["", "+"])
def test_several_messages_at_once(imap, user, how):
    client = imap(user)
    assert "MULTIAPPEND" in client.ok("CAPABILITY").untagged[0].decode().split()
    options = ["", "(\\Seen) ", '"17-Jul-1996 02:44:25 -0700" ', '(\\Flagged $Done) " 1-Feb-1994 21:52:25 -0800" ', "() "]
    answer = multi(client, "INBOX", MESSAGES, how, options)
    assert re.fullmatch(r"\[APPENDUID \d+ 1:5\] .*", answer.text) and answer.status == "OK", answer
    client.ok("SELECT INBOX")
    assert bodies(client) == MESSAGES
    rows = client.ok("FETCH 1:5 (FLAGS INTERNALDATE)").untagged
    assert b"\\Seen" in rows[1] and b"17-Jul-1996 09:44:25" in rows[2] and b"$Done" in rows[3] and b" 2-Feb-1994" in rows[3]
    assert b"\\Seen" not in rows[0] and b"\\Flagged" not in rows[4]


def test_all_or_nothing(imap, user):
    client = imap(user)
    answer = multi(client, "INBOX", [MESSAGES[0], b"", MESSAGES[1]])  # RFC 3502: a client gives up so
    assert answer.status == "NO", answer
    answer = multi(client, "INBOX", [MESSAGES[0], b""], "")
    assert answer.status == "NO", answer
    answer = multi(client, "INBOX", MESSAGES, options=["", "", "(\\Nonsense) ", "", ""])
    assert answer.status == "BAD", answer
    answer = multi(client, "Nowhere", MESSAGES)
    assert answer.status == "NO" and answer.text.startswith("[TRYCREATE]"), answer
    keywords = " ".join(f"k{number}" for number in range(57))
    answer = multi(client, "INBOX", MESSAGES[:3], options=["", f"({keywords}) ", ""])
    assert answer.status == "NO" and answer.text.startswith("[LIMIT]"), answer
    assert count(client) == 0
    assert multi(client, "INBOX", MESSAGES).status == "OK"
    assert count(client) == 5


def test_as_many_as_there_may_be(imap, user):
    client = imap(user)
    answer = multi(client, "INBOX", MESSAGES[:1] * 64)
    assert answer.text.startswith("[APPENDUID") and "1:64]" in answer.text
    assert multi(client, "INBOX", MESSAGES[:1] * 65).text.startswith("[LIMIT]")
    assert multi(client, "INBOX", MESSAGES[:1] * 65, "").text.startswith("[LIMIT]")
    assert count(client) == 64


def test_a_command_behind_a_refused_one(imap, user):
    """Whatever was refused, the next command is read as one."""
    client = imap(user)
    for number, rest in enumerate([b"x\r\n", b" {3+}\r\nabc x\r\n", b" {3+}\r\nabc (\\Seen {3+}\r\nabc\r\n", b" \r\n",
                                   b" {3+}\r\nabc {0+}\r\n {3+}\r\nabc\r\n"]):
        client.send(b"a%d APPEND INBOX {5+}\r\nhello" % number + rest + b"b%d NOOP\r\n" % number)
        assert client.until(b"a%d" % number).status in ("BAD", "NO"), rest
        assert client.until(b"b%d" % number).status == "OK"
    assert count(client) == 0


def test_a_client_that_goes_away_in_between(server, imap, user):
    for cut in (b"", b"hel", b"hello", b"hello {5+}\r\nhe", b"hello {5+}\r\nhello"):
        client = imap(user)
        client.send(b"a APPEND INBOX {5+}\r\n" + cut)
        client.close()
    client = imap(user)
    client.ok("NOOP")
    assert count(client) == 0


def test_the_end_of_the_connection_does_not_undo_what_came_whole(imap, user):
    import socket
    client = imap(user)
    client.send(b"a APPEND INBOX {5+}\r\nhello {5+}\r\nworld\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    assert client.until(b"a").status == "OK"
    assert count(imap(user)) == 2


def test_hidden(make_server):
    server = make_server(listeners=["imap"], imap={"hide_capabilities": [{"account": "t5@example.test", "names": ["MULTIAPPEND"]}]}).start()
    client = Imap(server.ports["imap"])
    client.login("t5@example.test", "pw-5")
    assert "MULTIAPPEND" not in client.ok("CAPABILITY").untagged[0].decode()
    assert multi(client, "INBOX", MESSAGES[:2]).status == "BAD"
    assert multi(client, "INBOX", MESSAGES[:2], "").status == "BAD"
    assert multi(client, "INBOX", MESSAGES[:1]).status == "OK"
    assert count(client) == 1


def test_quota_counts_all_of_them(make_server):
    server = make_server(listeners=["imap"], quota={"account": "10k"}).start()
    client = Imap(server.ports["imap"])
    client.login("t6@example.test", "pw-6")
    message = mail.plain(body="x" * 70 + "\r\n" + "y" * 2900 + "\r\n")
    assert multi(client, "INBOX", [message] * 4).text.startswith("[OVERQUOTA]")
    assert count(client) == 0
    assert multi(client, "INBOX", [message] * 3).status == "OK"
    assert multi(client, "INBOX", [message] * 1).text.startswith("[OVERQUOTA]")
    assert count(client) == 3


def test_many_sessions_at_once(imap, user):
    """Sets of several sessions in one commit stay together: their UIDs are neighbours."""
    answers = []

    def work():
        client = imap(user)
        for _ in range(5):
            answers.append(multi(client, "INBOX", MESSAGES[:3]).text)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sets = sorted(tuple(map(int, re.search(r"APPENDUID \d+ (\d+):(\d+)\]", text).groups())) for text in answers)
    assert sets == [(first, first + 2) for first in range(1, 91, 3)]
    client = imap(user)
    client.ok("SELECT INBOX")
    assert bodies(client) == MESSAGES[:3] * 30


# ---- REPLACE (RFC 8508) ----

def replace(client, number, message, mailbox="INBOX", flags="", uid=False):
    flags = f"({flags}) " if flags else ""
    return client.cmd(f'{"UID " if uid else ""}REPLACE {number} "{mailbox}" {flags}', message)


@pytest.fixture
def box(imap, user):
    client = imap(user)
    assert multi(client, "INBOX", MESSAGES[:4]).status == "OK"
    client.ok("SELECT INBOX")
    return client


@pytest.mark.parametrize("uid", [False, True])
def test_replace(box, imap, user, uid):
    assert "REPLACE" in box.ok("CAPABILITY").untagged[0].decode().split()
    other = imap(user)
    other.ok("SELECT INBOX")
    answer = replace(box, 2, MESSAGES[4], flags="\\Seen \\Draft", uid=uid)
    assert answer.status == "OK", answer
    kinds = [re.search(rb"APPENDUID \d+ 5|2 EXPUNGE|4 EXISTS|RECENT", line)[0] for line in answer.untagged]
    kinds = [kind.split()[-1] for kind in kinds if b"RECENT" not in kind]
    assert kinds == [b"5", b"EXPUNGE", b"EXISTS"], answer
    assert bodies(box) == [MESSAGES[0], MESSAGES[2], MESSAGES[3], MESSAGES[4]]
    assert box.ok("FETCH 4 (UID FLAGS)").find(rb"4 FETCH \(UID 5 FLAGS \([^)]*\\Seen")
    answer = other.ok("NOOP")
    assert answer.find(rb"2 EXPUNGE") and answer.find(rb"4 EXISTS"), answer
    assert bodies(other) == bodies(box)


def test_replace_into_another_mailbox(box):
    answer = replace(box, 1, MESSAGES[4], "Drafts")
    assert answer.find(rb"\* OK \[APPENDUID \d+ 1\]") and answer.find(rb"\* 1 EXPUNGE") and not answer.find(rb"EXISTS"), answer
    assert count(box, "Drafts") == 1 and count(box) == 3


def test_replace_of_what_is_not_there(box, imap, user):
    other = imap(user)
    other.ok("SELECT INBOX")
    other.ok("STORE 3 +FLAGS.SILENT (\\Deleted)")
    other.ok("EXPUNGE")
    for how in ("", "+"):
        box.send(b"a REPLACE 3 INBOX {5%s}\r\n" % how.encode())
        if not how:
            assert box.response().startswith(b"+")
        box.send(b"hello\r\n")
        answer = box.until(b"a")
        assert answer.status == "NO" and answer.text.startswith("[EXPUNGEISSUED]") and answer.find(rb"3 EXPUNGE|.*") is not None, answer
        if how:
            break
        box.ok("NOOP")
        other.ok("NOOP")
        other.ok("STORE 3 +FLAGS.SILENT (\\Deleted)")
        other.ok("EXPUNGE")
    assert count(other) == 2
    box.ok("NOOP")
    assert replace(box, 9, b"x").status == "BAD"
    assert replace(box, 9, b"x", uid=True).status == "NO"
    assert replace(box, 1, b"x", "Nowhere").text.startswith("[TRYCREATE]")
    assert replace(box, 1, b"x", flags="\\Nonsense").status == "BAD"
    assert replace(box, "1:2", b"x").status == "BAD"
    box.send(b"b REPLACE 1 INBOX {5+}\r\nhello {5+}\r\nworld\r\nc NOOP\r\n")
    assert box.until(b"b").status == "BAD" and box.until(b"c").status == "OK"
    assert count(other) == 2 and len(bodies(box)) == 2


def test_replace_needs_a_mailbox_that_may_be_changed(box):
    box.ok("EXAMINE INBOX")
    assert replace(box, 1, b"x").status == "NO"
    box.ok("UNSELECT")
    assert replace(box, 1, b"x").status == "BAD"
    box.ok("SELECT INBOX")
    assert len(bodies(box)) == 4


def test_two_replace_the_same_at_once(box, imap, user):
    """One of them wins; whatever the order, no message is lost and none is doubled."""
    clients = [imap(user) for _ in range(6)]
    for client in clients:
        client.ok("SELECT INBOX")
    for client in clients:
        client.send(b"a REPLACE 1 INBOX {%d+}\r\n%s\r\n" % (len(MESSAGES[4]), MESSAGES[4]))
    answers = [client.until(b"a") for client in clients]
    assert sorted(answer.status for answer in answers) == ["NO"] * 5 + ["OK"], answers
    assert all(answer.text.startswith("[EXPUNGEISSUED]") for answer in answers if answer.status == "NO"), answers
    box.ok("NOOP")
    assert bodies(box) == [*MESSAGES[1:4], MESSAGES[4]]


def test_replace_is_told_to_who_resynchronises(box, imap, user):
    validity = int(box.ok("SELECT INBOX").find(rb"UIDVALIDITY (\d+)")[1])
    modseq = int(box.ok("STATUS INBOX (HIGHESTMODSEQ)").find(rb"HIGHESTMODSEQ (\d+)")[1])
    box.ok("ENABLE QRESYNC")
    answer = replace(box, 2, MESSAGES[4])
    assert answer.find(rb"\* VANISHED 2$") and answer.find(rb"4 EXISTS") and "[HIGHESTMODSEQ" in answer.text, answer
    other = imap(user)
    other.ok("ENABLE QRESYNC")
    answer = other.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:4))")
    assert answer.find(rb"VANISHED \(EARLIER\) 2$") and answer.find(rb"4 FETCH \(UID 5 ")


def test_replace_and_quota(make_server):
    """The old message makes room for the new one."""
    server = make_server(listeners=["imap"], quota={"account": "10k"}).start()
    client = Imap(server.ports["imap"])
    client.login("t7@example.test", "pw-7")
    big = mail.plain(body="y\r\n" * 2600)
    assert multi(client, "INBOX", [big]).status == "OK"
    client.ok("SELECT INBOX")
    assert client.append("INBOX", big).text.startswith("[OVERQUOTA]")
    assert replace(client, 1, big).status == "OK"
    assert replace(client, 1, big + b"y\r\n" * 2000).text.startswith("[OVERQUOTA]")
    assert bodies(client) == [big]


# ---- CATENATE (RFC 4469) ----

def catenate(client, *parts, mailbox="INBOX", how="+", flags="", before="APPEND"):
    """parts: bytes are TEXT, str are URLs; URLs with a leading "!" go as literals."""
    tag = client.tag()
    line = tag + f' {before} "{mailbox}" {flags}CATENATE ('.encode()
    for number, part in enumerate(parts):
        line += b" " if number else b""
        if isinstance(part, str) and not part.startswith("!"):
            line += f'URL "{part}"'.encode()
            continue
        data, word = (part, b"TEXT") if isinstance(part, bytes) else (part[1:].encode(), b"URL")
        line += word + b" {%d%s}\r\n" % (len(data), how.encode())
        if not how:
            client.send(line)
            first = client.response()
            if not first.startswith(b"+"):
                client.buffer = first + b"\r\n" + client.buffer
                return client.until(tag)
            line = b""
        line += data
    client.send(line + b")\r\n")
    return client.until(tag)


@pytest.fixture
def parts(imap, user):
    """A session with a multipart message as UID 1 of INBOX and a small one as UID 2."""
    client = imap(user)
    client.whole, client.small = mail.multipart("the parts"), mail.plain(subject="small", body="small body\r\n")
    assert multi(client, "INBOX", [client.whole, client.small]).status == "OK"
    client.validity = client.ok("SELECT INBOX").find(rb"UIDVALIDITY (\d+)")[1].decode()
    return client


def last(client, mailbox="INBOX"):
    client.ok(f"SELECT {mailbox}")
    return client.ok("FETCH * (BODY.PEEK[])").untagged[0].partition(b"}\r\n")[2][:-1]


@pytest.mark.parametrize("how", ["", "+"])
def test_catenate(parts, user, how):
    head, _, text = parts.whole.partition(b"\r\n\r\n")
    head += b"\r\n\r\n"
    small = parts.small.partition(b"\r\n\r\n")[2]
    one = parts.ok("FETCH 1 BODY.PEEK[1.1]").untagged[0].partition(b"}\r\n")[2][:-1]
    mime = parts.ok("FETCH 1 BODY.PEEK[1.2.MIME]").untagged[0].partition(b"}\r\n")[2][:-1]
    field = parts.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]").untagged[0].partition(b"}\r\n")[2][:-1]
    local, domain = user.address.split("@")
    escaped = user.address.replace("@", "%40")
    cases = [
        ([f"/INBOX;UIDVALIDITY={parts.validity}/;UID=1/;section=HEADER", b"new text\r\n"], head + b"new text\r\n"),
        (["/INBOX/;UID=1"], parts.whole),
        (["/inbox;uid=1"], parts.whole),
        ([";UID=2"], parts.small),
        (["/INBOX/;UID=1/;SECTION=TEXT"], text),
        ([b"A: b\r\n", b"", b"\r\n", "/INBOX/;UID=2/;SECTION=TEXT", b"end"], b"A: b\r\n\r\n" + small + b"end"),
        ([b"A: b\r\n\r\n", "!/INBOX/;UID=1/;SECTION=1.1", "!/INBOX/;UID=2/;SECTION=1"], b"A: b\r\n\r\n" + one + small),
        (["/INBOX/;UID=1/;SECTION=1.2.MIME", b"x"], mime + b"x"),
        (["/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)", b"x"], field + b"x"),
        (["/INBOX/;UID=1/;PARTIAL=5.20", b"x"], parts.whole[5:25] + b"x"),
        (["/INBOX/;UID=1/;SECTION=TEXT/;PARTIAL=10"], text[10:]),
        (["/INBOX/;UID=1/;PARTIAL=100000.1", b"x"], b"x"),
        ([f"imap://{escaped}@mail.example.test/INBOX/;UID=2"], parts.small),
        ([f"imap://{local}@{domain}/INBOX;UIDVALIDITY={parts.validity}/;UID=2"], parts.small),
        (["/%49NBOX/;UID=2"], parts.small),
    ]
    for list_of_parts, wanted in cases:
        answer = catenate(parts, *list_of_parts, mailbox="Drafts", how=how, flags="(\\Seen) ")
        assert answer.status == "OK" and "APPENDUID" in answer.text, (list_of_parts, answer)
        assert last(parts, "Drafts") == wanted, list_of_parts
        parts.ok("SELECT INBOX")
    parts.ok("SELECT Drafts")
    structure = parts.ok("FETCH 2 (BODYSTRUCTURE)").untagged[0]
    parts.ok("SELECT INBOX")
    assert structure == parts.ok("FETCH 1 (BODYSTRUCTURE)").untagged[0].replace(b"* 1 ", b"* 2 "), "scanned like any other"


def test_catenate_in_several_and_replacing(parts):
    tag = parts.tag()
    parts.send(tag + b' APPEND INBOX CATENATE (URL "/INBOX/;UID=1") (\\Flagged) CATENATE (TEXT {3+}\r\nabc URL ";UID=2") {3+}\r\nxyz\r\n')
    answer = parts.until(tag)
    assert "3:5]" in answer.text, answer
    parts.ok("NOOP")
    assert bodies(parts)[2:] == [parts.whole, b"abc" + parts.small, b"xyz"]
    answer = catenate(parts, "/INBOX/;UID=2/;SECTION=HEADER", b"changed\r\n", before="REPLACE 2")
    assert answer.status == "OK" and answer.find(rb"2 EXPUNGE"), answer
    assert last(parts) == parts.small.partition(b"\r\n\r\n")[0] + b"\r\n\r\nchanged\r\n"
    assert parts.cmd('APPEND INBOX CATENATE (URL "/INBOX/;UID=1") CATENATE (URL "/INBOX/;UID=99")').text.startswith("[BADURL")
    assert count(parts) == 5


@pytest.mark.parametrize("how", ["", "+"])
@pytest.mark.parametrize("url", [
    "/INBOX/;UID=99", "/INBOX;UIDVALIDITY=1/;UID=1", "/Nowhere/;UID=1", "/INBOX/;UID=0", "/INBOX", "", "x", "/INBOX/;UID=1/;SECTION=9",
    "/INBOX/;UID=1/;SECTION=X", "/INBOX/;UID=1/;PARTIAL=0.0", "/INBOX/;UID=1junk", "imap://bob@example.test/INBOX/;UID=1",
    "imap://mail.example.test/INBOX/;UID=1", "/INBOX/;UID=1;URLAUTH=anonymous", "/IN%00BOX/;UID=1", "/INBOX/;UID=1/;SECTION=1.2.HEADER",
    "/../../INBOX/;UID=1", "http://example.test/INBOX/;UID=1",
])
def test_bad_urls(parts, url, how):
    for list_of_parts in ([url], [b"a", url], [url, b"abc"], [b"a", url, b"abc", "/INBOX/;UID=1", b"d"]):
        answer = catenate(parts, *list_of_parts, how=how)
        assert answer.status == "NO" and answer.text.startswith(f"[BADURL {url}]"), answer
        parts.ok("NOOP")
    answer = catenate(parts, b"a", url, b"abc", mailbox="Absent", how=how)
    assert answer.text.startswith("[TRYCREATE]"), answer
    assert count(parts) == 2


def test_no_url_reaches_another_account(parts, imap, new_user):
    other = new_user()
    client = imap(other)
    client.append("INBOX", mail.plain())
    escaped = other.address.replace("@", "%40")
    for url in (f"imap://{escaped}@mail.example.test/INBOX/;UID=1", f"imap://{other.address}/INBOX/;UID=1",
                f"imap://{escaped};AUTH=*@mail.example.test:143/INBOX/;UID=1"):
        assert catenate(parts, url).text.startswith("[BADURL"), url


def test_catenate_refusals(parts):
    assert catenate(parts).status == "BAD"
    assert parts.cmd('APPEND INBOX CATENATE (URL "/INBOX/;UID=1"').status == "BAD"
    assert parts.cmd('APPEND INBOX CATENATE (LINK "/INBOX/;UID=1")').status == "BAD"
    assert catenate(parts, b"").text.startswith("[CANNOT]")
    assert catenate(parts, "/INBOX/;UID=1/;PARTIAL=900000.5").text.startswith("[CANNOT]")
    parts.send(b"a APPEND INBOX CATENATE (TEXT {3+}\r\nabc URL nonsense TEXT {4+}\r\nabcd TEXT {5+}\r\nabcde)\r\nb NOOP\r\n")
    assert parts.until(b"a").text.startswith("[BADURL nonsense]") and parts.until(b"b").status == "OK"
    parts.send(b"c APPEND INBOX CATENATE (TEXT {3+}\r\nabc TEXT {3+}\r\nabc\r\nd NOOP\r\n")
    assert parts.until(b"c").status == "BAD" and parts.until(b"d").status == "OK"
    assert count(parts) == 2


def test_catenate_too_big(make_server):
    server = make_server(listeners=["imap"], limits={"message_size": "100k"}).start()
    client = Imap(server.ports["imap"])
    client.login("t8@example.test", "pw-8")
    assert client.append("INBOX", mail.plain(body="x" * 70 + "\r\n" + "y\r\n" * 20000)).status == "OK"
    client.ok("SELECT INBOX")
    assert catenate(client, "/INBOX/;UID=1", "/INBOX/;UID=1").text.startswith("[TOOBIG]")
    assert catenate(client, "/INBOX/;UID=1", b"z" * 60000).text.startswith("[TOOBIG]")
    assert catenate(client, b"z" * 60000, "/INBOX/;UID=1", b"z" * 60000).text.startswith("[TOOBIG]")
    assert catenate(client, b"z" * 60000, b"z" * 60000, how="").text.startswith("[TOOBIG]")
    assert catenate(client, "/INBOX/;UID=1", b"z" * 30000).status == "OK"
    assert count(client) == 2


def test_catenate_of_a_large_message(imap, user):
    client = imap(user)
    big = mail.plain(body="0123456789abcdef" * 4 + "\r\n" + "line of text\r\n" * 1_000_000)
    assert client.append("INBOX", big).status == "OK"
    assert catenate(client, b"X-New: 1\r\n", "/INBOX/;UID=1").status == "OK"
    assert last(client) == b"X-New: 1\r\n" + big


def test_names_that_are_none(parts):
    for command in ('APPEND "" {3+}\r\nabc', 'APPEND "" CATENATE (TEXT {3+}\r\nabc)', 'APPEND "/" {3+}\r\nabc', 'APPEND "" CATENATE (URL ";UID=1")',
                    'REPLACE 1 "" {3+}\r\nabc', 'APPEND "Other Users/x/y" {3+}\r\nabc', 'APPEND "Other Users" {3+}\r\nabc', 'RESETKEY ""',
                    'APPEND INBOX CATENATE (URL "/Other%20Users/x/y/;UID=1")', 'UID REPLACE 99 "" {3+}\r\nabc'):
        assert parts.cmd(command).status in ("NO", "BAD"), command
        parts.ok("NOOP")
    assert count(parts) == 2


def test_what_is_longer_than_any_message_between_roles(parts, user):
    long, escaped, token = "y" * 3000, user.address.replace("@", "%40"), "a" * 64
    flags = " ".join("k" * 1000 + str(number) for number in range(50))
    some = " (" + " ".join("k" * 60 + str(number) for number in range(50)) + ") {3+}\r\nabc"
    for command in (f'APPEND INBOX CATENATE (URL "/{long}/;UID=1")', f'APPEND {long} CATENATE (URL "/INBOX/;UID=1")', f'APPEND "{long}" {{3+}}\r\nabc',
                    f'REPLACE 1 "{long}" {{3+}}\r\nabc', f'GENURLAUTH "imap://{escaped}@mail.example.test/{long}/;UID=1;URLAUTH=authuser" INTERNAL',
                    f"RESETKEY {long}", f"APPEND INBOX ({flags}) {{3+}}\r\nabc", "APPEND INBOX" + some * 60, "URLFETCH {3+}\r\na\rb"):
        answer = parts.cmd(command)
        assert answer.status in ("NO", "BAD") or answer.find(rb"URLFETCH .* NIL"), (command[:80], answer)
    for name in (f"{escaped}@mail.example.test/{long}", f"{long}@mail.example.test/x", f"{'y' * 900}@mail.example.test/x",
                 f"{'y' * 245}%40example.test@example.test/x"):
        assert parts.ok(f'URLFETCH "imap://{name}/;UID=1;URLAUTH=authuser:internal:{token}"').find(rb" NIL$")
    assert count(parts) == 2


@pytest.mark.parametrize("told,kept", [("01-Jan-1969 00:00:00 +0000", " 1-Jan-1970 00:00:01 +0000"),
                                       ("01-Jan-1970 00:00:00 +0000", " 1-Jan-1970 00:00:01 +0000"),
                                       ("02-Jan-1970 00:00:00 +0000", " 2-Jan-1970 00:00:00 +0000"),
                                       ("31-Dec-9999 00:00:00 +0000", " 7-Feb-2106 06:28:15 +0000")])
def test_dates_beyond_what_is_kept(imap, user, told, kept):
    """The nearest moment that can be kept, never the time of the APPEND."""
    client = imap(user)
    assert client.append("INBOX", "Subject: x\r\n\r\nx\r\n", date=told).status == "OK"
    client.ok("SELECT INBOX")
    assert client.ok("FETCH * INTERNALDATE").find(rb'INTERNALDATE "([^"]*)"')[1].decode() == kept
