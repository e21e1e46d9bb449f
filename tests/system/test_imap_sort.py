"""SORT, THREAD and what searches answer: RFC 5256, 5957, 5267 (ESORT), 5182 (SEARCHRES), 9394 (PARTIAL)."""
import os
import re
import socket
import struct
import time

import mail
import pytest

from conftest import FREE
from wire import Imap

MESSAGES = [  # sender, to, subject, Date, INTERNALDATE, id, references
    ('"Zoe" <bob@a.test>', "<x@t.test>", "Re: plans", "Mon, 02 Nov 2026 10:00:00 +0000", "05-Nov-2026 00:00:00 +0000", "p2", "<p1@t>"),
    ("ann@a.test", '"adam" <z@t.test>', "plans", "Sun, 01 Nov 2026 10:00:00 +0000", "04-Nov-2026 00:00:00 +0000", "p1", ""),
    ("=?utf-8?q?=C3=84nne?= <Carl@b.test>", "<y@t.test>", "Apples", "Sun, 01 Nov 2026 23:00:00 -0500", "03-Nov-2026 00:00:00 +0000", "a1", ""),
    (None, "<y@t.test>", None, None, "01-Nov-2026 12:00:00 +0000", None, ""),
    ("ann@a.test", None, "[list] RE: Plans (fwd)", "garbage", "30-Oct-2026 00:00:00 +0000", "p3", "<p1@t> <p2@t>"),
    ("dora@c.test", "<w@t.test>", "apples", "Tue, 03 Nov 2026 10:00:00 +0000", "02-Nov-2026 00:00:00 +0000", "a2", "<gone@t>"),
    ("dora@c.test", "<w@t.test>", "other", "Wed, 04 Nov 2026 10:00:00 +0000", "02-Nov-2026 00:00:00 +0000", "a3", "<gone@t>"),
]


def message(sender, to, subject, date, _, ident, references):
    fields = [("From", sender), ("To", to), ("Subject", subject), ("Date", date),
              ("Message-ID", ident and f"<{ident}@t>"), ("References", references)]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields if value)
    return (head + "\r\nbody\r\n").encode()


@pytest.fixture(scope="module")
def box(server):
    """A session with MESSAGES in a mailbox whose UIDs are not its numbers."""
    client = Imap(server.ports["imap"])
    address, password = next(iter(FREE.items()))
    assert client.login(address, password).status == "OK"
    client.ok("CREATE sorting")
    client.append("sorting", message(*MESSAGES[0]))
    client.ok("SELECT sorting")
    client.ok("STORE 1 +FLAGS (\\Deleted)")
    client.ok("EXPUNGE")
    for row in MESSAGES:
        assert client.append("sorting", message(*row), date=row[4]).status == "OK"
    client.ok("NOOP")
    yield client
    client.close()


def numbers(answer, word):
    return [int(n) for n in answer.find(rb"\* %s(.*)" % word.encode())[1].split()]


def extended(answer):
    return answer.find(rb"\* ESEARCH (.*)")[1].decode().strip()


def test_capabilities(box):
    offered = box.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].decode().split()
    assert {"SORT", "SORT=DISPLAY", "ESORT", "SEARCHRES", "THREAD=REFERENCES", "THREAD=ORDEREDSUBJECT",
            "THREAD=REFS"} <= set(offered)


@pytest.mark.parametrize("keys, order", [
    ("ARRIVAL", [5, 4, 6, 7, 3, 2, 1]),
    ("REVERSE ARRIVAL", [1, 2, 3, 6, 7, 4, 5]),  # REVERSE does not turn ties around
    ("DATE", [5, 2, 4, 3, 1, 6, 7]),             # without a Date that can be read INTERNALDATE counts
    ("REVERSE DATE", [7, 6, 1, 3, 4, 2, 5]),
    ("SUBJECT", [4, 3, 6, 7, 1, 2, 5]),
    ("SUBJECT REVERSE DATE", [4, 6, 3, 7, 1, 2, 5]),
    ("FROM", [4, 2, 5, 1, 3, 6, 7]),
    ("TO", [5, 6, 7, 1, 3, 4, 2]),
    ("CC SIZE", None),
    ("DISPLAYFROM", [4, 2, 5, 3, 6, 7, 1]),
    ("DISPLAYTO", [5, 2, 6, 7, 1, 3, 4]),
    ("REVERSE SUBJECT REVERSE ARRIVAL", [1, 2, 5, 7, 3, 6, 4]),
])
def test_sort(box, keys, order):
    got = numbers(box.ok(f"SORT ({keys}) UTF-8 ALL"), "SORT")
    if order:
        assert got == order
    assert sorted(got) == list(range(1, 8))
    assert numbers(box.ok(f"UID SORT ({keys}) US-ASCII ALL"), "SORT") == [n + 1 for n in got]


def test_sort_of_some(box):
    assert numbers(box.ok("SORT (DATE) UTF-8 SUBJECT plans"), "SORT") == [5, 2, 1]
    assert numbers(box.ok("UID SORT (DATE) UTF-8 3:4 UID 5"), "SORT") == [5]
    assert box.ok("SORT (DATE) UTF-8 KEYWORD none").find(rb"\* SORT\r?$")
    assert numbers(box.ok("SORT (DATE) utf-8 2,3,99"), "SORT") == [2, 3]


def test_refused(box):
    assert "BADCHARSET" in box.cmd("SORT (DATE) KOI8-R ALL").text
    assert "BADCHARSET" in box.cmd("THREAD REFS KOI8-R ALL").text
    for wrong in ("SORT () UTF-8 ALL", "SORT (DATE) ALL", "SORT (NONE) UTF-8 ALL", "SORT DATE UTF-8 ALL", "THREAD NONE UTF-8 ALL",
                  "SORT (REVERSE) UTF-8 ALL", "THREAD REFS UTF-8", "SORT (" + "DATE " * 17 + "DATE) UTF-8 ALL"):
        assert box.cmd(wrong).status == "BAD", wrong
    box.ok("NOOP")


def thread(box, algorithm, uid=False):
    answer = box.ok(f"{'UID ' if uid else ''}THREAD {algorithm} UTF-8 ALL")
    return answer.find(rb"\* THREAD ?(.*)")[1].decode().strip()


def test_thread(box):
    assert thread(box, "REFERENCES") == "(2 1 5)(4)((3)(6)(7))"
    assert thread(box, "REFS") == "(4)(3)(2 1 5)((6)(7))"
    assert thread(box, "ORDEREDSUBJECT") == "(5 (2)(1))(4)(3 6)(7)"
    assert thread(box, "REFS", uid=True) == "(5)(4)(3 2 6)((7)(8))"
    assert box.ok("THREAD REFS UTF-8 KEYWORD none").find(rb"\* THREAD\r?$")
    assert box.ok("UID THREAD REFS UTF-8 UID 4:5").find(rb"\* THREAD (.*)")[1].strip() == b"(5)(4)"


def test_quoted_ids(box):
    """Section 3: quoting makes no other message id; letter case does."""
    box.ok("CREATE ids")
    for ident, references in (('"a b\\"c"@t', ""), ("x@t", '<"a b\\"c"@t>'), ("plain@t", ""), ("y@t", '<"plain"@t>'), ("z@t", "<PLAIN@t>")):
        box.append("ids", f"Message-ID: <{ident}>\r\n{references and 'References: '}{references}{references and chr(13) + chr(10)}\r\nbody\r\n")
    box.ok("SELECT ids")
    got = thread(box, "REFS")
    box.ok("SELECT sorting")
    assert got == "(1 2)(3 4)(5)"


def test_esort(box):
    assert re.fullmatch(r'\(TAG "\w+"\) ALL 5,2,4,3,1,6:7', extended(box.ok("SORT RETURN () (DATE) UTF-8 ALL")))
    assert extended(box.ok("UID SORT RETURN (MIN MAX COUNT) (REVERSE DATE) UTF-8 ALL")).endswith(") UID MIN 8 MAX 6 COUNT 7")
    assert extended(box.ok("SORT RETURN (PARTIAL 2:3) (DATE) UTF-8 ALL")).endswith(") PARTIAL (2:3 2,4)")
    assert extended(box.ok("SORT RETURN (PARTIAL -1:-2 COUNT) (DATE) UTF-8 ALL")).endswith(") PARTIAL (-1:-2 6:7) COUNT 7")
    assert extended(box.ok("SORT RETURN (MIN ALL) (DATE) UTF-8 KEYWORD none")).endswith('")')


def test_partial(box):
    for option, told in (("1:3", "1:3 1:3"), ("3:1", "1:3 1:3"), ("6:10", "6:10 6:7"), ("8:10", "8:10 NIL"), ("-1:-2", "-1:-2 6:7"),
                         ("-7:-7", "-7:-7 1"), ("-8:-9", "-8:-9 NIL"), ("1:4294967295", "1:4294967295 1:7")):
        assert extended(box.ok(f"SEARCH RETURN (PARTIAL {option}) ALL")).endswith(f") PARTIAL ({told})")
    assert extended(box.ok("UID SEARCH RETURN (PARTIAL 2:3) 1,3,5,7")).endswith(") UID PARTIAL (2:3 4,6)")
    for wrong in ("PARTIAL 1:2 ALL", "PARTIAL 0:1", "PARTIAL 1", "PARTIAL 1:-2", "PARTIAL", "PARTIAL 1:*"):
        assert box.cmd(f"SEARCH RETURN ({wrong}) ALL").status == "BAD", wrong


def test_fuzzy(box):
    assert numbers(box.ok("SEARCH FUZZY SUBJECT \"(fwd) plans\""), "SEARCH") == [5]
    assert numbers(box.ok("SEARCH SUBJECT \"(fwd) plans\""), "SEARCH") == []
    assert numbers(box.ok("SEARCH FUZZY (TEXT \"other body\" FROM dora) 1:7"), "SEARCH") == [7]
    assert extended(box.ok("SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT plans")).endswith(") ALL 1:2,5 RELEVANCY (51 75 100)")
    assert extended(box.ok("UID SEARCH RETURN (RELEVANCY MAX) FUZZY OR SUBJECT \"list plans\" SUBJECT other")).endswith(
        ") UID MAX 8 RELEVANCY (1 100)")
    assert extended(box.ok("SEARCH RETURN (PARTIAL 2:3 RELEVANCY) FUZZY SUBJECT plans")).endswith(") PARTIAL (2:3 2,5) RELEVANCY (75 100)")
    assert extended(box.ok("SEARCH RETURN (RELEVANCY) FUZZY SUBJECT none")).endswith(") RELEVANCY ()")
    assert numbers(box.ok("SORT (RELEVANCY) UTF-8 FUZZY OR SUBJECT \"list plans\" SUBJECT other"), "SORT") == [7, 5]
    assert extended(box.ok("UID SORT RETURN (RELEVANCY ALL) (REVERSE RELEVANCY) UTF-8 FUZZY SUBJECT plans")).endswith(
        ") UID ALL 2:3,6 RELEVANCY (51 75 100)")
    assert "BADCHARSET" in box.cmd("SORT (RELEVANCY) x FUZZY ALL").text
    for wrong in ("SORT (RELEVANCY) UTF-8 SUBJECT x", "SEARCH RETURN (RELEVANCY) SUBJECT x", "SEARCH FUZZY", "SEARCH FUZZY NONE"):
        assert box.cmd(wrong).status == "BAD", wrong


def saved(box):
    return numbers(box.ok("SEARCH $"), "SEARCH")


def test_saved_result(box):
    box.ok("SELECT sorting")
    assert saved(box) == []
    answer = box.ok("SEARCH RETURN (SAVE) 2,4:6")
    assert not answer.find(rb"\* (E?SEARCH)")
    assert saved(box) == [2, 4, 5, 6] and numbers(box.ok("UID SEARCH UID $"), "SEARCH") == [3, 5, 6, 7]
    assert numbers(box.ok("SEARCH NOT $ 1:3"), "SEARCH") == [1, 3]
    assert [m[1] for m in box.ok("FETCH $ (UID)").all(rb"\* (\d+) FETCH")] == [b"2", b"4", b"5", b"6"]
    assert [m[1] for m in box.ok("UID FETCH $ (FLAGS)").all(rb"\* (\d+) FETCH")] == [b"2", b"4", b"5", b"6"]
    box.ok("SEARCH ALL")
    assert box.cmd("SEARCH RETURN (SAVE) BROKEN").status == "BAD"
    assert saved(box) == [2, 4, 5, 6]
    for options, kept in (("MIN", [1]), ("MAX", [7]), ("MIN MAX", [1, 7]), ("MIN COUNT", [1, 3, 7]), ("ALL MAX", [1, 3, 7]),
                          ("PARTIAL 2:2", [3]), ("PARTIAL 2:2 MAX", [3, 7]), ("PARTIAL 2:2 COUNT", [1, 3, 7])):
        box.ok(f"SEARCH RETURN (SAVE {options}) 1,3,7")
        assert saved(box) == kept, options
    box.ok("SORT RETURN (SAVE MIN) (REVERSE DATE) UTF-8 ALL")
    assert saved(box) == [7]
    assert "BADCHARSET" in box.cmd("SEARCH RETURN (SAVE) CHARSET KOI8-R ALL").text
    assert saved(box) == []


def test_saved_result_changes_messages(box):
    box.ok("CREATE copies")
    box.ok("SEARCH RETURN (SAVE) 1:3")
    box.ok("STORE $ +FLAGS (kept)")
    assert numbers(box.ok("SEARCH KEYWORD kept"), "SEARCH") == [1, 2, 3]
    box.ok("UID STORE $ -FLAGS (kept)")
    assert "COPYUID" in box.ok("COPY $ copies").text
    box.ok("SEARCH RETURN (SAVE) KEYWORD none")
    for command in ("FETCH $ FLAGS", "STORE $ +FLAGS (x)", "COPY $ copies", "MOVE $ copies", "UID FETCH $ FLAGS", "UID EXPUNGE $"):
        assert not box.ok(command).find(rb"\* \d+ ")
    box.ok("SELECT copies")
    assert saved(box) == []
    box.ok("SEARCH RETURN (SAVE) ALL")
    box.ok("STORE 2 +FLAGS (\\Deleted)")
    box.ok("EXPUNGE")
    assert saved(box) == [1, 2] and numbers(box.ok("UID SEARCH $"), "SEARCH") == [1, 3]
    box.ok("STORE $ +FLAGS (\\Deleted)")
    box.ok("UID EXPUNGE $")
    assert saved(box) == []
    box.ok("SELECT sorting")
    box.ok("SEARCH RETURN (SAVE) 7")
    box.ok("MOVE $ copies")
    assert saved(box) == []


def test_pipelined(box):
    box.ok("SELECT sorting")
    box.send(b"p1 SEARCH RETURN (SAVE) 2\r\np2 FETCH $ (UID)\r\np3 SORT (DATE) UTF-8 $\r\n")
    lines = []
    while not lines or not lines[-1].startswith(b"p3 "):
        lines.append(box.response())
    assert [line[:12] for line in lines[1:2]] == [b"* 2 FETCH (U"] and lines[3].strip() == b"* SORT 2", lines


HIDDEN = ["SORT", "THREAD=REFS", "SEARCHRES", "SEARCH=FUZZY", "CONTEXT=SEARCH", "PARTIAL", "MULTISEARCH"]


def test_hidden(make_server):
    """What is hidden from an account is unknown to its sessions; what is not, works."""
    address, password = next(iter(FREE.items()))
    server = make_server(listeners=["imap"], imap={"hide_capabilities": [{"account": address, "names": HIDDEN}]})
    server.start()
    client = Imap(server.ports["imap"])
    assert client.login(address, password).status == "OK"
    assert not set(HIDDEN) & set(client.ok("CAPABILITY").find(rb"CAPABILITY (.*)")[1].decode().split())
    client.ok("SELECT INBOX")
    for command in ("SORT (DATE) UTF-8 ALL", "THREAD REFS UTF-8 ALL", "SEARCH RETURN (SAVE) ALL", "SEARCH $", "FETCH $ FLAGS", "SEARCH FUZZY ALL",
                    "SEARCH RETURN (UPDATE) ALL", "SEARCH RETURN (PARTIAL 1:2) ALL", "ESEARCH ALL"):
        assert client.cmd(command).status == "BAD", command
    client.ok("THREAD REFERENCES UTF-8 ALL")
    client.close()


def cpu(pid):
    """Seconds of CPU time of a process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_client_gone(server):
    """A search that takes minutes ends when its client goes."""
    client = Imap(server.ports["imap"])
    address, password = list(FREE.items())[1]
    assert client.login(address, password).status == "OK"
    for _ in range(100):
        client.append("INBOX", mail.plain(body=("etaoin shrdlu " * 5 + "\r\n") * 3000))
    client.ok("SELECT INBOX")
    keys = " ".join([f"NOT TEXT {a}{b}" for a in "~^|`" for b in "~^|`!"] * 45)
    client.send(f"s UID SORT (SUBJECT) UTF-8 {keys}\r\n".encode())
    store = server.roles()["store"]
    begun = cpu(store)
    deadline = time.monotonic() + 10
    while cpu(store) < begun + 0.3:
        assert time.monotonic() < deadline, "not busy"
        time.sleep(0.05)
    assert client.quiet(0.01), "it was over before the client went"
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a half-closed connection
    client.close()
    time.sleep(0.5)
    before = cpu(store)
    time.sleep(1)
    assert cpu(store) - before < 0.3
