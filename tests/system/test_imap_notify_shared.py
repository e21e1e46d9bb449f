"""NOTIFY (RFC 5465) on mailboxes other accounts share: what is told, to whom, and what is told no more."""
import os
import signal
import time

import mail
import pytest
from test_imap_acl import Pair, put
from test_imap_notify import lines_until
from wire import Smtp

LONGER = 0.6  # than an owner's events are held back
MESSAGES = "(MessageNew MessageExpunge FlagChange)"


@pytest.fixture
def pair(imap, new_user):
    pair = Pair(imap, new_user)
    pair.other = imap(pair.bob)  # another session of the reader
    return pair


def listen(pair, rights="lr", what=f'(subtree "Other Users" {MESSAGES})', status=""):
    if rights:
        pair.grant(rights)
    return pair.reader.ok(f"NOTIFY SET {status}{what}")


def status(pair, name="Team"):
    return f'* STATUS "{pair.prefix}/{name}" ('.encode()


def told(client, seconds=LONGER):
    """All that is told without asking."""
    seen = []
    while not client.quiet(seconds):
        seen.append(client.response())
    return seen


def test_what_happens_to_the_messages(pair, imap):
    answer = listen(pair, status="STATUS ")
    assert [line for line in answer.untagged if line.startswith(status(pair))], answer
    assert not answer.find(rb"Other Users.*INBOX"), "it is not shared"
    put(pair.owner, "Team")
    assert status(pair) + b"MESSAGES 1 UIDNEXT 2 UIDVALIDITY" in lines_until(pair.reader, b"STATUS")[-1]
    pair.owner.ok("SELECT Team")
    pair.owner.ok(r"STORE 1 +FLAGS (\Seen)")
    line = lines_until(pair.reader, b"STATUS")[-1]
    assert line.startswith(status(pair)) and b"UNSEEN 0" in line and b"HIGHESTMODSEQ" in line
    pair.owner.ok(r"STORE 1 +FLAGS (\Deleted)")
    pair.owner.ok("EXPUNGE")
    while b"MESSAGES 0" not in lines_until(pair.reader, b"STATUS")[-1]:
        pass
    put(pair.owner, "INBOX")
    pair.owner.ok("CREATE Own")
    put(pair.owner, "Own")
    assert not told(pair.reader)


def test_deliveries(pair, server):
    """And to who listens to his own, too: each event once."""
    pair.owner.ok(f"SETACL INBOX {pair.bob.address} lr")
    pair.reader.ok(f'NOTIFY SET (personal {MESSAGES}) (mailboxes "{pair.prefix}/INBOX" {MESSAGES})')
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
        assert client.deliver("x@remote.test", [pair.ann.address, pair.bob.address], mail.plain()).code == 250
    seen = told(pair.reader)
    assert len([line for line in seen if line.startswith(status(pair, "INBOX") + b"MESSAGES 1")]) == 1, seen
    assert len([line for line in seen if line.startswith(b"* STATUS INBOX (MESSAGES 1")]) == 1 and len(seen) == 2, seen


@pytest.mark.parametrize("rights", ["l", "r", "lswipkxte"])
def test_who_may_not_read_hears_nothing(pair, rights):
    answer = listen(pair, rights, status="STATUS ")
    assert not answer.untagged
    put(pair.owner, "Team")
    assert not told(pair.reader)
    pair.grant("+lr")  # section 5.9: from then on
    put(pair.owner, "Team")
    assert status(pair) + b"MESSAGES 2" in lines_until(pair.reader, b"STATUS")[-1]


def test_a_share_begun_later_is_heard_of(pair):
    listen(pair, rights=None)
    put(pair.owner, "Team")
    pair.grant("lr", who="anyone")
    put(pair.owner, "Team")
    assert status(pair) + b"MESSAGES 2" in lines_until(pair.reader, b"STATUS")[-1]
    pair.grant("r", who="-" + pair.bob.address)
    put(pair.owner, "Team")
    assert not told(pair.reader)


def test_what_is_shared_now_is_told_by_its_name(pair):
    listen(pair, "r", what='(subtree "Other Users" (MailboxName))')
    pair.grant("+s")
    assert not told(pair.reader)
    pair.grant("+l")
    line = f'* LIST () "/" {pair.team}'.encode()
    assert lines_until(pair.reader, b"LIST")[-1] == line
    pair.grant("+w"), pair.grant("lr", who="anyone")
    assert not told(pair.reader), "it is no news"
    pair.owner.ok(f"DELETEACL Team {pair.bob.address}"), pair.owner.ok("DELETEACL Team anyone")
    assert not told(pair.reader), "silently"


def test_a_right_that_is_taken_away_silences_at_once(pair):
    """Also what was kept back, by the store or by imap while a command runs."""
    listen(pair)
    for take in ("SETACL Team {} \"\"", "DELETEACL Team {}", "SETACL Team {} -r", "SETACL Team -{} r"):
        put(pair.owner, "Team")
        assert lines_until(pair.reader, b"STATUS")[-1].startswith(status(pair))
        put(pair.owner, "Team")  # waits for its moment
        pair.owner.ok(take.format(pair.bob.address))
        told_before = told(pair.reader, 0.01)
        put(pair.owner, "Team")
        pair.owner.ok("SELECT Team"), pair.owner.ok(r"STORE 1 FLAGS (\Flagged)"), pair.owner.ok("UNSELECT")
        assert not told(pair.reader), take
        assert len(told_before) <= 1
        pair.owner.ok(f"DELETEACL Team -{pair.bob.address}"), pair.grant("lr")


def test_what_the_client_has_not_taken_is_called_back(pair):
    """The events wait in imap while a command is not whole; then the right goes."""
    listen(pair, what='(subtree "Other Users" (MessageNew MessageExpunge MailboxName))')
    tag = pair.reader.tag()
    pair.reader.send(tag + b" APPEND INBOX {100}\r\n")
    lines_until(pair.reader, b"+ ")
    put(pair.owner, "Team")
    pair.owner.ok("RENAME Team Secret")
    time.sleep(LONGER)
    pair.owner.ok(f"DELETEACL Secret {pair.bob.address}")
    pair.reader.send(b"x" * 96 + b"\r\n\r\n\r\n")
    answer = pair.reader.until(tag)
    assert answer.status == "OK" and not answer.find(rb"Other Users"), answer
    assert not told(pair.reader)


def test_of_a_deleted_mailbox_only_its_end_is_told(pair):
    listen(pair, what='(subtree "Other Users" (MessageNew MessageExpunge MailboxName))')
    tag = pair.reader.tag()
    pair.reader.send(tag + b" APPEND INBOX {100}\r\n")
    lines_until(pair.reader, b"+ ")
    put(pair.owner, "Team")
    pair.owner.ok("DELETE Team")
    time.sleep(LONGER)
    pair.reader.send(b"x" * 96 + b"\r\n\r\n\r\n")
    answer = pair.reader.until(tag)
    seen = answer.untagged + told(pair.reader)
    assert [line for line in seen if b"Other Users" in line] == [rf'* LIST (\NonExistent) "/" {pair.team}'.encode()]


def test_names(pair):
    listen(pair, what='(subtree "Other Users" (MailboxName))')
    pair.owner.ok("CREATE Team/below")  # with the list of the one above
    assert lines_until(pair.reader, b"LIST")[-1] == f'* LIST () "/" "{pair.prefix}/Team/below"'.encode()
    pair.owner.ok("RENAME Team Crew")
    seen = lines_until(pair.reader, b"/Crew/below")
    seen += told(pair.reader)
    assert f'* LIST () "/" "{pair.prefix}/Crew" ("OLDNAME" ("{pair.prefix}/Team"))'.encode() in seen, seen
    assert f'* LIST () "/" "{pair.prefix}/Crew/below" ("OLDNAME" ("{pair.prefix}/Team/below"))'.encode() in seen, seen
    assert len(seen) == 2, "the second without what is above it being told again"
    pair.owner.ok("CREATE Crew/hidden"), told(pair.reader)
    pair.owner.ok(f"DELETEACL Crew/hidden {pair.bob.address}")
    pair.owner.ok("RENAME Crew/hidden Crew/other"), pair.owner.ok("DELETE Crew/other")
    pair.owner.ok("CREATE Private"), pair.owner.ok("CREATE Private/x"), pair.owner.ok("DELETE Private/x")
    assert not told(pair.reader)
    pair.owner.ok("DELETE Crew")  # the name stays for what is below; nothing of it is for the reader
    assert lines_until(pair.reader, b"LIST")[-1] == rf'* LIST (\NonExistent) "/" "{pair.prefix}/Crew"'.encode()
    pair.owner.ok("DELETE Crew/below")
    assert lines_until(pair.reader, b"LIST")[-1] == rf'* LIST (\NonExistent) "/" "{pair.prefix}/Crew/below"'.encode()


def test_a_shared_mailbox_below_one_that_is_not(pair):
    pair.owner.ok("CREATE Work/Plans"), pair.grant("lr", "Work/Plans")
    listen(pair, rights=None, what=f'(mailboxes "{pair.prefix}/Work/Plans" (MessageNew MessageExpunge MailboxName))')
    pair.owner.ok("RENAME Work Job")
    assert lines_until(pair.reader, b"LIST") == [
        f'* LIST () "/" "{pair.prefix}/Job/Plans" ("OLDNAME" ("{pair.prefix}/Work/Plans"))'.encode()]


def test_subscribed(pair):
    pair.grant("lr")
    pair.reader.ok(f"SUBSCRIBE {pair.team}")
    answer = listen(pair, what=f"(subscribed {MESSAGES})", status="STATUS ")
    assert [line for line in answer.untagged if line.startswith(status(pair))], answer
    put(pair.owner, "Team")
    assert lines_until(pair.reader, b"STATUS")[-1].startswith(status(pair))
    pair.other.ok(f"UNSUBSCRIBE {pair.team}")
    put(pair.owner, "Team")
    assert not told(pair.reader)
    pair.reader.ok(f"SUBSCRIBE {pair.team}")  # section 6.4: the list of the moment counts, whoever changes it
    put(pair.owner, "Team")
    assert lines_until(pair.reader, b"STATUS")[-1].startswith(status(pair))
    pair.owner.ok("SUBSCRIBE Team"), pair.owner.ok("UNSUBSCRIBE Team")
    pair.reader.ok(f"UNSUBSCRIBE {pair.team}")
    put(pair.owner, "Team")
    assert not told(pair.reader), "the owner's subscriptions are the owner's"


def test_subscriptions_to_it(pair):
    listen(pair, what='(subtree "Other Users" (MailboxName SubscriptionChange))')
    pair.other.ok(f"SUBSCRIBE {pair.team}")
    assert lines_until(pair.reader, b"LIST")[-1] == rf'* LIST (\Subscribed) "/" {pair.team}'.encode()
    pair.owner.ok("RENAME Team Crew")
    assert b"OLDNAME" in lines_until(pair.reader, b"LIST")[-1]
    pair.owner.ok("RENAME Crew Team")
    assert rb"(\Subscribed)" in lines_until(pair.reader, b"LIST")[-1]


def test_annotations(pair):
    listen(pair, what='(subtree "Other Users" (MailboxMetadataChange))')
    pair.owner.ok('SETMETADATA Team (/private/comment "mine" /shared/comment "ours")')
    assert lines_until(pair.reader, b"METADATA")[-1] == f"* METADATA {pair.team} /shared/comment".encode()
    pair.owner.ok('SETMETADATA Team (/private/comment "not yours")'), pair.owner.ok('SETMETADATA "" (/private/comment "x")')
    assert not told(pair.reader)


def test_own_doing_and_the_selected_mailbox(pair):
    listen(pair, "lrswite", what=f'(selected (MessageNew (UID) MessageExpunge)) (subtree "Other Users" {MESSAGES})')
    assert not pair.reader.append(f"{pair.prefix}/Team", mail.plain()).find(rb"STATUS")
    assert not told(pair.reader)
    pair.other.append(f"{pair.prefix}/Team", mail.plain())  # another session of the same account
    assert status(pair) + b"MESSAGES 2" in lines_until(pair.reader, b"STATUS")[-1]
    pair.reader.ok(f"SELECT {pair.team}")
    put(pair.owner, "Team")
    seen = told(pair.reader)
    assert b"* 3 EXISTS" in seen and b"* 3 FETCH (UID 3)" in seen and not [line for line in seen if b"STATUS" in line]


def test_personal_is_not_others(pair):
    listen(pair, what=f"(personal {MESSAGES}) (inboxes {MESSAGES})")
    put(pair.owner, "Team")
    assert not told(pair.reader)
    put(pair.other, "Archive")
    assert b"Archive" in lines_until(pair.reader, b"STATUS")[-1]


def test_a_busy_owner_is_told_of_now_and_then(pair):
    listen(pair)
    put(pair.owner, "Team")
    pair.owner.ok("SELECT Team")
    started = time.monotonic()
    for n in range(150):
        pair.owner.ok(rf"STORE 1 {'+-'[n % 2]}FLAGS (\Seen)")
    took = time.monotonic() - started
    seen = told(pair.reader)
    assert 1 <= len(seen) <= 3 + took / 0.2, (len(seen), took)
    assert b"UNSEEN 1" in seen[-1], "the last state is told"


def test_several_readers_and_none_any_more(pair, imap, new_user):
    eve = new_user()
    other = imap(eve)
    pair.grant("lr", who="anyone")
    for client in (pair.reader, pair.other, other):
        client.ok(f'NOTIFY SET (subtree "Other Users" {MESSAGES})')
    put(pair.owner, "Team")
    for client in (pair.reader, pair.other, other):
        assert lines_until(client, b"STATUS")[-1].startswith(status(pair))
    assert not told(pair.owner, 0.1), "who has not asked"
    pair.reader.ok("NOTIFY NONE"), pair.other.close()
    put(pair.owner, "Team")
    assert lines_until(other, b"STATUS")[-1].startswith(status(pair))
    assert not told(pair.reader)


def test_store_restarts(pair, server):
    listen(pair)
    os.kill(server.roles()["store"], signal.SIGKILL)
    lines_until(pair.reader, b"[NOTIFICATIONOVERFLOW]", seconds=15)
    deadline = time.monotonic() + 10
    while pair.reader.cmd(f'NOTIFY SET (subtree "Other Users" {MESSAGES})').status != "OK":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    put(pair.owner, "Team")
    assert lines_until(pair.reader, b"STATUS")[-1].startswith(status(pair))
