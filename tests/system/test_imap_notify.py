"""NOTIFY (RFC 5465): the RFC's examples, and what several sessions hear of each other."""
import socket
import time

import pytest
from mail import plain
from wire import Smtp


def lines_until(client, pattern, seconds=5):
    """Untagged responses until one holds the pattern, that one last."""
    deadline, seen = time.monotonic() + seconds, []
    client.sock.settimeout(seconds)
    while time.monotonic() < deadline:
        try:
            seen.append(client.response())
        except (TimeoutError, OSError):
            break
        if pattern in seen[-1]:
            return seen
    raise AssertionError(f"no {pattern!r}, only {seen}")


@pytest.fixture
def two(imap, user):
    """One who asks and one who acts."""
    listener, actor = imap(user), imap(user)
    listener.user = user
    return listener, actor


def test_capability(imap, user):
    assert b" NOTIFY" in imap(user).ok("CAPABILITY").untagged[0]


def test_other_mailboxes_are_told_by_status_without_any_command(two):
    """The example of section 3.1."""
    listener, actor = two
    for name in ("Lists", "Lists/Lemonade", "Lists/Im2000", "misc"):
        actor.ok(f"CREATE {name}")
    actor.append("Lists/Lemonade", plain())
    answer = listener.ok("NOTIFY SET STATUS (selected (MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge)) "
                         "(subtree Lists (MessageNew MessageExpunge))")
    told = [line for line in answer.untagged if line.startswith(b"* STATUS")]
    assert sorted(line.split()[2] for line in told) == [b"Lists", b"Lists/Im2000", b"Lists/Lemonade"], told
    assert all(item in line for line in told for item in (b"MESSAGES", b"UIDNEXT", b"UIDVALIDITY"))
    listener.ok("SELECT INBOX")
    actor.append("misc", plain())
    actor.append("Lists/Lemonade", plain())
    assert b"* STATUS Lists/Lemonade (MESSAGES 2 UIDNEXT 3 UIDVALIDITY" in lines_until(listener, b"STATUS")[-1]
    actor.append("INBOX", plain(subject="good morning"))
    seen = lines_until(listener, b"FETCH")
    assert b"* 1 EXISTS" in seen
    assert b"UID 1 BODY[HEADER.FIELDS (from to subject)]" in seen[-1] and b"Subject: good morning" in seen[-1]
    assert listener.quiet()


def test_mail_that_arrives_is_fetched_at_once(two, server):
    listener, _ = two
    listener.ok("SELECT INBOX")
    listener.ok("NOTIFY SET (selected (MessageNew (UID FLAGS ENVELOPE) MessageExpunge FlagChange))")
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
        assert client.deliver("x@remote.test", [listener.user.address], plain(subject="pushed")).code == 250
    assert b'"pushed"' in lines_until(listener, b" FETCH (")[-1]


def test_the_selected_mailbox_at_once_or_delayed(two):
    listener, actor = two
    for _ in range(3):
        actor.append("INBOX", plain())
    listener.ok("SELECT INBOX")
    actor.ok("SELECT INBOX")
    listener.ok("NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))")
    actor.ok(r"STORE 2 +FLAGS (\Deleted)")
    assert rb"* 2 FETCH (UID 2 FLAGS (" in lines_until(listener, b"FETCH")[-1]
    actor.ok("EXPUNGE")
    assert lines_until(listener, b"EXPUNGE")[-1] == b"* 2 EXPUNGE"
    listener.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))")
    actor.ok(r"STORE 1 +FLAGS (\Deleted)")
    actor.ok("EXPUNGE")
    actor.append("INBOX", plain())
    assert lines_until(listener, b"EXISTS")[-1] == b"* 3 EXISTS"
    while not listener.quiet():
        assert b"EXPUNGE" not in listener.response()
    answer = listener.ok("NOOP")
    assert b"* 1 EXPUNGE" in answer.untagged and not answer.find(rb"FETCH")


def test_idle_tells_what_was_asked_for(two):
    listener, actor = two
    listener.ok("SELECT INBOX")
    listener.ok("NOTIFY SET (selected-delayed (MessageNew (UID) MessageExpunge)) (mailboxes Trash (MessageNew MessageExpunge))")
    tag = listener.tag()
    listener.send(tag + b" IDLE\r\n")
    lines_until(listener, b"+ ")
    actor.append("INBOX", plain())
    assert b"* 1 FETCH (UID 1)" in lines_until(listener, b"FETCH")[-1]
    actor.append("Trash", plain())
    assert b"* STATUS Trash (MESSAGES 1" in lines_until(listener, b"STATUS")[-1]
    actor.append("INBOX", plain())
    listener.send(b"DONE\r\n")  # in the middle of whatever is told
    answer = listener.until(tag)
    assert answer.status == "OK" and b"* 2 FETCH (UID 2)" in answer.untagged + lines_or_none(listener), answer


def lines_or_none(client):
    seen = []
    while not client.quiet():
        seen.append(client.response())
    return seen


def test_names_and_subscriptions(two):
    listener, actor = two
    listener.ok("NOTIFY SET (personal (MailboxName SubscriptionChange))")
    actor.ok("CREATE NewMailbox")
    assert rb'* LIST (\HasNoChildren) "/" NewMailbox' in lines_until(listener, b"NewMailbox")
    actor.ok("CREATE NewMailbox/below")
    assert rb'* LIST (\HasNoChildren) "/" NewMailbox/below' in lines_until(listener, b"NewMailbox/below")
    assert rb'* LIST (\HasChildren) "/" NewMailbox' in lines_until(listener, b"NewMailbox")
    actor.ok("RENAME NewMailbox Renamed")
    assert rb'* LIST (\HasChildren) "/" Renamed ("OLDNAME" (NewMailbox))' in lines_until(listener, b"OLDNAME")
    actor.ok("SUBSCRIBE Renamed")
    assert rb'* LIST (\HasChildren \Subscribed) "/" Renamed' in lines_until(listener, b"Renamed")
    actor.ok("UNSUBSCRIBE Renamed")
    assert rb'* LIST (\HasChildren) "/" Renamed' in lines_until(listener, b"Renamed")
    actor.ok("DELETE Renamed/below")
    seen = lines_until(listener, b"Renamed/below")
    assert rb'\NonExistent' in seen[-1]
    listener.ok("CREATE Mine")  # its own doing
    assert not listener.ok("NOOP").find(b"Mine")


def test_metadata(two):
    listener, actor = two
    listener.ok("NOTIFY SET (mailboxes INBOX (MailboxMetadataChange)) (personal (ServerMetadataChange))")
    actor.ok('SETMETADATA INBOX (/private/comment "Mine")')
    assert lines_until(listener, b"METADATA")[-1] == b"* METADATA INBOX /private/comment"
    actor.ok('SETMETADATA "" (/private/comment "Mine too")')
    assert lines_until(listener, b"METADATA")[-1] == b'* METADATA "" /private/comment'


def test_flag_changes_elsewhere(two):
    listener, actor = two
    actor.append("Archive", plain())
    listener.ok("ENABLE CONDSTORE")
    answer = listener.ok("NOTIFY SET STATUS (subscribed (MessageNew MessageExpunge FlagChange))")
    assert answer.find(rb"STATUS Archive \(.*HIGHESTMODSEQ")
    actor.ok("SELECT Archive")
    actor.ok(r"STORE 1 FLAGS (\Seen)")
    line = lines_until(listener, b"STATUS Archive")[-1]
    assert b"UIDVALIDITY" in line and b"HIGHESTMODSEQ" in line and b"UNSEEN 0" in line
    actor.ok("UNSUBSCRIBE Archive")
    actor.ok(r"STORE 1 FLAGS ()")
    assert listener.quiet()


def test_nothing_is_told_after_none(two):
    listener, actor = two
    actor.append("INBOX", plain())
    listener.ok("SELECT INBOX")
    listener.ok("NOTIFY SET (personal (MessageNew MessageExpunge))")  # and not of the selected one: section 3.1
    actor.append("INBOX", plain())
    assert listener.quiet() and not listener.ok("NOOP").untagged
    answer = listener.ok("NOTIFY SET (selected (MessageNew MessageExpunge))")
    assert b"* 2 EXISTS" in answer.untagged
    listener.ok("NOTIFY NONE")
    actor.append("INBOX", plain())
    actor.append("Trash", plain())
    assert listener.quiet() and not listener.ok("NOOP").untagged
    listener.ok(r"STORE 1 +FLAGS (\Deleted)")
    assert b"* 1 EXPUNGE" in listener.ok("EXPUNGE").untagged


def test_own_messages_are_not_fetched(two):
    listener, actor = two
    listener.ok("SELECT INBOX")
    listener.ok("NOTIFY SET (selected (MessageNew (UID ENVELOPE) MessageExpunge))")
    answer = listener.append("INBOX", plain())
    assert b"* 1 EXISTS" in answer.untagged
    assert listener.quiet()
    actor.append("INBOX", plain())
    assert b"* 2 FETCH (UID 2 " in lines_until(listener, b"FETCH")[-1]


@pytest.mark.parametrize("arguments,status", [
    ("NONE", "OK"),
    ("SET (selected NONE)", "OK"),
    ("SET (selected (MessageNew MessageExpunge)) (inboxes (MessageNew MessageExpunge))", "OK"),
    ("SET (selected (MessageNew))", "BAD"),
    ("SET (selected (FlagChange))", "BAD"),
    ("SET (selected (MailboxName))", "BAD"),
    ("SET (selected NONE) (selected-delayed NONE)", "BAD"),
    ("SET (personal (MessageNew (UID) MessageExpunge))", "BAD"),
    ("SET (everything (MessageNew MessageExpunge))", "BAD"),
    ("SET (subtree (MailboxName))", "BAD"),
    ("SET", "BAD"),
    ("SET STATUS", "BAD"),
    ("", "BAD"),
    ("SET (personal (MessageNew MessageExpunge AnnotationChange))", "NO"),
    ("SET (personal (FutureEvent (a (b) c) MailboxName))", "NO"),
])
def test_what_is_accepted(imap, user, arguments, status):
    client = imap(user)
    answer = client.cmd(f"NOTIFY {arguments}".rstrip())
    assert answer.status == status, answer
    if status == "NO":
        assert answer.text.startswith("[BADEVENT (MessageNew MessageExpunge FlagChange MailboxName"), answer
    assert client.ok("NOOP")


def test_a_client_that_does_not_read_is_told_that_it_missed_something(two):
    """What waits for it is bounded: one event per mailbox, and not more than some hundred others."""
    listener, actor = two
    listener.ok("NOTIFY SET (personal (SubscriptionChange))")
    listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    name = "x" * 200
    actor.ok(f"CREATE {name}")
    for _ in range(100):
        for _ in range(100):
            actor.send(b"a SUBSCRIBE " + name.encode() + b"\r\nb UNSUBSCRIBE " + name.encode() + b"\r\n")
        for _ in range(200):
            actor.response()
    lines_until(listener, b"[NOTIFICATIONOVERFLOW]", seconds=30)
    assert listener.ok("NOOP")
