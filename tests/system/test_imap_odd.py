"""FETCH of odd messages beside Dovecot: what the two answer differently is listed here with the reason, all else is the same."""
import os
import re
import shutil

import pytest

import oddmail
import peers
from peers.postdove import DOMAIN, DOVECOT_CONF
from peers.postfix import DOVECOT, VMAIL, Private
from rockdove import free_port
from wire import Imap

USER, PASSWORD = f"odd@{DOMAIN}", "secret"

# Messages whose structure the two see differently, with the items that differ ("" for all of the structure).
STRUCTURE = ("BODYSTRUCTURE", "BODY", "BODY[1]", "BODY[1.MIME]", "BODY[1]<1>", "BODY[1.1]", "BODY[1.1.MIME]")
DECIDED = {
    # A first line that is no field begins the body; Dovecot calls it a header.
    "one line": (*STRUCTURE, "RFC822.HEADER", "RFC822.TEXT", "BODY[HEADER]", "BODY[TEXT]", "BODY[TEXT]<0>",
                 "BODY[HEADER.FIELDS.NOT (FROM SUBJECT)]"),
    # The blank line stands behind chosen fields also where the message has none (RFC 9051 section 6.4.5 lets it be left out).
    "no blank line": ("BODY[HEADER.FIELDS.NOT (FROM SUBJECT)]",),
    "blank line with space": ("BODY[HEADER.FIELDS.NOT (FROM SUBJECT)]",),
    # Unfolding takes the line end alone (RFC 5322 section 2.2.3); Dovecot makes a blank of the tab too.
    "folded subject": ("ENVELOPE",),
    # Of fields that may stand once the first counts, as in SEARCH and SORT; Dovecot takes the last subject and all From.
    "two subjects": ("ENVELOPE",), "two from": ("ENVELOPE",),
    # Garbage in, but never an unbalanced list out.
    "broken addresses": ("ENVELOPE",),
    # A Content-Type that cannot be read is text/plain (RFC 2045 section 5.2).
    "no subtype": STRUCTURE, "empty type": STRUCTURE, "broken type": STRUCTURE,
    # A parameter without a name or value is none.
    "parameters": STRUCTURE,
    # Dovecot numbers title*1* what was never numbered.
    "rfc2231": STRUCTURE,
    # MIME fields count also without MIME-Version: leaving it out is common, and the fields were meant.
    "disposition": STRUCTURE, "encodings": STRUCTURE, "encoding with comment": STRUCTURE,
    # A multipart without any part is shown as the text it is (RFC 2045 section 5.2).
    "no parts": STRUCTURE, "no boundary parameter": STRUCTURE, "empty boundary": STRUCTURE, "only the end": STRUCTURE,
    # An empty header ends with its blank line.
    "empty part": ("BODY[2.MIME]",), "empty message": ("BODY[1.MIME]",), "part without blank line": ("BODY[1.MIME]",),
    # The line end in front of a boundary belongs to the boundary (RFC 2046 section 5.1.1), also behind a message or multipart.
    "multipart in message in multipart": ("BODYSTRUCTURE", "BODY"),
    "message without body": ("BODYSTRUCTURE", "BODY", "BODY[1.HEADER.FIELDS.NOT (SUBJECT)]"),
    # A message must not be encoded (RFC 2046 section 5.2.1): what looks like no header is its body.
    "encoded message": (*STRUCTURE, "BODY[1.HEADER]", "BODY[1.TEXT]", "BODY[1.HEADER.FIELDS (SUBJECT)]",
                        "BODY[1.HEADER.FIELDS.NOT (SUBJECT)]"),
}


def tokens(data):
    """An IMAP list of data as nested lists; strings are bytes, atoms upper-case text."""
    at, stack = 0, [[]]
    while at < len(data):
        byte = data[at:at + 1]
        if byte == b"(":
            stack.append([])
            at += 1
        elif byte == b")":
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif byte == b" ":
            at += 1
        elif byte == b'"':
            text, at = b"", at + 1
            while data[at:at + 1] != b'"':
                at += data[at:at + 1] == b"\\"
                text += data[at:at + 1]
                at += 1
            stack[-1].append(text)
            at += 1
        elif byte == b"{":
            head = re.match(rb"\{(\d+)\}\r\n", data[at:])
            at += head.end() + int(head[1])
            stack[-1].append(data[at - int(head[1]):at])
        else:
            atom = re.match(rb'(?:[^\s()\[\]"{]|\[[^\]]*\])+', data[at:])[0]
            stack[-1].append(atom.decode().upper())
            at += len(atom)
    assert len(stack) == 1, data
    return stack[0]


def answers(client):
    """{(message, item): value}"""
    found = {}
    for name, octets in oddmail.MESSAGES:
        answer = client.append("INBOX", octets)
        assert answer.status == "OK", (name, answer)
    client.ok("SELECT INBOX")
    for number, (name, _) in enumerate(oddmail.MESSAGES, 1):
        lines = client.ok(f"FETCH {number} ({' '.join(oddmail.ITEMS)})").untagged
        values = tokens(next(line for line in lines if b"ENVELOPE" in line).partition(b" FETCH ")[2])[0]
        found.update({(name, item): value for item, value in zip(values[::2], values[1::2]) if item != "FLAGS"})
    return found


class Dovecot(Private):
    def __init__(self, folder, certs):
        super().__init__(folder, ("run", "mail"))
        self.ports = {name: free_port() for name in ("imap", "imaps", "lmtp")}
        etc = folder / "etc"
        os.chown(folder / "mail", VMAIL, VMAIL)
        for source, name in zip(certs.make("localhost", stem="odd"), ("cert.pem", "key.pem")):
            shutil.copy(source, etc / name)
        self.write("dovecot.conf", DOVECOT_CONF.format(home=folder, domain=DOMAIN, cert=etc / "cert.pem", key=etc / "key.pem", smtp=0,
                                                       **self.ports))
        self.write("passwd", f"{USER}:{{PLAIN}}{PASSWORD}:{VMAIL}:{VMAIL}::{folder}/mail/odd::\n")

    def start(self):
        return self.launch([DOVECOT], [self.ports["imap"]], 20)


@pytest.fixture(scope="module")
def both(scratch, certs, server):
    """What Rockdove and Dovecot answered."""
    client = Imap(server.ports["imap"])
    client.login("t9@example.test", "pw-9")
    ours = answers(client)
    if peers.private_reason():
        return ours, None
    dovecot = Dovecot(scratch / "dovecot-odd", certs)
    dovecot.start()
    try:
        client = Imap(dovecot.ports["imap"], timeout=30)
        assert client.login(USER, PASSWORD).status == "OK"
        return ours, answers(client)
    finally:
        dovecot.stop()


def same(item, ours, theirs):
    if ours == theirs:
        return True
    if ours == "NIL" and isinstance(theirs, bytes):
        leaf = re.search(r"\d\.1(\.MIME)?\]", item)  # Dovecot has a part 1 in every leaf
        return theirs == b"" or bool(leaf)
    # The line end in front of the boundary.
    return isinstance(ours, bytes) and isinstance(theirs, bytes) and re.match(r"BODY\[[\d.]+(TEXT)?\]", item) and theirs == ours + b"\r\n"


def test_beside_dovecot(both):
    ours, theirs = both
    if theirs is None:
        pytest.skip(peers.private_reason())
    assert len(ours) == len(theirs) > 2000
    different = {key for key in theirs if not same(key[1], ours[key], theirs[key])}
    decided = {(name, item) for name, items in DECIDED.items() for item in items}
    assert not different - decided, [(key, ours[key], theirs[key]) for key in sorted(different - decided)][:10]
    idle = {name for name in DECIDED if not any(key[0] == name for key in different)}
    assert not idle, f"no difference any more: {idle}"


def test_answers_agree_with_each_other(both):
    """Sizes of BODYSTRUCTURE are those of the sections; partials are cuts; header and text make the message."""
    ours, _ = both
    for name, octets in oddmail.MESSAGES:
        def get(item, name=name):
            return ours[name, item]
        assert get("BODY[]") == octets and int(get("RFC822.SIZE")) == len(octets), name
        assert get("BODY[HEADER]") + get("BODY[TEXT]") == octets, name
        assert get("RFC822.HEADER") == get("BODY[HEADER]") and get("RFC822.TEXT") == get("BODY[TEXT]"), name
        assert get("BODY[]<0>") == octets[:20] and get("BODY[]<10>") == octets[10:20] and get("BODY[]<100000>") == b"", name
        assert get("BODY[TEXT]<0>") == get("BODY[TEXT]")[:4] and get("BODY[1]<1>") == get("BODY[1]")[1:4], name
        structure = get("BODYSTRUCTURE")
        for number, part in enumerate([part for part in structure if isinstance(part, list)] if isinstance(structure[0], list) else [structure], 1):
            if number > 3 or isinstance(part[0], list) or not isinstance(part[0], bytes) or part[0] == b"boundary":
                continue
            content = get(f"BODY[{number}]")
            assert int(part[6]) == len(content), (name, number, part)
            if part[0] == b"text":
                assert int(part[7]) == content.count(b"\n"), (name, number)
        for part in ("1", "1.1"):
            if get(f"BODY[{part}.HEADER]") != "NIL":
                assert get(f"BODY[{part}.HEADER]") + get(f"BODY[{part}.TEXT]") == get(f"BODY[{part}]"), (name, part)


def test_more_than_fits_anywhere(server):
    """Structures beyond every bound: each FETCH has an answer, and sessions, packets and memory stay whole."""
    parts = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(b"--b\r\n\r\npart %d\r\n" % n for n in range(3000)) + b"--b--\r\n"
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=d%d\r\n\r\n--d%d\r\n" % (n, n) for n in range(400)) + b"\r\nx\r\n"
    messages = b"Content-Type: message/rfc822\r\n\r\n" * 500 + b"Subject: x\r\n\r\nx"
    header = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(5000)) + b"Subject: end\r\n\r\nbody"
    named = b"Subject: a\r\nContent-Type: text/plain" + b"".join(b"; p%d=%s" % (n, b"v" * 50) for n in range(5000)) + b"\r\n\r\nx"
    people = b"To: " + b", ".join(b"u%d@x.test" % n for n in range(60000)) + b"\r\n\r\nx"
    big = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(
        b"--b\r\nContent-Type: application/x; name=%s\r\n\r\nx\r\n" % (b"n" * 90) for _ in range(600)) + b"--b--\r\n"
    client = Imap(server.ports["imap"], timeout=30)
    client.login("t10@example.test", "pw-10")
    for message in (parts, nested, messages, header, named, people, big):
        assert client.append("INBOX", message).status == "OK"
    client.ok("SELECT INBOX")
    deep = ".".join(["1"] * 60)
    for items in ("BODYSTRUCTURE", "BODY", "ENVELOPE", "(ENVELOPE BODYSTRUCTURE BODY PREVIEW BODY.PEEK[HEADER.FIELDS (SUBJECT TO)])", "BODY.PEEK[1000]",
                  "BODY.PEEK[3000]", f"BODY.PEEK[{deep}]", "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]", "BINARY.PEEK[1]", "BINARY.SIZE[1.1]", "BODY.PEEK[1.MIME]"):
        for numbers in ("1", "1:7", "7:1"):
            rows = [line for line in client.ok(f"FETCH {numbers} {items}").untagged if b" FETCH (" in line]
            assert len(rows) == (1 if numbers == "1" else 7), (items, numbers, len(rows))
    tokens(client.ok("FETCH 7 BODYSTRUCTURE").untagged[0].partition(b" FETCH ")[2])
    assert client.ok("FETCH 1 BODY.PEEK[]").untagged[0].partition(b"}\r\n")[2][:-1] == parts
    # A header of any length is looked through to its end.
    longest = client.ok("FETCH 4 BODY.PEEK[HEADER.FIELDS (SUBJECT X-4999)]").untagged[0].partition(b"}\r\n")[2][:-1]
    assert longest == b"X-4999: " + b"y" * 1000 + b"\r\nSubject: end\r\n\r\n"
    rest = client.ok("FETCH 4 BODY.PEEK[HEADER.FIELDS.NOT (X-17 SUBJECT)]").untagged[0].partition(b"}\r\n")[2][:-1]
    assert rest == re.sub(rb"X-17: y*\r\n", b"", header).replace(b"Subject: end\r\n", b"").replace(b"\r\nbody", b"\r\n")
    assert client.ok("FETCH 4 BODY.PEEK[HEADER.FIELDS (SUBJECT)]<9.3>").untagged[0].endswith(b"{3}\r\nend)")
    assert client.ok("FETCH 4 BINARY.SIZE[HEADER.FIELDS (SUBJECT)]").untagged[0].endswith(b" 16)")
