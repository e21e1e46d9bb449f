"""IMAP as ordinary clients use it: RFC 3501 and the extensions of the first release."""
import imaplib
import re
import ssl
import time

import mail
import pytest

CAPABILITIES = """IMAP4rev1 IDLE UIDPLUS MOVE SPECIAL-USE NAMESPACE ID ENABLE UNSELECT LITERAL+ SASL-IR CHILDREN CONDSTORE
ESEARCH LIST-EXTENDED LIST-STATUS STATUS=SIZE QUOTA""".split()


def put(client, count=1, mailbox="INBOX", flags="", **words):
    """APPENDs small messages; their UIDs."""
    uids = []
    for number in range(count):
        words.setdefault("subject", f"message {number}")
        answer = client.append(mailbox, mail.plain(**words), flags)
        assert answer.status == "OK", answer
        uids.append(int(re.search(r"APPENDUID \d+ (\d+)", answer.text)[1]))
        words.pop("subject")
    return uids


@pytest.fixture
def box(imap, user):
    """A session with an empty INBOX selected."""
    client = imap(user)
    client.ok("SELECT INBOX")
    return client


def test_greeting_and_capabilities(imap, user):
    client = imap()
    assert client.greeting.startswith(b"* OK")
    before = client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].decode().split()
    assert {"IMAP4rev1", "STARTTLS", "SASL-IR", "AUTH=PLAIN"} <= set(before) and "LOGINDISABLED" not in before
    assert client.login(user.address, user.password).status == "OK"
    after = client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].decode().split()
    wanted = set(CAPABILITIES) - {"SASL-IR"}  # of no use after the log-in
    assert wanted <= set(after), wanted - set(after)
    assert "STARTTLS" not in after


def test_login_only_under_tls(imap, user):
    client = imap(listener="imap-starttls")
    assert b"LOGINDISABLED" in client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1]
    assert client.login(user.address, user.password).status == "NO"
    client.starttls()
    assert b"LOGINDISABLED" not in client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1]
    assert client.login(user.address, user.password).status == "OK"


def test_data_behind_starttls_is_refused(imap):
    client = imap(listener="imap-starttls")
    client.send(b"a STARTTLS\r\nb NOOP\r\n")
    line = client.response()
    if line.startswith(b"a OK"):
        try:
            client.wrap()
            assert client.quiet(0.5), "an answer to a command that was said in plain text"
        except (OSError, EOFError):
            pass
    else:
        assert line.startswith((b"a BAD", b"* BYE"))


def test_wrong_password(imap, user):
    client = imap()
    answer = client.login(user.address, "wrong")
    assert answer.status == "NO" and "AUTHENTICATIONFAILED" in answer.text
    assert client.login("nobody@example.test", "x").text == answer.text
    assert client.login(user.address, user.password).status == "OK"


def test_authenticate_forms(imap, user):
    import base64
    for authzid in ("", user.address):
        blob = base64.b64encode(f"{authzid}\0{user.address}\0{user.password}".encode()).decode()
        client = imap()
        answer = client.ok(f"AUTHENTICATE PLAIN {blob}")
        assert "CAPABILITY" in answer.text or client.ok("CAPABILITY")
        client = imap()
        client.send("x AUTHENTICATE PLAIN\r\n")
        assert client.response().startswith(b"+")
        client.send(blob + "\r\n")
        assert client.until(b"x").status == "OK"


def test_usual_folders_exist_and_are_subscribed(imap, user):
    client = imap(user)
    answer = client.ok('LIST (SPECIAL-USE) "" "*" RETURN (SUBSCRIBED)')
    for use, name in (("Drafts", "Drafts"), ("Sent", "Sent"), ("Trash", "Trash"), ("Junk", "Junk")):
        row = answer.find(rb'LIST \(([^)]*)\) "(.)" "?%s"?$' % name.encode())
        assert row and f"\\{use}".encode() in row[1] and b"\\Subscribed" in row[1], (name, answer)
    assert {m[1] for m in client.ok('LSUB "" "*"').all(rb' "?(\w+)"?$')} >= {b"Drafts", b"Sent", b"Trash", b"Junk"}


def test_namespace_id_enable_noop(imap, user):
    client = imap(user)
    assert client.ok("NAMESPACE").find(rb'NAMESPACE \(\("" "."\)\) (NIL|\(.*\)) (NIL|\(.*\))')
    assert client.ok('ID ("name" "test" "version" NIL)').find(rb"^\* ID ")
    assert client.ok("ENABLE X-NOTHING").find(rb"^\* ENABLED\s*$")
    assert client.ok("ENABLE CONDSTORE").find(rb"^\* ENABLED.*CONDSTORE")
    client.ok("NOOP")
    client.ok("SELECT INBOX")
    client.ok("CHECK")


def test_select_and_examine(imap, user):
    client = imap(user)
    put(client, 2)
    answer = client.ok("SELECT INBOX")
    assert answer.find(rb"^\* 2 EXISTS") and answer.find(rb"UIDVALIDITY (\d+)") and answer.find(rb"UIDNEXT 3")
    assert answer.find(rb"FLAGS \([^)]*\\Seen") and rb"\*" in answer.find(rb"PERMANENTFLAGS \(([^)]*)\)")[1]
    assert answer.find(rb"HIGHESTMODSEQ \d+") and answer.text.startswith("[READ-WRITE]")
    assert client.ok("EXAMINE INBOX").text.startswith("[READ-ONLY]")
    assert client.cmd("STORE 1 +FLAGS (\\Seen)").status == "NO"
    assert client.cmd("SELECT nowhere").status == "NO"
    assert client.cmd("FETCH 1 FLAGS").status == "BAD", "a failed SELECT leaves nothing selected"


def test_inbox_in_any_case(imap, user):
    client = imap(user)
    for name in ("inbox", "InBoX", '"INBOX"'):
        client.ok(f"SELECT {name}")


def test_append_and_fetch(box):
    message = mail.multipart()
    answer = box.append("INBOX", message, "\\Flagged $Forwarded", "17-Jul-1996 02:44:25 -0700")
    assert re.search(r"\[APPENDUID \d+ 1\]", answer.text) and answer.status == "OK"
    fetched = box.ok("FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])").untagged
    line = next(u for u in fetched if b"BODY[]" in u)
    assert b"UID 1" in line and b"\\Flagged" in line and b"$Forwarded" in line and b"\\Seen" not in line
    assert b"RFC822.SIZE %d" % len(message) in line and message in line
    when = re.search(rb'INTERNALDATE "([^"]+)"', line)[1]
    parsed = imaplib.Internaldate2tuple(b'INTERNALDATE "' + when + b'"')
    assert time.mktime(parsed) == time.mktime(imaplib.Internaldate2tuple(b'INTERNALDATE "17-Jul-1996 02:44:25 -0700"'))
    assert rb'"mixed"' in line.lower() and rb'"alternative"' in line.lower() and b'"data.bin"' in line


def test_fetch_sections(box):
    message = mail.multipart("sections")
    box.append("INBOX", message)
    head, _, body = message.partition(b"\r\n\r\n")
    head += b"\r\n\r\n"

    def part(section):
        answer = box.ok(f"FETCH 1 (BODY.PEEK[{section}])")
        return answer.find(rb"\{\d+\}\r\n(.*)\)$")[1] if answer.find(rb"\{\d+\}\r\n") else b""
    assert part("HEADER") == head and part("TEXT") == body
    assert part("HEADER.FIELDS (SUBJECT)").lower() == b"subject: sections\r\n\r\n"
    assert b"subject" not in part("HEADER.FIELDS.NOT (SUBJECT)").lower()
    assert "größer".encode() in part("1.1") or b"=C3=B6" in part("1.1") or b"Z3I" in part("1.1")
    assert b"text/html" in part("1.2.MIME").lower() and b"<p>html</p>" in part("1.2")
    assert part("2").replace(b"\r\n", b"")[:8] == b"AAECAwQF"
    answer = box.ok("FETCH 1 BODY.PEEK[TEXT]<5.10>")
    assert answer.find(rb"BODY\[TEXT\]<5> \{10\}\r\n(.{10})")[1] == body[5:15]
    assert box.ok("FETCH 1 BODY.PEEK[7]").find(rb'BODY\[7\] (NIL|""|\{0\})')


def test_body_sets_seen_and_peek_does_not(box):
    put(box)
    box.ok("NOOP")
    box.ok("FETCH 1 BODY.PEEK[]")
    assert not box.ok("FETCH 1 FLAGS").find(rb"\\Seen")
    box.ok("FETCH 1 BODY[]")
    assert box.ok("FETCH 1 FLAGS").find(rb"\\Seen")


def test_store_flags_and_keywords(box):
    put(box, 2)
    assert box.ok("STORE 1 +FLAGS (\\Seen Junk)").find(rb"1 FETCH .*FLAGS \([^)]*Junk")
    assert not box.ok("STORE 1 -FLAGS.SILENT (\\Seen)").find(rb"FETCH")
    box.ok("UID STORE 2 FLAGS (NonJunk $Label1)")
    answer = box.ok("FETCH 1:2 FLAGS")
    assert answer.find(rb"1 FETCH .*Junk") and answer.find(rb"2 FETCH .*NonJunk") and not answer.find(rb"\\Seen")
    box.ok("CLOSE")
    assert box.ok("SELECT INBOX").find(rb"FLAGS \([^)]*\$Label1"), "keywords persist"
    assert box.cmd("STORE 1 +FLAGS (\\Nonsense)").status in ("BAD", "NO")


def test_refused_keywords_leave_none_behind(box):
    put(box)
    box.ok("STORE 1 +FLAGS (one two)")
    many = " ".join(f"k{number}" for number in range(55))  # one more than there is room for
    assert box.cmd(f"STORE 1 +FLAGS ({many})").text.startswith("[LIMIT]")
    assert box.append("INBOX", "Subject: x\r\n\r\nx\r\n", many).text.startswith("[LIMIT]")
    assert box.ok("SELECT INBOX").find(rb"FLAGS \([^)]*\)")[0].endswith(b"\\Draft one two)")
    names = many.replace("k54", "ONE Two K7")
    assert box.ok(f"STORE 1 +FLAGS ({names})").find(rb"PERMANENTFLAGS \(.*k53\)"), "the last place is taken: no \\* any more"


def test_expunge_and_uid_expunge(box):
    put(box, 5)
    box.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
    assert [int(m[1]) for m in box.ok("UID EXPUNGE 4").all(rb"(\d+) EXPUNGE")] == [4]
    assert [int(m[1]) for m in box.ok("EXPUNGE").all(rb"(\d+) EXPUNGE")] == [2]
    assert [m[1] for m in box.ok("UID FETCH 1:* (UID)").all(rb"UID (\d+)")] == [b"1", b"3", b"5"]
    assert put(box)[0] == 6, "UIDs are never used again"


def test_copy_and_move(box):
    put(box, 3)
    answer = box.ok("COPY 1:2 Trash")
    assert re.search(r"\[COPYUID \d+ 1:2 1:2\]", answer.text), answer
    answer = box.ok("UID MOVE 3 Junk")
    assert answer.find(rb"^\* OK \[COPYUID \d+ 3 1\]") and answer.find(rb"^\* 3 EXPUNGE")
    assert box.cmd("COPY 1 Nowhere").text.startswith("[TRYCREATE]")
    assert box.ok("STATUS Junk (MESSAGES UIDNEXT)").find(rb"MESSAGES 1")


def test_folders(imap, user):
    client = imap(user)
    client.ok("CREATE work")
    delimiter = client.ok('LIST "" ""').find(rb'LIST \([^)]*\) "(.)"')[1].decode()
    sub = f"work{delimiter}sub"
    client.ok(f'CREATE "{sub}"')
    assert client.cmd("CREATE work").text.startswith("[ALREADYEXISTS]")
    assert client.ok('LIST "" "%" RETURN (CHILDREN)').find(rb'LIST \([^)]*\\HasChildren[^)]*\) "." "?work"?$')
    client.ok(f'SUBSCRIBE "{sub}"')
    assert client.ok('LIST (SUBSCRIBED) "" "*"').find(sub.encode())
    put(client, 1, sub)
    client.ok("RENAME work play")
    assert client.ok(f'STATUS "play{delimiter}sub" (MESSAGES)').find(rb"MESSAGES 1")
    client.ok(f'DELETE "play{delimiter}sub"')
    client.ok("DELETE play")
    assert client.cmd("DELETE INBOX").status == "NO"
    assert client.cmd("DELETE play").status == "NO"
    name = "Projets &AOk-t&AOk- &- co"
    client.ok(f'CREATE "{name}"')
    client.ok(f'SELECT "{name}"')
    assert client.ok('LIST "" "Proj*"').find(re.escape(name.encode()))
    assert client.cmd('CREATE "bad &AOk"').status in ("NO", "BAD")


def test_rename_inbox_moves_its_mail(imap, user):
    client = imap(user)
    put(client, 2)
    client.ok("RENAME INBOX old")
    assert client.ok("STATUS old (MESSAGES)").find(rb"MESSAGES 2")
    assert client.ok("STATUS INBOX (MESSAGES)").find(rb"MESSAGES 0")


def test_status_items_and_list_status(imap, user):
    client = imap(user)
    put(client, 2)
    row = client.ok("STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ)").untagged[0]
    for item in (rb"MESSAGES 2", rb"UIDNEXT 3", rb"UNSEEN 2", rb"SIZE [1-9]\d+", rb"HIGHESTMODSEQ \d+"):
        assert re.search(item, row), row
    answer = client.ok('LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))')
    assert answer.find(rb'STATUS "?INBOX"? \(MESSAGES 2 UNSEEN 2\)') and answer.find(rb'STATUS "?Junk"? ')


def test_quota(imap, user):
    client = imap(user)
    assert client.ok("GETQUOTAROOT INBOX").find(rb"QUOTAROOT")


@pytest.mark.parametrize("criteria, expected", [
    ("ALL", [1, 2, 3, 4]),
    ("2", [2]),
    ("SEEN", [2]),
    ("UNSEEN FLAGGED", [3]),
    ("SUBJECT apple", [1, 4]),
    ("NOT SUBJECT apple", [2, 3]),
    ("OR SUBJECT pear SUBJECT plum", [2, 3]),
    ('FROM "carl"', [3]),
    ("TEXT needle", [2]),
    ("BODY needle", [2]),
    ("HEADER X-Colour red", [4]),
    ("HEADER X-Colour \"\"", [4]),
    ("UID 3:*", [3, 4]),
    ("SINCE 1-Jan-2020", [1, 2, 3, 4]),
    ("SENTBEFORE 22-Nov-2026 SENTSINCE 21-Nov-2026", [1, 2, 3, 4]),
    ("BEFORE 1-Jan-2000", []),
    ("LARGER 1000", [4]),
    ("SMALLER 1000", [1, 2, 3]),
    ("KEYWORD Junk", [3]),
    ("(SUBJECT apple) (LARGER 1000)", [4]),
    ("CHARSET UTF-8 SUBJECT apple", [1, 4]),
])
def test_search(imap, user, criteria, expected):
    client = imap(user)
    put(client, 1, subject="red apple")
    put(client, 1, subject="pear", body="a needle in hay\r\n", flags="\\Seen")
    put(client, 1, subject="plum", sender="Carl <carl@remote.test>", flags="\\Flagged Junk")
    put(client, 1, subject="apple pie", body="x" * 70 + "\r\n" + "y\r\n" * 500, X_Colour="red")
    client.ok("SELECT INBOX")
    found = client.ok(f"SEARCH {criteria}").find(rb"SEARCH(.*)")
    assert [int(n) for n in (found[1] if found else b"").split()] == expected


def test_search_of_utf8_and_esearch(box):
    box.append("INBOX", mail.plain(subject="=?utf-8?q?gr=C3=B6=C3=9Fer?=", body="straße\r\n"))
    put(box, 3)
    assert box.ok("SEARCH CHARSET UTF-8 TEXT ", "GRÖßER".encode()).find(rb"SEARCH 1\b")
    assert box.ok("UID SEARCH RETURN (MIN MAX COUNT ALL) ALL").find(rb"ESEARCH .*UID.*COUNT 4")
    assert box.ok("SEARCH RETURN () ALL").find(rb"ESEARCH .*ALL 1:4")
    answer = box.cmd("SEARCH CHARSET X-NOTHING ALL")
    assert answer.status == "NO" and "BADCHARSET" in answer.text


def test_condstore(box):
    put(box, 2)
    before = int(box.ok("STATUS INBOX (HIGHESTMODSEQ)").find(rb"HIGHESTMODSEQ (\d+)")[1])
    box.ok("STORE 1 +FLAGS.SILENT (\\Seen)")
    answer = box.ok(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")
    assert len(answer.all(rb"FETCH")) == 1 and answer.find(rb"1 FETCH .*MODSEQ \(\d+\)")
    answer = box.ok(f"STORE 1:2 (UNCHANGEDSINCE {before}) +FLAGS (\\Flagged)")
    assert "[MODIFIED 1]" in answer.text
    assert box.ok(f"SEARCH MODSEQ {before + 1}").find(rb"SEARCH 1.*\(MODSEQ \d+\)")


def test_idle_hears_a_delivery(imap, smtp, user):
    client = imap(user)
    client.ok("SELECT INBOX")
    client.send("i IDLE\r\n")
    assert client.response().startswith(b"+")
    sender = smtp()
    sender.ehlo()
    started = time.monotonic()
    assert sender.deliver("a@remote.test", [user.address], mail.plain()).code == 250
    assert client.response().startswith(b"* 1 EXISTS")
    assert time.monotonic() - started < 2
    while not client.quiet(0.1):
        client.response()
    client.send("DONE\r\n")
    assert client.until(b"i").status == "OK"


def test_two_sessions_see_each_other(imap, user):
    one, two = imap(user), imap(user)
    put(one, 3)
    one.ok("SELECT INBOX")
    two.ok("SELECT INBOX")
    one.ok("STORE 1 +FLAGS.SILENT (\\Flagged)")
    assert two.ok("NOOP").find(rb"1 FETCH .*\\Flagged")
    one.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
    one.ok("EXPUNGE")
    answer = two.ok("FETCH 3 (UID)")
    assert answer.find(rb"3 FETCH \(UID 3\)") and not answer.find(rb"EXPUNGE"), "no EXPUNGE during FETCH"
    assert two.ok("NOOP").find(rb"2 EXPUNGE")
    assert two.ok("FETCH 2 (UID)").find(rb"UID 3")


def test_literals_of_every_kind(imap, user):
    client = imap()
    client.send(f"a LOGIN {{{len(user.address)}+}}\r\n{user.address} {{{len(user.password)}+}}\r\n{user.password}\r\n")
    assert client.until(b"a").status == "OK"
    message = mail.plain()
    client.send(b"b APPEND INBOX {%d+}\r\n%s\r\n" % (len(message), message))
    assert client.until(b"b").status == "OK"
    client.send(b"c SELECT INBOX\r\nd FETCH 1 (UID)\r\ne STORE 1 +FLAGS (\\Seen)\r\nf LOGOUT\r\n")
    assert [client.until(tag).status for tag in (b"c", b"d", b"e", b"f")] == ["OK"] * 4


def test_unselect_keeps_and_close_expunges(box):
    put(box, 2)
    box.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    box.ok("UNSELECT")
    assert box.ok("SELECT INBOX").find(rb"2 EXISTS")
    box.ok("CLOSE")
    assert box.ok("SELECT INBOX").find(rb"1 EXISTS")


@pytest.mark.parametrize("command", [
    "FETCH 0 FLAGS", "FETCH 1:0 FLAGS", "FETCH abc FLAGS", "UID FETCH INVALID (FLAGS)", "FETCH 1 (", "FETCH 1 BODY[", "STORE 1 FLAGS",
    "SEARCH", "SEARCH FOO", "NONSENSE", "SELECT", 'LIST "" ', "COPY 1", "STATUS INBOX ()", "STATUS INBOX (NOTHING)", "",
    "FETCH 99 FLAGS", "UID FETCH 4294967296 FLAGS", "STORE 1 +FLAGS (\\Seen", "APPEND INBOX {1x}", "FETCH 1 BODY[0]",
])
def test_bad_commands_leave_the_session_usable(box, command):
    put(box)
    box.ok("NOOP")
    answer = box.cmd(command)
    assert answer.status in ("BAD", "NO"), answer
    box.ok("NOOP")


def test_imaplib_over_tls(server, user):
    context = ssl.create_default_context(cafile=str(server.config["tls"][0]["cert"]))
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=context, timeout=10) as client:
        assert client.login(user.address, user.password)[0] == "OK"
        word = mail.marker()
        assert client.append("INBOX", "\\Seen", imaplib.Time2Internaldate(time.time()), mail.plain(subject=word))[0] == "OK"
        assert client.select("INBOX") == ("OK", [b"1"])
        assert client.search(None, "SUBJECT", f'"{word}"') == ("OK", [b"1"])
        status, data = client.fetch("1", "(RFC822)")
        assert status == "OK" and word.encode() in data[0][1]
        assert client.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
        assert client.expunge() == ("OK", [b"1"])
    with imaplib.IMAP4("localhost", server.ports["imap-starttls"], timeout=10) as client:
        client.starttls(context)
        client.login(user.address, user.password)
        assert client.list()[0] == "OK" and client.namespace()[0] == "OK"


def test_what_is_kept_over_a_restart(make_server):
    from wire import Imap
    server = make_server(listeners=["imap"]).start()
    client = Imap(server.ports["imap"])
    client.login("t5@example.test", "pw-5")
    put(client, 3, flags="$Label2")
    client.ok("CREATE kept")
    first = client.ok("SELECT INBOX").find(rb"UIDVALIDITY (\d+)")[1]
    client.ok("STORE 2 +FLAGS.SILENT (\\Seen)")
    server.stop()
    server.start()
    client = Imap(server.ports["imap"])
    client.login("t5@example.test", "pw-5")
    assert client.ok("SELECT INBOX").find(rb"UIDVALIDITY (\d+)")[1] == first
    answer = client.ok("FETCH 1:* (UID FLAGS)")
    assert answer.find(rb"2 FETCH .*\\Seen") and len(answer.all(rb"\$Label2")) == 3
    assert client.ok('LIST "" kept').find(rb"kept")
