"""METADATA (RFC 5464) and LIST-METADATA (RFC 9590): the RFCs' examples, the limits, and what outlives what."""
import re


def values(answer):
    """{entry: value or None} of all METADATA responses."""
    found = {}
    for line in answer.untagged:
        match = re.match(rb'\* METADATA (\S+) \((.*)\)$', line, re.S)
        if not match:
            continue
        rest = match[2]
        while rest:
            entry, _, rest = rest.partition(b" ")
            literal = re.match(rb"~?\{(\d+)\}\r\n", rest)
            if literal:
                end = literal.end() + int(literal[1])
                value, rest = rest[literal.end():end], rest[end:]
            else:
                token = re.match(rb'NIL|"((?:[^"\\]|\\.)*)"', rest)
                value, rest = (None if token[0] == b"NIL" else token[1]), rest[token.end():]
            found[entry.decode().strip('"')] = value
            rest = rest.lstrip()
    return found


def test_examples(imap, user):
    client = imap(user)
    assert {"METADATA", "METADATA-SERVER", "LIST-METADATA"} <= set(client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].decode().split())
    client.ok(b'SETMETADATA INBOX (/private/comment {33+}\r\nMy new comment across\r\ntwo lines.)')
    answer = client.ok('GETMETADATA "INBOX" /private/comment')
    assert values(answer) == {"/private/comment": b"My new comment across\r\ntwo lines."}
    client.ok('SETMETADATA INBOX (/private/comment "My own comment" /shared/comment "Shared comment")')
    answer = client.ok('GETMETADATA "INBOX" (/shared/comment /private/comment)')
    assert values(answer) == {"/private/comment": b"My own comment", "/shared/comment": b"Shared comment"}
    client.ok("SETMETADATA INBOX (/private/comment NIL)")
    assert values(client.ok('GETMETADATA "INBOX" /private/comment')) == {"/private/comment": None}
    client.ok('SETMETADATA INBOX (/PRIVATE/Comment "")')  # names have no case; an empty value is a value
    assert values(client.ok('GETMETADATA INBOX /private/comment')) == {"/private/comment": b""}


def test_server(imap, new_user):
    client, other = imap(new_user()), imap(new_user())
    client.ok('SETMETADATA "" (/private/vendor/x/color "blue")')
    assert values(client.ok('GETMETADATA "" (/private/vendor/x/color /shared/comment)')) == {
        "/private/vendor/x/color": b"blue", "/shared/comment": None}
    assert values(other.ok('GETMETADATA "" /private/vendor/x/color')) == {"/private/vendor/x/color": None}
    assert values(client.ok('GETMETADATA "" /shared/admin'))["/shared/admin"].startswith(b"mailto:postmaster@")
    answer = client.cmd('SETMETADATA "" (/shared/comment "mine now")')
    assert answer.status == "NO" and "[NOPERM]" in answer.text


def test_depth(imap, user):
    client = imap(user)
    client.ok('SETMETADATA INBOX (/private/filters/values/small "SMALLER 5000" /private/filters/values/boss "FROM \\"boss@example.com\\""'
              ' /private/filters/values "x" /private/filters/values/boss/deep "y" /private/filters/values-not "z")')
    assert values(client.ok('GETMETADATA (DEPTH 1) "INBOX" (/private/filters/values)')) == {
        "/private/filters/values/small": b"SMALLER 5000", "/private/filters/values/boss": b'FROM \\"boss@example.com\\"',
        "/private/filters/values": b"x"}
    whole = values(client.ok('GETMETADATA "INBOX" (DEPTH infinity) (/private/filters/values)'))  # the order of the RFC's example
    assert set(whole) == {"/private/filters/values", "/private/filters/values/small", "/private/filters/values/boss",
                          "/private/filters/values/boss/deep"}
    assert len(values(client.ok('GETMETADATA (DEPTH infinity) INBOX /private'))) == 5


def test_sizes(imap, user):
    client = imap(user)
    client.ok(b"SETMETADATA INBOX (/private/comment {2199+}\r\n" + b"x" * 2199 + b' /shared/comment "short")')
    answer = client.ok("GETMETADATA INBOX (MAXSIZE 1024) (/shared/comment /private/comment)")
    assert values(answer) == {"/shared/comment": b"short"} and "[METADATA LONGENTRIES 2199]" in answer.text
    assert "LONGENTRIES" not in client.ok("GETMETADATA (MAXSIZE 2199) INBOX /private/comment").text
    answer = client.cmd(b"SETMETADATA INBOX (/private/comment {32769+}\r\n" + b"x" * 32769 + b")")
    assert answer.status == "NO" and "[METADATA MAXSIZE 32768]" in answer.text
    client.ok(b"SETMETADATA INBOX (/private/comment ~{5+}\r\na\0b\r\n)")
    assert values(client.ok("GETMETADATA INBOX /private/comment")) == {"/private/comment": b"a\0b\r\n"}


def test_too_many(imap, user):
    client = imap(user)
    for begin in (0, 50):
        client.ok("SETMETADATA INBOX (" + " ".join(f'/private/n/{n} "v"' for n in range(begin, begin + 50)) + ")")
    answer = client.cmd('SETMETADATA INBOX (/private/n/1 "changed" /private/one-more "v")')
    assert answer.status == "NO" and "[METADATA TOOMANY]" in answer.text
    assert values(client.ok("GETMETADATA INBOX /private/n/1")) == {"/private/n/1": b"v"}  # all of it or nothing
    client.ok('SETMETADATA INBOX (/private/n/1 NIL /private/one-more "v")')
    assert values(client.ok("GETMETADATA INBOX /private/n/1")) == {"/private/n/1": None}


def test_one_response_and_much_at_once(imap, user):
    client = imap(user)
    client.ok('SETMETADATA INBOX (/private/a "1" /shared/b "2")')
    answer = client.ok("GETMETADATA INBOX (/shared/b /private/none /private/a)")
    assert answer.untagged == [b'* METADATA INBOX (/shared/b "2" /private/none NIL /private/a "1")']
    for n in range(90):  # more than the output holds at once
        client.ok(b"SETMETADATA INBOX (/private/large/%d {32000+}\r\n" % n + bytes([65 + n % 26]) * 32000 + b")")
    found = values(client.ok("GETMETADATA (DEPTH infinity) INBOX /private/large"))
    assert len(found) == 90 and all(value == value[:1] * 32000 for value in found.values())


def test_bad_input(imap, user):
    client = imap(user)
    for bad in ("GETMETADATA", "GETMETADATA INBOX", "GETMETADATA INBOX /comment", "GETMETADATA INBOX (/private/*)", "GETMETADATA INBOX (/private//x)",
                "GETMETADATA INBOX /private/x/", "GETMETADATA (DEPTH 2) INBOX /private/x", "GETMETADATA (SIZE 2) INBOX /private/x",
                "SETMETADATA INBOX ()", "SETMETADATA INBOX (/private/x)", 'SETMETADATA INBOX (/private "x")', 'SETMETADATA INBOX (/private/x atom)',
                "GETMETADATA INBOX /privateer/x", "GETMETADATA INBOX /private/" + "x" * 250, 'SETMETADATA INBOX /private/x "y"'):
        assert client.cmd(bad).status == "BAD", bad
    for absent in ("GETMETADATA Nowhere /private/comment", 'SETMETADATA Nowhere (/private/comment "x")'):
        answer = client.cmd(absent)
        assert answer.status == "NO" and "[NONEXISTENT]" in answer.text
    client.ok("NOOP")


def test_rename_and_delete(imap, user):
    client = imap(user)
    client.ok("CREATE one/two")
    client.ok('SETMETADATA one/two (/private/comment "kept")')
    client.ok("RENAME one uno")
    assert values(client.ok("GETMETADATA uno/two /private/comment")) == {"/private/comment": b"kept"}
    client.ok('SETMETADATA uno (/private/comment "gone")')
    client.ok("DELETE uno")  # its name stays, because there is one below it
    assert values(client.ok("GETMETADATA uno /private/comment")) == {"/private/comment": None}
    client.ok("DELETE uno/two")
    client.ok("CREATE uno/two")
    assert values(client.ok("GETMETADATA uno/two /private/comment")) == {"/private/comment": None}
    client.ok('SETMETADATA INBOX (/private/comment "of INBOX")')
    client.ok("RENAME INBOX old")  # the messages move, INBOX stays
    assert values(client.ok("GETMETADATA INBOX /private/comment")) == {"/private/comment": b"of INBOX"}


def test_list_metadata(imap, user):
    client = imap(user)
    color = "/shared/vendor/cmu/cyrus-imapd/color"
    client.ok("CREATE foo")
    client.ok("CREATE bar/below")
    client.ok(f'SETMETADATA INBOX ({color} "#b71c1c")')
    answer = client.ok(f'LIST "" (INBOX foo "bar*") RETURN (METADATA ({color}))')
    lines = [line for line in answer.untagged if line.startswith(b"* ")]
    assert [line.split()[1] for line in lines] == [b"LIST", b"METADATA"] * 4
    assert [b"#b71c1c" in line for line in lines] == [False, True] + [False] * 6
    assert lines[3].endswith(f"({color} NIL)".encode())
    answer = client.ok(f'LIST "" "%" RETURN (STATUS (MESSAGES) METADATA ({color} /private/comment) CHILDREN)')
    assert sum(line.startswith(b"* METADATA") for line in answer.untagged) == sum(line.startswith(b"* LIST") for line in answer.untagged)
    for bad in ("RETURN (METADATA)", "RETURN (METADATA (/x))", "RETURN (METADATA ())"):
        assert client.cmd(f'LIST "" "%" {bad}').status == "BAD"
