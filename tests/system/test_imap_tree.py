"""Trees of mailboxes: names, rename and delete with children, INBOX, depth, many."""
import re

import mail
import pytest


def utf7(name):
    """Modified UTF-7 (RFC 3501 section 5.1.3), quoted."""
    out, pending = "", ""

    def flush():
        nonlocal out, pending
        if pending:
            import base64
            out += "&" + base64.b64encode(pending.encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"
        pending = ""

    for char in name:
        if 0x20 <= ord(char) <= 0x7e:
            flush()
            out += "&-" if char == "&" else char
        else:
            pending += char
    flush()
    return '"' + out.replace("\\", "\\\\").replace('"', '\\"') + '"'


def tree(client, pattern="*", reference=""):
    """{name: attributes} of LIST, but for the usual mailboxes."""
    found = {}
    for line in client.ok(f'LIST "{reference}" "{pattern}"').untagged:
        match = re.match(rb'\* LIST \((.*?)\) "/" (?:"((?:[^"\\]|\\.)*)"|(\S+))$', line)
        if match:
            found[re.sub(rb"\\(.)", rb"\1", match[2] if match[2] is not None else match[3]).decode()] = match[1].decode()
    for usual in ("INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"):
        if "Special" not in found.get(usual, ""):
            found.pop(usual, None)
    return found


def number(client, mailbox, item):
    return int(client.ok(f"STATUS {mailbox} ({item})").find(item.encode() + rb" (\d+)")[1])


NAMES = ["plain", "with space", " lead", "trail ", "quo\"te", "back\\slash", "per.cent", "amp&ersand", "&", "&-", "~tilde", "#hash", "a+b,c", "{5}", "(paren)",
         "Entwürfe", "Ελληνικά", "日本語", "😀 emoji", "𝔘𝔫𝔦", "mixed é&é", "é", "\u00ad", "ﬁ", "İ", "ß", "אבג", "a\u0301\u0323b",
         "x" * 200, "é" * 300, "NIL", "INBOX2", "inbox.", "-", "1:2", "\u202f", "\u200b", "\ufeffbom", "\ue000"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names(imap, user, name):
    """Made, found, opened, renamed and deleted under the same name, whatever it is made of."""
    client = imap(user)
    quoted = utf7(name)
    client.ok(f"CREATE {quoted}")
    again = client.cmd(f"CREATE {quoted}")
    assert again.status == "NO" and "[ALREADYEXISTS]" in again.text
    listed = list(tree(client))
    assert len(listed) == 1
    shown = listed[0].replace("\\", "\\\\").replace('"', '\\"')
    client.ok(f'SELECT "{shown}"')
    client.ok("UNSELECT")
    answer = client.cmd(f'APPEND "{shown}" ', mail.plain())
    assert answer.status == "OK"
    assert number(client, f'"{shown}"', "MESSAGES") == 1
    client.ok(f'RENAME "{shown}" {utf7(name + "2")}')
    client.ok(f'RENAME {utf7(name + "2")} "{shown}"')
    client.ok(f'CREATE {quoted[:-1]}/below"')
    assert len(tree(client, "*below")) == 1
    client.ok(f'DELETE {quoted[:-1]}/below"')
    client.ok(f'SUBSCRIBE "{shown}"')
    client.ok(f'DELETE "{shown}"')
    assert not tree(client)


@pytest.mark.parametrize("name", ['""', '"/"', '"/x"', '"x//y"', '"x/y//"', '"a*b"', '"a%b"', '"."', '"x/../y"', '"x/."', '"&AAA-"', '"&AAo-"', '"&ICg-"', '"&2D0-"',
                                  '"&"', '"&Jjo"', '"a&b"', '"&U,BTFw-&ZeVnLIqe-"', '"' + "x" * 1001 + '"', '"' + "/".join("d" * 66) + '"',
                                  b'"\xff\xfe"', '"Other Users/x"', '"&AH8-"', '"&AIA-"', '"INBOX"', '"inbox"'])
def test_names_that_are_none(imap, user, name):
    client = imap(user)
    name = name if isinstance(name, bytes) else name.encode()
    for command in (b"CREATE ", b"RENAME Drafts "):
        assert client.cmd(command + name).status in ("NO", "BAD"), name
    client.ok("NOOP")
    assert not tree(client) and number(client, "Drafts", "MESSAGES") == 0


def test_pipelined_status(imap, user):
    """Rows are asked for ahead of their turn, but never ahead of another command in between."""
    client = imap(user)
    for number in range(100):
        client.ok(f"CREATE many/{number}")
    client.send(b"z APPEND many/7 {5+}\r\nhello\r\n")
    client.until(b"z")
    client.send(b"".join(b"s%d STATUS many/%d (MESSAGES)\r\n" % (number, number) for number in range(100)))
    for number in range(100):
        answer = client.until(b"s%d" % number)
        assert answer.status == "OK" and answer.untagged == [b"* STATUS many/%d (MESSAGES %d)" % (number, number == 7)]
    client.send(b"a CREATE x\r\nb STATUS x (MESSAGES)\r\nc STATUS none (MESSAGES)\r\nd STATUS x (ODD)\r\ne STATUS x (MESSAGES)\r\n"
                b"f STATUS x (MESSAGES)\r\ng APPEND x {5+}\r\nhello\r\nh STATUS x (MESSAGES)\r\ni RENAME x y\r\nj STATUS x (MESSAGES)\r\n"
                b"k STATUS y (MESSAGES)\r\nl DELETE y\r\nm STATUS y (MESSAGES)\r\nn SELECT many/7\r\no STATUS many/7 (MESSAGES)\r\n")
    for tag, status, rows in (("a", "OK", []), ("b", "OK", [b"* STATUS x (MESSAGES 0)"]), ("c", "NO", []), ("d", "BAD", []),
                              ("e", "OK", [b"* STATUS x (MESSAGES 0)"]), ("f", "OK", [b"* STATUS x (MESSAGES 0)"]), ("g", "OK", []),
                              ("h", "OK", [b"* STATUS x (MESSAGES 1)"]), ("i", "OK", []), ("j", "NO", []), ("k", "OK", [b"* STATUS y (MESSAGES 1)"]),
                              ("l", "OK", []), ("m", "NO", []), ("n", "OK", None), ("o", "OK", [b"* STATUS many/7 (MESSAGES 1)"])):
        answer = client.until(tag.encode())
        assert answer.status == status, (tag, answer)
        assert rows is None or answer.untagged == rows, (tag, answer)


def test_two_ways_to_write_a_letter_are_one_name(imap, user):
    client = imap(user)
    client.ok(f'CREATE {utf7("e" + chr(0x301))}')
    assert "[ALREADYEXISTS]" in client.cmd(f'CREATE {utf7(chr(0xe9))}').text
    client.ok("CREATE iNbOx/Sub")
    assert "INBOX/Sub" in tree(client)
    client.ok('STATUS "inbox/Sub" (MESSAGES)')
    client.ok("CREATE case")
    client.ok("CREATE CASE")  # elsewhere letters count


def test_rename_with_children(imap, user):
    client, watcher = imap(user), imap(user)
    for name in ("a/b/c", "a/b2", "ab", "a-", "z"):
        client.ok(f"CREATE {name}")
    validity = {name: number(client, name, "UIDVALIDITY") for name in ("a", "a/b", "a/b/c")}
    client.append("a/b/c", mail.plain())
    watcher.ok("SELECT a/b/c")
    client.ok("RENAME a new/place")
    assert set(tree(client)) == {"new", "new/place", "new/place/b", "new/place/b/c", "new/place/b2", "ab", "a-", "z"}
    assert {name: number(client, f"new/place{name[1:]}", "UIDVALIDITY") for name in validity} == validity
    assert watcher.ok("FETCH 1 UID").find(rb"UID 1")  # it is the same mailbox
    client.append("new/place/b/c", mail.plain())
    assert watcher.ok("NOOP").find(rb"2 EXISTS")
    for command, code in (("RENAME new/place new/place/below", "[CANNOT]"), ("RENAME z ab", "[ALREADYEXISTS]"), ("RENAME none x", "[NONEXISTENT]"),
                          ("RENAME z z", "[ALREADYEXISTS]"), ("RENAME z new", "[ALREADYEXISTS]"), ("RENAME z INBOX", "[ALREADYEXISTS]")):
        answer = client.cmd(command)
        assert answer.status == "NO" and code in answer.text, (command, answer.text)
    client.ok("CREATE a")  # the old name is free, and another mailbox
    assert number(client, "a", "UIDVALIDITY") not in validity.values()
    client.ok("RENAME new/place/b b")
    assert {"b", "b/c", "new/place", "new/place/b2"} <= set(tree(client)) and "new/place/b" not in tree(client)


def test_a_rename_that_would_make_a_child_too_deep_changes_nothing(imap, user):
    client = imap(user)
    client.ok("CREATE " + "/".join("d" * 60))
    client.ok("CREATE " + "/".join("t" * 10))
    before = tree(client)
    answer = client.cmd("RENAME d t/t/t/t/t/t/t/t/t/t/d")
    assert answer.status == "NO" and "[CANNOT]" in answer.text
    assert tree(client) == before
    client.ok("RENAME d/d/d/d/d/d/d/d/d/d/d t/t/t/t/t/t/t/t/t/t/d")  # fits
    client.ok("CREATE long")
    client.ok(f'CREATE "long/{"x" * 900}"')
    answer = client.cmd(f'RENAME long "{"y" * 200}"')
    assert answer.status == "NO" and "[CANNOT]" in answer.text
    assert "long" in tree(client)


def test_delete_with_children(imap, user):
    client = imap(user)
    client.ok("CREATE p/q/r")
    client.append("p/q", mail.plain())
    client.ok("DELETE p/q")
    assert r"\Noselect" in tree(client)["p/q"] and r"\HasChildren" in tree(client)["p/q"]
    for command in ("SELECT p/q", "STATUS p/q (MESSAGES)", "COPY 1 p/q"):
        client.ok("SELECT INBOX") if command.startswith("COPY") else None
        if not command.startswith("COPY"):
            assert client.cmd(command).status == "NO"
    answer = client.cmd("DELETE p/q")
    assert answer.status == "NO" and "[HASCHILDREN]" in answer.text
    assert client.append("p/q", mail.plain()).status == "NO"
    old = number(client, "p/q/r", "UIDVALIDITY")
    client.ok("RENAME p/q p/s")  # a name that only leads to others moves too
    assert number(client, "p/s/r", "UIDVALIDITY") == old
    client.ok("CREATE p/s")  # and becomes a mailbox again
    assert r"\Noselect" not in tree(client)["p/s"] and number(client, "p/s", "MESSAGES") == 0
    client.ok("DELETE p/s")
    client.ok("DELETE p/s/r")
    assert set(tree(client)) == {"p"}  # the name went with its last child
    assert "[CANNOT]" in client.cmd("DELETE INBOX").text and "[NONEXISTENT]" in client.cmd("DELETE nothing").text


def test_deleted_and_made_again_is_another_mailbox(imap, user):
    client = imap(user)
    seen = set()
    for _ in range(5):
        client.ok("CREATE again")
        seen.add(number(client, "again", "UIDVALIDITY"))
        client.ok("DELETE again")
    assert len(seen) == 5


def test_rename_inbox(imap, user):
    client, watcher = imap(user), imap(user)
    client.ok("CREATE INBOX/child")
    for _ in range(3):
        client.append("INBOX", mail.plain(), r"\Flagged")
    watcher.ok("SELECT INBOX")
    validity = number(client, "INBOX", "UIDVALIDITY")
    client.ok("RENAME INBOX old/mail")
    assert number(client, "INBOX", "MESSAGES") == 0 and number(client, "old/mail", "MESSAGES") == 3
    assert number(client, "INBOX", "UIDVALIDITY") == validity and number(client, "INBOX", "UIDNEXT") == 4
    assert "INBOX/child" in tree(client) and "old/mail/child" not in tree(client)  # RFC 9051 section 6.3.6
    lines = watcher.ok("NOOP").untagged
    assert [line for line in lines if b"EXPUNGE" in line] == [b"* 3 EXPUNGE", b"* 2 EXPUNGE", b"* 1 EXPUNGE"]
    client.ok("SELECT old/mail")
    assert client.ok("FETCH 1:* FLAGS").find(rb"\\Flagged")
    client.ok("RENAME INBOX INBOX/older")
    assert "[ALREADYEXISTS]" in client.cmd("RENAME INBOX old").text


def test_patterns(imap, user):
    client = imap(user)
    for name in ("w/x/y", "w/xx", "wx", "w.x/y"):
        client.ok(f"CREATE {name}")
    assert set(tree(client, "w%")) == {"w", "wx", "w.x"}
    assert set(tree(client, "w/%")) == {"w/x", "w/xx"}
    assert set(tree(client, "w/*")) == {"w/x", "w/x/y", "w/xx"}
    assert set(tree(client, "%/y")) == {"w.x/y"}
    assert set(tree(client, "*/y")) == {"w/x/y", "w.x/y"}
    assert set(tree(client, "x*", "w/")) == {"w/x", "w/x/y", "w/xx"}
    assert set(tree(client, "%/%/%")) == {"w/x/y"}
    assert client.ok('LIST "" ""').find(rb'LIST \(\\Noselect\) "/" ""')
    assert not tree(client, "w/x/")
    assert len(client.ok('LIST "" "' + "%*" * 400 + '"').untagged) >= 5


def test_many(imap, user):
    client = imap(user)
    for begin in range(0, 1500, 250):
        tags = [client.tag() for _ in range(250)]
        client.send(b"".join(b'%s CREATE "many%d/folder%05d"\r\n' % (tag, (begin + n) // 100, begin + n) for n, tag in enumerate(tags)))
        assert all(client.until(tag).status == "OK" for tag in tags)
    assert len(tree(client)) == 1515 and len(tree(client, "%")) == 15 and len(tree(client, "many7/%")) == 100
    answer = client.ok('LIST "" "many*" RETURN (STATUS (MESSAGES) MYRIGHTS SUBSCRIBED)')
    assert sum(line.startswith(b"* STATUS") for line in answer.untagged) == 1515
    tags = [client.tag() for _ in range(500)]
    client.send(b"".join(b'%s STATUS "many%d/folder%05d" (MESSAGES UIDNEXT)\r\n' % (tag, n // 100, n) for n, tag in enumerate(tags)))
    for n, tag in enumerate(tags):
        answer = client.until(tag)
        assert answer.status == "OK" and answer.untagged == [b'* STATUS many%d/folder%05d (MESSAGES 0 UIDNEXT 1)' % (n // 100, n)]
    client.ok("RENAME many3 moved")
    assert len(tree(client, "moved/%")) == 100 and not tree(client, "many3*")
