"""IMAP4rev2 beside IMAP4rev1 (RFC 9051), what ENABLE turns on, UTF8=ACCEPT (RFC 9755), UNAUTHENTICATE (RFC 8437)."""
import base64
import re

import mail
import pytest
from test_imap_basics import put

PROMISED = """IMAP4rev1 IMAP4rev2 IDLE NAMESPACE ID ENABLE UNSELECT UIDPLUS MOVE MULTIAPPEND LITERAL+ SASL-IR CONDSTORE QRESYNC ESEARCH
SEARCHRES SEARCH=FUZZY SORT SORT=DISPLAY ESORT THREAD=REFERENCES THREAD=ORDEREDSUBJECT THREAD=REFS WITHIN LIST-EXTENDED LIST-STATUS
LIST-METADATA LIST-MYRIGHTS SPECIAL-USE CREATE-SPECIAL-USE CHILDREN STATUS=SIZE METADATA METADATA-SERVER ACL RIGHTS=texk QUOTA
QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTASET BINARY NOTIFY OBJECTID PREVIEW SAVEDATE REPLACE INPROGRESS PARTIAL UNAUTHENTICATE
I18NLEVEL=1 UTF8=ACCEPT CATENATE URLAUTH CONTEXT=SEARCH CONTEXT=SORT MULTISEARCH UIDONLY""".split()
NFC, NFD = "Z\u00fcrich", "Zu\u0308rich"


def words(answer):
    return answer.find(rb"^\* CAPABILITY (.*)")[1].decode().split()


@pytest.fixture
def rev2(imap, user):
    client = imap(user)
    assert client.ok("ENABLE IMAP4rev2").find(rb"^\* ENABLED IMAP4rev2$")
    return client


def test_capability_is_told_before_and_after_the_login(imap, user):
    client = imap()
    assert {"IMAP4rev1", "IMAP4rev2"} <= set(words(client.ok("CAPABILITY")))
    client.login(user.address, user.password)
    before = words(client.ok("CAPABILITY"))
    assert set(PROMISED) <= set(before), set(PROMISED) - set(before)
    assert not {"COMPRESS=DEFLATE"} & set(before) and "MESSAGELIMIT" not in str(before), "only where they are configured"
    client.ok("ENABLE IMAP4rev2 UTF8=ACCEPT QRESYNC")
    assert words(client.ok("CAPABILITY")) == before, "RFC 9051 section 6.3.1: the list stays the same"


def test_enable_answers(imap, user):
    client = imap(user)
    assert client.ok("ENABLE X-GOOD-IDEA IDLE").find(rb"^\* ENABLED$")
    assert client.ok("ENABLE condstore imap4rev2 CONDSTORE").find(rb"^\* ENABLED CONDSTORE IMAP4rev2$")
    assert client.ok("ENABLE UTF8=ACCEPT").find(rb"^\* ENABLED UTF8=ACCEPT$"), "only what this command enabled"
    assert client.ok("ENABLE QRESYNC IMAP4rev2").find(rb"^\* ENABLED QRESYNC IMAP4rev2$")
    assert client.cmd("ENABLE").status == "BAD"
    assert imap().cmd("ENABLE IMAP4rev2").status == "BAD", "only after the login"


def test_select_of_both_revisions(imap, user, rev2):
    old = imap(user)
    put(old, 2)
    answer = old.ok("SELECT INBOX")
    assert answer.find(rb"^\* 2 RECENT$") and answer.find(rb"\[UNSEEN 1\]") and not answer.find(rb"^\* LIST")
    put(old, 1)
    for command, code in (("SELECT", "[READ-WRITE]"), ("EXAMINE", "[READ-ONLY]")):
        answer = rev2.ok(f"{command} inbox")
        assert answer.find(rb'^\* LIST \(\) "/" "?INBOX"?$'), answer
        assert answer.find(rb"^\* 3 EXISTS$") and answer.find(rb"^\* FLAGS \(") and answer.find(rb"\[PERMANENTFLAGS \(")
        assert answer.find(rb"\[UIDVALIDITY \d+\]") and answer.find(rb"\[UIDNEXT 4\]")
        assert not answer.find(rb"RECENT|UNSEEN"), answer
        assert answer.text.startswith(code)
    put(old, 1)
    news = rev2.ok("NOOP")
    assert news.find(rb"^\* 4 EXISTS$") and not news.find(rb"RECENT")
    assert not rev2.ok("FETCH 1:* FLAGS").find(rb"Recent")


def test_closed_marks_the_border_between_two_mailboxes(rev2):
    rev2.ok("CREATE second")
    assert not rev2.ok("SELECT INBOX").find(rb"CLOSED")
    first = rev2.ok("SELECT second").untagged[0]
    assert first.startswith(b"* OK [CLOSED]")
    answer = rev2.cmd("SELECT nowhere")
    assert answer.status == "NO" and "[NONEXISTENT]" in answer.text and answer.untagged[0].startswith(b"* OK [CLOSED]")
    assert rev2.cmd("FETCH 1 FLAGS").status == "BAD", "no mailbox is selected"
    rev2.ok("SELECT INBOX")
    assert not rev2.ok("CLOSE").untagged and not rev2.ok("SELECT INBOX").find(rb"CLOSED")
    assert not rev2.ok("UNSELECT").untagged


def test_search_answers_with_esearch_always(imap, user, rev2):
    old = imap(user)
    put(old, 3)
    old.ok("SELECT INBOX")
    rev2.ok("SELECT INBOX")
    assert old.ok("SEARCH ALL").find(rb"^\* SEARCH 1 2 3$")
    tag = f"t{rev2.count + 1}".encode()
    assert rev2.ok("SEARCH ALL").find(rb'^\* ESEARCH \(TAG "%s"\) ALL 1:3$' % tag)
    assert rev2.ok("UID SEARCH SEEN").find(rb'^\* ESEARCH \(TAG "t\d+"\) UID$')
    assert rev2.ok("SEARCH RETURN () UID 2:3").find(rb"ALL 2:3$")
    assert rev2.ok("SEARCH RETURN (MIN COUNT) ALL").find(rb"MIN 1 COUNT 3$")
    assert rev2.ok("SEARCH TEXT \"message 1\"").find(rb"ALL 2$")
    answer = rev2.cmd("SEARCH CHARSET X-NONE TEXT x")
    assert answer.status == "NO" and answer.text.startswith("[BADCHARSET (")


def test_unsolicited_fetch_names_the_uid(imap, user, rev2):
    old = imap(user)
    put(old, 2)
    old.ok("SELECT INBOX")
    rev2.ok("SELECT INBOX")
    old.ok("STORE 2 +FLAGS \\Flagged")
    assert rev2.ok("NOOP").find(rb"^\* 2 FETCH \(UID 2 FLAGS \(\\Flagged\)\)$"), "RFC 9051 appendix E, item 21"
    rev2.ok("STORE 1 +FLAGS \\Seen")
    assert old.ok("NOOP").find(rb"^\* 1 FETCH \(FLAGS \(\\Seen \\Recent\)\)$")


def test_names_are_utf8(imap, user, rev2):
    old = imap(user)
    rev2.ok(f'CREATE "{NFC}"')
    assert rev2.ok('LIST "" "Z*"').find(rb'"/" "?%s"?$' % NFC.encode())
    assert old.ok('LIST "" "Z*"').find(rb'"/" "?Z&APw-rich"?$'), "modified UTF-7 for who did not enable anything"
    assert rev2.ok(f'SELECT "{NFC}"').find(rb'^\* LIST \(\) "/" "?%s"?$' % NFC.encode())
    assert rev2.ok(f'STATUS "{NFC}" (MESSAGES DELETED SIZE)').find(rb'^\* STATUS "?%s"? \(' % NFC.encode())
    rev2.ok('CREATE "a&b"')
    assert rev2.ok('LIST "" "a*"').find(rb'"/" "?a&b"?$') and old.ok('LIST "" "a*"').find(rb'"/" "?a&-b"?$')
    assert rev2.cmd(b'CREATE "\xff\xfe"').status == "BAD"
    assert rev2.cmd(b"CREATE {2+}\r\n\xff\xfe").status == "NO"
    utf8 = imap(user)
    utf8.ok("ENABLE UTF8=ACCEPT")
    assert utf8.ok('LIST "" "Z*"').find(rb'"/" "?%s"?$' % NFC.encode())
    assert utf8.ok("SELECT INBOX").find(rb"RECENT") and not utf8.ok(f'SELECT "{NFC}"').find(rb"^\* LIST")


def test_old_names(rev2):
    nfc, nfd = NFC.encode(), NFD.encode()
    listed = rb'^\* LIST \(%s\) "/" "?%s"? \("OLDNAME" \("%s"\)\)$'
    assert rev2.ok(b'CREATE "%s"' % nfd).find(listed % (b"", nfc, nfd))
    assert rev2.ok(b'SELECT "%s"' % nfd).find(listed % (b"", nfc, nfd))
    assert not rev2.ok(b'SELECT "%s"' % nfc).find(rb"OLDNAME")
    assert rev2.ok(b'DELETE "%s"' % nfd).find(listed % (rb"\\NonExistent", nfc, nfd))
    rev2.ok("CREATE foo")
    assert rev2.ok("RENAME foo bar").find(rb'^\* LIST \(\) "/" "?bar"? \("OLDNAME" \("?foo"?\)\)$')
    put(rev2, 1)
    assert not rev2.ok("RENAME INBOX old-mail").untagged
    assert not rev2.ok("CREATE plain").untagged and not rev2.ok("DELETE plain").untagged


def test_status_of_deleted_and_size(rev2):
    message = mail.plain(subject="s")
    rev2.append("INBOX", message, "\\Deleted")
    rev2.append("INBOX", message, "\\Seen")
    answer = rev2.ok("STATUS INBOX (MESSAGES UNSEEN DELETED SIZE UIDNEXT UIDVALIDITY)")
    text = answer.find(rb"^\* STATUS INBOX \((.*)\)$")[1].decode()
    values = dict(re.findall(r"(\S+) (\d+)", text))
    assert values["MESSAGES"] == "2" and values["UNSEEN"] == "1" and values["DELETED"] == "1" and values["UIDNEXT"] == "3"
    assert int(values["SIZE"]) >= 2 * len(message)


def test_refusals_have_codes(rev2):
    rev2.ok("CREATE there")
    rev2.ok("CREATE there/below")
    put(rev2, 1)
    rev2.ok("SELECT INBOX")
    for command, code in (("CREATE there", "ALREADYEXISTS"), ("CREATE INBOX", "ALREADYEXISTS"), ("CREATE a//b", "CANNOT"),
                          ("DELETE nowhere", "NONEXISTENT"), ("RENAME nowhere x", "NONEXISTENT"),
                          ("RENAME there INBOX", "ALREADYEXISTS"), ("SELECT nowhere", "NONEXISTENT"),
                          ("STATUS nowhere (MESSAGES)", "NONEXISTENT")):
        answer = rev2.cmd(command)
        assert answer.status == "NO" and answer.text.startswith(f"[{code}]"), (command, answer)
    rev2.ok("SELECT INBOX")
    for command in ("COPY 1 nowhere", "MOVE 1 nowhere", "UID COPY 1 nowhere"):
        answer = rev2.cmd(command)
        assert answer.status == "NO" and answer.text.startswith("[TRYCREATE]"), (command, answer)
    answer = rev2.append("nowhere", mail.plain())
    assert answer.status == "NO" and answer.text.startswith("[TRYCREATE]")
    for command in ("FETCH 2 FLAGS", "STORE 2 FLAGS ()", "COPY 2 there", "MOVE 2 there", "FETCH 0 FLAGS", "FETCH 1 NOTHING",
                    "NOOP x", "CLOSE x", "UNSELECT x", "SEARCH", "SEARCH NOTHING", "SEARCH RETURN (NOTHING) ALL", "UID NOOP",
                    'LIST (RECURSIVEMATCH) "" "*"', 'LIST "" "*" RETURN (NOTHING)', "STATUS INBOX ()"):
        assert rev2.cmd(command).status == "BAD", command
    assert rev2.ok("UID FETCH 99 FLAGS").untagged == []
    assert rev2.ok("UID COPY 99 there").untagged == []


def test_utf8_accept(imap, user):
    client = imap(user)
    client.ok("ENABLE UTF8=ACCEPT")
    message = ("From: =?utf-8?q?J=C3=B6?= <jo@example.test>\r\nSubject: Grüße\r\n"
               "Date: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nText\r\n").encode()
    client.send(b"u APPEND INBOX UTF8 (~{%d}\r\n" % len(message))
    assert client.response().startswith(b"+")
    client.send(message + b")\r\n")
    assert client.until(b"u").status == "OK"
    client.send(b"v APPEND INBOX {%d+}\r\n" % len(message) + message + b"\r\n")
    assert client.until(b"v").status == "OK", "RFC 9755: without the data item too"
    client.ok("SELECT INBOX")
    assert client.ok('SEARCH SUBJECT "grüße"').find(rb"^\* SEARCH 1 2$"), "quoted, folded, and no charset"
    assert client.cmd("SEARCH CHARSET UTF-8 ALL").status == "BAD"
    for who in (client, imap(user)):
        who.ok("EXAMINE INBOX")
        envelope = who.ok("FETCH 1 (ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)])").untagged[0]
        assert "Grüße".encode() in envelope and b'"Gr' not in envelope, "8-bit octets are in literals, for anybody"


def test_unauthenticate(server, imap, user, new_user):
    other = new_user()
    client = imap(user)
    put(client, 1, flags="\\Deleted")
    client.ok("ENABLE IMAP4rev2 QRESYNC")
    client.ok("SELECT INBOX")
    answer = client.ok("UNAUTHENTICATE")
    assert answer.untagged == []
    assert {"AUTH=PLAIN", "STARTTLS"} <= set(words(client.ok("CAPABILITY")))
    for command in ("SELECT INBOX", "UNAUTHENTICATE", "CLOSE"):
        assert client.cmd(command).status == "BAD", "not logged in"
    assert client.login(other.address, other.password).status == "OK"
    answer = client.ok("SELECT INBOX")
    assert answer.find(rb"^\* 0 EXISTS") and answer.find(rb"RECENT") and not answer.find(rb"^\* LIST"), "the other's, in revision 1"
    assert client.cmd("SELECT INBOX (QRESYNC (1 1))").status == "BAD", "what was enabled is forgotten"
    # RFC 8437 section 3: pipelined with the next login.
    blob = base64.b64encode(f"\0{user.address}\0{user.password}".encode()).decode()
    client.send(f"p1 UNAUTHENTICATE\r\np2 AUTHENTICATE PLAIN {blob}\r\np3 SELECT INBOX\r\n")
    assert client.until(b"p1").status == "OK" and client.until(b"p2").status == "OK"
    assert client.until(b"p3").find(rb"^\* 1 EXISTS"), "nothing was expunged"


def test_recent_belongs_to_one_session(imap, user):
    first, second, third = imap(user), imap(user), imap(user)
    put(first, 1)
    looks = imap(user)
    assert looks.ok("EXAMINE INBOX").find(rb"^\* 1 RECENT"), "EXAMINE takes nothing"
    assert first.ok("SELECT INBOX").find(rb"^\* 1 RECENT")
    assert second.ok("SELECT INBOX").find(rb"^\* 0 RECENT")
    put(third, 2)
    assert third.ok("STATUS INBOX (RECENT)").find(rb"RECENT 0")
    told = second.ok("NOOP")
    assert told.find(rb"^\* 3 EXISTS") and not told.find(rb"RECENT")
    assert not looks.ok("NOOP").find(rb"RECENT")
    assert first.ok("NOOP").find(rb"^\* 3 RECENT")
    assert not second.ok("FETCH 1:* FLAGS").find(rb"Recent")
    assert first.ok("SEARCH RECENT").find(rb"^\* SEARCH 1 2 3$") and second.ok("SEARCH RECENT").find(rb"^\* SEARCH$")
    assert looks.ok("SEARCH RECENT").find(rb"^\* SEARCH 1$")
    put(third, 1)
    first.ok("CLOSE")  # nobody was told of the fourth yet
    assert second.ok("NOOP").find(rb"^\* 1 RECENT")
    assert second.ok("SEARCH RECENT").find(rb"^\* SEARCH 4$")
    put(second, 1)
    assert second.ok("FETCH 1:* FLAGS").all(rb"Recent")[0].string.startswith(b"* 4 ")
    assert first.ok("SELECT INBOX").find(rb"^\* 0 RECENT")
    second.ok("ENABLE IMAP4rev2")
    put(third, 1)
    assert first.ok("NOOP").find(rb"^\* 1 RECENT"), "who speaks revision 2 wants none"


def test_the_first_use_of_condstore_tells_the_highest_modseq(imap, user):
    client = imap(user)
    put(client, 1)
    client.ok("SELECT INBOX")
    for command, told in (("FETCH 1 MODSEQ", True), ("FETCH 1 MODSEQ", False)):
        assert bool(client.ok(command).find(rb"^\* OK \[HIGHESTMODSEQ \d+\]")) == told, "RFC 7162 section 3.1"


def test_childinfo_is_told_only_where_it_says_something(imap, user):
    client = imap(user)
    for name in ("m/t7/t7", "m/t8/t8", "m/t8/t9"):
        client.ok(f"CREATE {name}")
        client.ok(f"SUBSCRIBE {name}")
    answer = client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" *t7')
    assert not answer.find(rb"CHILDINFO") and answer.find(rb"m/t7/t7$"), "RFC 9051 section 6.3.9.6"
    answer = client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" *t8')
    assert answer.find(rb'm/t8 \("CHILDINFO" \("SUBSCRIBED"\)\)$') and answer.find(rb"m/t8/t8$")
    assert len(client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" (m/t7 m/t7/t7)').untagged) == 1
    assert client.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" (m/t7)').find(rb"CHILDINFO")


def test_search_knows_letters_with_and_without_accents(imap, user):
    client = imap(user)
    assert "I18NLEVEL=1" in words(client.ok("CAPABILITY"))
    for subject, body in (("=?utf-8?q?Caf=C3=A9?=", "nothing\r\n"), ("=?utf-8?q?CAFE=CC=81?=", "nothing\r\n"),
                          ("cafe", "nothing\r\n"), ("tea", "Im Caf\u00e9 saß Ζεύς\r\n")):
        client.append("INBOX", mail.plain(subject=subject, body=body, **{"MIME-Version": "1.0",
                      "Content-Type": "text/plain; charset=utf-8", "Content-Transfer-Encoding": "8bit"}))
    client.ok("SELECT INBOX")
    assert client.ok("SEARCH SUBJECT cafe").find(rb"^\* SEARCH 1 2 3$")
    assert client.ok("SEARCH CHARSET UTF-8 SUBJECT ", "café".encode()).find(rb"^\* SEARCH 1 2$")
    assert client.ok("SEARCH TEXT cafe").find(rb"^\* SEARCH 1 2 3 4$")
    assert client.ok("SEARCH CHARSET UTF-8 BODY ", "ΖΕΎΣ".encode()).find(rb"^\* SEARCH 4$")
