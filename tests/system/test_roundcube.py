"""Roundcube 1.6 on SQLite, driven over HTTP as its own pages drive it."""
import re
import time

import mail
import pytest
from peers.roundcube import Browser, Roundcube
from rockdove import free_port

pytestmark = pytest.mark.usefixtures("need_peers")


@pytest.fixture(scope="module")
def roundcube(server, scratch):
    import peers
    if peers.missing_reason():
        pytest.skip(peers.missing_reason())
    webmail = Roundcube(scratch / "roundcube", free_port(), f"ssl://127.0.0.1:{server.ports['imaps']}",
                        f"tls://127.0.0.1:{server.ports['submission']}")
    webmail.start()
    yield webmail
    webmail.stop()


@pytest.fixture
def browser(roundcube, user):
    one, before = Browser(roundcube), len(roundcube.logs().get("errors.log", ""))
    one.login(user.address, user.password)
    yield one
    errors = [line for line in roundcube.logs().get("errors.log", "")[before:].splitlines() if "PHP Deprecated" not in line]
    assert not errors, errors


def test_a_walk_through(browser, imap, server, new_user, user):
    receiver, client = new_user(), imap(user)
    words = [mail.marker() for _ in range(5)]
    for word in words[:4]:
        client.append("INBOX", mail.plain(subject=word, body=f"body of {word}\r\n"))
    client.append("INBOX", mail.multipart(words[4]))
    roles = server.roles()

    # list and read
    assert browser.uids() == [5, 4, 3, 2, 1]
    assert words[4] in browser.page("mail", _action="show", _uid=5, _mbox="INBOX")
    page = browser.page("mail", _action="show", _uid=1, _mbox="INBOX")
    assert words[0] in page and f"body of {words[0]}" in page
    client.ok("SELECT INBOX")
    deadline = time.monotonic() + 5
    while not client.ok("FETCH 1 FLAGS").find(rb"\\Seen"):
        browser.change("mark", _uid="1", _flag="read", _mbox="INBOX")
        assert time.monotonic() < deadline

    # search in subject and text
    found = browser.action("search", _q=words[2], _headers="subject,from", _mbox="INBOX", _scope="base")
    assert re.findall(r"add_message_row\((\d+),", found["exec"]) == ["3"]
    found = browser.action("search", _q=f"body of {words[1]}", _headers="text", _mbox="INBOX", _scope="base")
    assert re.findall(r"add_message_row\((\d+),", found["exec"]) == ["2"]
    found = browser.action("search", _q="größer", _headers="text", _mbox="INBOX", _scope="all")
    assert "add_message_row(" in found["exec"]

    # flag, move to Junk, delete
    browser.change("mark", _uid="2", _flag="flagged", _mbox="INBOX")
    assert client.ok("FETCH 2 FLAGS").find(rb"\\Flagged")
    browser.change("move", _uid="2", _mbox="INBOX", _target_mbox="Junk")
    client.ok("NOOP")
    assert browser.uids("Junk") == [1]
    browser.change("plugin.markasjunk.junk", _uid="3", _mbox="INBOX")
    browser.change("move", _uid="4", _mbox="INBOX", _target_mbox="Trash")
    assert browser.uids() == [5, 1] or browser.uids() == [5, 3, 1]
    browser.change("delete", _uid="1", _mbox="Trash")
    assert browser.uids("Trash") == []

    # send to a local user
    word = mail.marker()
    sent = browser.send(receiver.address, word, "written in webmail, größer\r\n")
    assert "sent_successfully" in sent or "Message sent successfully" in sent, sent[:500]
    other = imap(receiver)
    other.wait_messages(1)
    other.ok("SELECT INBOX")
    assert word.encode() in other.ok("FETCH 1 BODY[]").untagged[0]
    assert client.ok("STATUS Sent (MESSAGES)").find(rb"MESSAGES 1")
    assert server.roles() == roles


def test_folders(browser, imap, user):
    browser.page("settings", _action="folders")
    text = browser._open({"_task": "settings", "_action": "save-folder"},
                         {"_token": browser.token, "_task": "settings", "_action": "save-folder", "_name": "Projets été & co",
                          "_parent": "", "_mbox": ""})
    assert "error" not in text[:200].lower() or "confirmation" in text
    assert imap(user).ok('LIST "" "Proj*"').find(rb"Projets &AOk-t&AOk- &- co")


def test_sharing_a_folder(browser, roundcube, imap, new_user, user):
    """The acl plugin on both sides: the owner shares, the other sees the folder and reads."""
    owner, other = imap(user), new_user()
    owner.ok("CREATE Team")
    owner.append("Team", mail.plain(subject="for the team"))
    page = browser.page("settings", _action="edit-folder", _mbox="Team")
    assert "acl-table" in page or "acltable" in page
    answer = browser._open({"_task": "settings", "_action": "plugin.acl", "_act": "save", "_remote": 1},
                           {"_token": browser.token, "_remote": 1, "_mbox": "Team", "_user": other.address, "_acl": "lrswite", "_old": ""}, ajax=True)
    assert "acl_update" in answer, answer
    assert owner.ok("GETACL Team").find(rb"%s lrswited$" % other.address.encode())
    reader = Browser(roundcube)
    reader.login(other.address, other.password)
    shared = f"Other Users/{user.address}/Team"
    assert shared in reader.page("settings", _action="folders").replace("\\/", "/")
    assert reader.uids(shared) == [1]
    assert "for the team" in reader.page("mail", _action="show", _uid=1, _mbox=shared)
    reader.change("move", _uid="1", _mbox=shared, _target_mbox="Archive")
    assert reader.uids("Archive") == [1] and reader.uids(shared) == []
    answer = browser._open({"_task": "settings", "_action": "plugin.acl", "_act": "delete", "_remote": 1},
                           {"_token": browser.token, "_remote": 1, "_mbox": "Team", "_user": other.address}, ajax=True)
    assert "acl_remove_row" in answer, answer
    assert shared not in reader.page("settings", _action="folders").replace("\\/", "/")


def test_wrong_password(roundcube, user):
    with pytest.raises(Exception):
        Browser(roundcube).login(user.address, "wrong")
