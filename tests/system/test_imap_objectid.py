"""OBJECTID (RFC 8474): names that outlive renames, copies and restarts; MAILBOXID, EMAILID, THREADID."""
import re

import mail


def one(answer, pattern):
    found = answer.find(pattern)
    assert found, answer
    return found[1].decode()


def mailbox_id(client, name):
    return one(client.ok(f"STATUS {name} (MAILBOXID)"), rb"MAILBOXID \(([A-Za-z0-9_-]{1,255})\)")


def ids(client, numbers="1"):
    answer = client.ok(f"FETCH {numbers} (EMAILID THREADID)")
    return [(m[1].decode(), m[2].decode()) for m in
            (re.search(rb"EMAILID \(([A-Za-z0-9_-]{1,255})\) THREADID \(([A-Za-z0-9_-]{1,255})\)", line)
             for line in answer.untagged) if m]


def put(client, message, mailbox="INBOX"):
    answer = client.append(mailbox, message)
    assert answer.status == "OK", answer


def test_mailboxes(imap, user):
    client = imap(user)
    assert b"OBJECTID" in client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].split()
    made = re.search(r"\[MAILBOXID \(([A-Za-z0-9_-]+)\)\]", client.ok("CREATE foo").text)[1]
    assert mailbox_id(client, "foo") == made != mailbox_id(client, "INBOX")
    assert one(client.ok("SELECT foo"), rb"\* OK \[MAILBOXID \(([^)]+)\)\]") == made
    client.ok("UNSELECT")
    client.ok("RENAME foo bar")
    assert mailbox_id(client, "bar") == made
    client.ok("DELETE bar")
    client.ok("CREATE bar")
    assert mailbox_id(client, "bar") != made
    listed = client.ok('LIST "" "*" RETURN (STATUS (MAILBOXID MESSAGES))')
    assert len(set(re.findall(rb"MAILBOXID \(([^)]+)\)", b"\n".join(listed.untagged)))) == 7


def test_messages(imap, user):
    client = imap(user)
    client.ok("CREATE other")
    for number in range(2):
        put(client, mail.plain(subject=f"message {number}"))
    client.ok("SELECT INBOX")
    (first, _), (second, _) = ids(client, "1:2")
    assert first != second
    client.ok("COPY 1 other")
    client.ok("MOVE 2 other")
    client.ok("SELECT other")
    assert [pair[0] for pair in ids(client, "1:2")] == [first, second]
    assert client.ok(f"SEARCH EMAILID {second}").find(rb"SEARCH( .*)?")[1] == b" 2"
    assert client.ok("SEARCH EMAILID nothing").find(rb"SEARCH(.*)")[1] == b""
    assert client.ok(f"SEARCH NOT EMAILID {second}").find(rb"SEARCH(.*)")[1] == b" 1"


def test_threads(imap, user):
    client = imap(user)
    base = b"From: a@example.org\r\nSubject: x\r\nDate: Sat, 21 Nov 2026 03:42:49 +0000\r\n"
    for head in (b"Message-ID: <root@example.org>\r\n",
                 b"Message-ID: <2@example.org>\r\nIn-Reply-To: <root@example.org>\r\n",
                 b"Message-ID: <3@example.org>\r\nReferences: <root@example.org> <2@example.org>\r\n",
                 b"Message-ID: <4@example.org>\r\n", b""):
        put(client, base + head + b"\r\nbody\r\n")
    client.ok("SELECT INBOX")
    threads = [pair[1] for pair in ids(client, "1:5")]
    assert threads[0] == threads[1] == threads[2] and len(set(threads)) == 3
    assert client.ok(f"SEARCH THREADID {threads[0]}").find(rb"SEARCH(.*)")[1] == b" 1 2 3"
    body = client.ok("FETCH 3 (THREADID BODY.PEEK[TEXT])")
    assert f"THREADID ({threads[0]})".encode() in b"".join(body.untagged)

