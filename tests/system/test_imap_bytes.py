"""BINARY (RFC 3516): sections without their transfer encoding, NUL, literal8."""
import base64
import quopri
import random
import re

import pytest

import mail

RAW = random.Random(1).randbytes(200_000)
QP = "Grüße = tab\tend \r\nnext line. " + "long " * 40 + "\r\n"


def crlf(text):
    return text.replace(b"\n", b"\r\n")


MESSAGE = b"\r\n".join([
    b"From: a@remote.test", b"To: b@remote.test", b"Subject: parts", b"Date: Sat, 21 Nov 2026 10:00:00 +0000",
    b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="b1"', b"", b"prologue",
    b"--b1", b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: quoted-printable", b"",
    crlf(quopri.encodestring(QP.replace("\r\n", "\n").encode())),
    b"--b1", b"Content-Type: application/octet-stream", b"Content-Transfer-Encoding: BASE64", b"",
    crlf(base64.encodebytes(RAW)),
    b"--b1", b"Content-Type: text/plain", b"Content-Transfer-Encoding: 8bit", b"", "plain é".encode(),
    b"--b1", b"Content-Type: message/rfc822", b"", b"Subject: inner", b"Content-Transfer-Encoding: base64", b"", b"aGVsbG8=",
    b"--b1", b'Content-Type: multipart/mixed; boundary="b2"', b"", b"--b2", b"", b"deep", b"--b2--",
    b"--b1", b"Content-Type: text/plain", b"Content-Transfer-Encoding: x-uuencode", b"", b"begin 644 x",
    b"--b1", b'Content-Type: multipart/mixed; boundary="b3"', b"Content-Transfer-Encoding: base64", b"", b"--b3", b"", b"no",
    b"--b3--",
    b"--b1--", b"epilogue", b""])


def section(client, item, message=1):
    """The octets of one section, whether it came as literal8; None for NIL."""
    answer = client.ok(f"FETCH {message} ({item})")
    line = next(u for u in answer.untagged if b"FETCH" in u)
    if line.endswith(b" NIL)"):
        return None, False
    head = re.search(rb"\] ?(?:<\d+> )?(~?)\{(\d+)\}\r\n", line)
    data = line[head.end():head.end() + int(head[2])]
    assert len(data) == int(head[2]) and line[head.end() + int(head[2]):] == b")", line[:200]
    return data, head[1] == b"~"


def size(client, part, message=1):
    return int(client.ok(f"FETCH {message} BINARY.SIZE[{part}]").find(rb"BINARY\.SIZE\[[^\]]*\] (\d+)\)$")[1])


@pytest.fixture
def box(imap, user):
    client = imap(user)
    assert client.append("INBOX", MESSAGE).status == "OK"
    client.ok("SELECT INBOX")
    return client


def test_parts_without_their_encoding(box):
    assert "BINARY" in box.ok("CAPABILITY").untagged[0].decode().split()
    assert section(box, "BINARY.PEEK[1]")[0].rstrip() == QP.encode().rstrip()
    assert section(box, "BINARY.PEEK[2]") == (RAW, True), "with NUL: literal8"
    assert section(box, "BINARY.PEEK[3]") == ("plain é".encode(), False)
    assert section(box, "BINARY.PEEK[4.1]") == (b"hello", False)
    assert size(box, 2) == len(RAW) and size(box, "4.1") == 5 and size(box, 3) == 8
    assert size(box, 1) == len(section(box, "BINARY.PEEK[1]")[0])
    assert not box.ok("FETCH 1 FLAGS").find(rb"\\Seen"), "PEEK and SIZE do not set it"
    assert section(box, "BINARY[3]")[0] == "plain é".encode()
    assert box.ok("FETCH 1 FLAGS").find(rb"\\Seen")


def test_partials_count_decoded_octets(box):
    rng = random.Random(2)
    nul = RAW.index(0)
    cuts = [(0, 1), (0, len(RAW)), (5, 10 ** 9), (len(RAW) - 1, 5), (len(RAW), 5), (len(RAW) + 5, 5), (nul, 1), (nul + 1, 1)]
    cuts += [(rng.randrange(len(RAW)), rng.randrange(1, 70_000)) for _ in range(20)]
    for offset, length in cuts:
        wanted = RAW[offset:offset + length]
        answer = box.ok(f"FETCH 1 (BINARY.PEEK[2]<{offset}.{length}>)")
        line = answer.untagged[0]
        head = re.search(rb"BINARY\[2\]<(\d+)> (~?)\{(\d+)\}\r\n", line)
        assert int(head[1]) == offset and int(head[3]) == len(wanted) and line[head.end():-1] == wanted
        assert (head[2] == b"~") == (0 in wanted)
    whole = section(box, "BINARY.PEEK[1]")[0]
    for offset in range(0, len(whole), 7):
        assert section(box, f"BINARY.PEEK[1]<{offset}.11>")[0] == whole[offset:offset + 11]
    assert section(box, "BINARY.PEEK[1]<200>")[0] == whole[200:]


def test_what_holds_other_parts_has_no_encoding(box):
    """RFC 9051 wants clients to ask for leaves only; the others are served as BODY serves them (RFC 2045 section 6.4)."""
    for part in ("", "TEXT", "4", "5", "4.HEADER", "1.MIME", "HEADER.FIELDS (SUBJECT)"):
        body, _ = section(box, f"BODY.PEEK[{part}]")
        assert section(box, f"BINARY.PEEK[{part}]") == (body, False), part
        assert size(box, part) == len(body), part
    assert section(box, "BINARY.PEEK[5.1]") == (b"deep", False)


def test_unknown_encodings(box):
    for item in ("BINARY[6]", "BINARY.PEEK[6]<0.5>", "BINARY.SIZE[6]", "BINARY.PEEK[7]", "BINARY.SIZE[7]",
                 "(UID BINARY.PEEK[1] BINARY.PEEK[6])"):
        answer = box.cmd(f"FETCH 1 {item}")
        assert answer.status == "NO" and answer.text.startswith("[UNKNOWN-CTE]") and not answer.find(rb"BINARY"), (item, answer)
    assert section(box, "BODY.PEEK[6]")[0] == b"begin 644 x"
    box.append("INBOX", mail.plain(body="x\r\n"))
    answer = box.cmd("FETCH 1:* (UID BINARY.PEEK[6])")
    assert answer.find(rb"\* 2 FETCH \(UID 2 BINARY\[6\] NIL\)") and "[UNKNOWN-CTE]" in answer.text


def test_no_such_part(box):
    assert section(box, "BINARY.PEEK[9]") == (None, False) and section(box, "BINARY.PEEK[1.1]") == (None, False)
    assert size(box, 9) == 0
    for item in ("BINARY", "BINARY[0]", "BINARY[1.]", "BINARY[1]<0.0>", "BINARY.SIZE[1]<0.5>", "BINARY[X]"):
        assert box.cmd(f"FETCH 1 {item}").status == "BAD", item


@pytest.mark.parametrize("encoding", ["binary", "8bit"])
def test_append_of_literal8(imap, user, encoding):
    client = imap(user)
    body = b"a\0b\0\0\r\n\0" + RAW[:5000].replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    message = (b"From: a@remote.test\r\nSubject: x\r\nContent-Type: application/octet-stream\r\n"
               b"Content-Transfer-Encoding: %s\r\n\r\n" % encoding.encode()) + body
    client.send(b"a APPEND INBOX ~{%d+}\r\n%s\r\n" % (len(message), message))
    assert client.until(b"a").status == "OK"
    client.send(b"b APPEND INBOX (\\Seen) ~{%d}\r\n" % len(message))
    assert client.response().startswith(b"+")
    client.send(message + b"\r\n")
    assert client.until(b"b").status == "OK"
    client.ok("SELECT INBOX")
    for number in (1, 2):
        assert section(client, "BINARY.PEEK[1]", number) == (body, True)
        assert section(client, "BINARY.PEEK[]", number) == (message, True)
        assert section(client, "BINARY.PEEK[1]<2.4>", number) == (b"b\0\0\r", True)
        assert section(client, "BINARY.PEEK[1]<0.1>", number) == (b"a", False)
        assert size(client, "1", number) == len(body)
        assert section(client, "BODY.PEEK[]", number)[0] == message.replace(b"\0", b"\x80"), "NUL never stands in a literal"
        assert section(client, "BODY.PEEK[1]<2.3>", number)[0] == b"b\x80\x80"
        assert client.ok(f"FETCH {number} RFC822.SIZE").find(rb"RFC822.SIZE %d\b" % len(message))
    client.ok("COPY 1 Trash")
    client.ok("SELECT Trash")
    assert section(client, "BINARY.PEEK[1]") == (body, True)


def test_nul_in_a_header(imap, user):
    client = imap(user)
    message = b"From: a\0b@remote.test\r\nSubject: x\0y\r\nTo: \"q\0\" <c@remote.test>\r\nContent-Type: text/pl\0ain; name=\"a\0\"\r\n\r\nhi\r\n"
    client.send(b"a APPEND INBOX ~{%d+}\r\n%s\r\n" % (len(message), message))
    assert client.until(b"a").status == "OK"
    client.ok("SELECT INBOX")
    for items in ("ENVELOPE", "BODYSTRUCTURE", "BODY", "PREVIEW", "BODY.PEEK[HEADER]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
                  "BODY.PEEK[HEADER.FIELDS (X-Y SUBJECT)]", "BODY.PEEK[HEADER.FIELDS.NOT (TO)]", "RFC822", "BODY[]"):
        for line in client.ok(f"FETCH 1 ({items})").untagged:
            assert b"\0" not in line, (items, line)
    assert section(client, "BINARY.PEEK[HEADER]") == (message[:-4], True)
