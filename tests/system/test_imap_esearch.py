"""One search in many mailboxes: RFC 7377, MULTISEARCH."""
import re

import mail
import pytest


@pytest.fixture
def box(imap, user):
    client = imap(user)
    for name in ("folder1", "folder2", "folder2/banana", "folder2/banana/deep", "folder2/peach", "empty"):
        client.ok(f'CREATE "{name}"')
    client.ok("SUBSCRIBE folder2/peach")
    for name, subjects in (("INBOX", "ab"), ("folder1", "abab"), ("folder2/banana", "ab"), ("folder2/banana/deep", "a"),
                           ("folder2/peach", "bb")):
        for subject in subjects:
            client.append(name, mail.plain(subject=f"about {subject}"), "\\Seen" if subject == "b" else "")
    return client


def found(answer):
    """{mailbox: the rest} of all ESEARCH responses, each with its correlators."""
    result = {}
    for line in answer.untagged:
        match = re.fullmatch(rb'\* ESEARCH \(TAG "\w+" MAILBOX "?([^"]*?)"? UIDVALIDITY (\d+)\) UID ?(.*)', line)
        assert match and int(match[2]), line
        assert match[1].decode() not in result
        result[match[1].decode()] = match[3].decode()
    return result


def test_sources(box):
    search = lambda rest: found(box.ok(f"ESEARCH {rest}"))
    assert search('IN (mailboxes "folder1" subtree "folder2") UNSEEN') == {
        "folder1": "ALL 1,3", "folder2/banana": "ALL 1", "folder2/banana/deep": "ALL 1"}
    assert search('IN (mailboxes "folder1" subtree-one "folder2") SUBJECT "about b"') == {
        "folder1": "ALL 2,4", "folder2/banana": "ALL 2", "folder2/peach": "ALL 1:2"}
    assert search("IN (inboxes) RETURN (COUNT) ALL") == {"INBOX": "COUNT 2"}
    assert search("IN (inboxes mailboxes (INBOX folder1 none) personal) RETURN (MIN MAX) SEEN") == {
        "INBOX": "MIN 2 MAX 2", "folder1": "MIN 2 MAX 4", "folder2/banana": "MIN 2 MAX 2", "folder2/peach": "MIN 1 MAX 2"}
    assert list(search("IN (subscribed) UID 2")) == ["INBOX", "folder2/peach"]
    assert search("IN (personal) KEYWORD none") == {}
    assert search("IN (mailboxes folder1) RETURN (PARTIAL 2:3) ALL") == {"folder1": "PARTIAL (2:3 2:3)"}
    assert search("IN (mailboxes folder1) 2:3") == {"folder1": "ALL 2:3"}
    assert search("IN (mailboxes folder1) UID *") == {"folder1": "ALL 4"}
    assert search("IN (mailboxes folder1) RETURN (RELEVANCY MAX) CHARSET UTF-8 FUZZY SUBJECT \"b about\"") == {
        "folder1": "MAX 4 RELEVANCY (1 17 33 50)"}


def test_selected(box):
    assert box.cmd("ESEARCH ALL").status == "BAD" and box.cmd("ESEARCH IN (selected) ALL").status == "BAD"
    assert box.cmd("ESEARCH IN (selected inboxes) ALL").status == "BAD"
    box.ok("SELECT folder1")
    assert found(box.ok("ESEARCH UNSEEN")) == {"folder1": "ALL 1,3"}
    assert found(box.ok("ESEARCH IN (selected) RETURN (COUNT) SUBJECT \"t b\" 1:2")) == {"folder1": "COUNT 1"}
    assert found(box.ok("ESEARCH IN (selected) RETURN (SAVE) 2")) == {}
    assert found(box.ok("ESEARCH $")) == {"folder1": "ALL 2"}
    assert found(box.ok("ESEARCH IN (selected inboxes) SEEN")) == {"INBOX": "ALL 2", "folder1": "ALL 2,4"}
    for wrong in ("IN (inboxes) RETURN (SAVE) ALL", "IN (inboxes) RETURN (UPDATE) ALL", "IN (inboxes) $", "IN () ALL", "IN (selected-delayed) ALL",
                  "IN (mailboxes) ALL", "IN (mailboxes ()) ALL", "IN (inboxes (x)) ALL", "IN inboxes ALL", "IN (inboxes)"):
        assert box.cmd(f"ESEARCH {wrong}").status == "BAD", wrong
    assert "BADCHARSET" in box.cmd("ESEARCH IN (personal) CHARSET x ALL").text
    assert found(box.ok("ESEARCH UNSEEN")) == {"folder1": "ALL 1,3"}
    assert box.ok("SEARCH ALL").find(rb"\* SEARCH 1 2 3 4")


def test_pipelined_and_cut_off(box, imap, user):
    box.send(b"x1 ESEARCH IN (personal) UNSEEN\r\nx2 ESEARCH IN (personal) SEEN\r\nx3 NOOP\r\n")
    one, two = box.until(b"x1"), box.until(b"x2")
    assert box.until(b"x3").status == "OK"
    assert len(one.untagged) == 4 and len(two.untagged) == 4
    other = imap(user)
    other.send(b"y1 ESEARCH IN (personal) TEXT nothing\r\n")
    other.close()
    assert found(box.ok("ESEARCH IN (mailboxes INBOX) ALL")) == {"INBOX": "ALL 1:2"}
