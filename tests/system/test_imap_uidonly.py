"""Which messages a command looks at and how they are named: UIDONLY (RFC 9586), PARTIAL of FETCH (RFC 9394), MESSAGELIMIT
(RFC 9738)."""
import pytest
from test_imap_basics import put


@pytest.fixture
def ten(imap, user):
    """A session with ten messages, UIDs 2 to 11."""
    client = imap(user)
    put(client, 1, flags="\\Deleted")
    client.ok("SELECT INBOX")
    client.ok("EXPUNGE")
    put(client, 10)
    client.ok("NOOP")
    return client


def uids(answer, word=rb"FETCH"):
    return [int(m[1]) for m in answer.all(rb"^\* \d+ " + word + rb" \(UID (\d+)")]


# ---- UIDONLY ----

@pytest.fixture
def uidonly(imap, user, ten):
    client = imap(user)
    assert client.ok("ENABLE UIDONLY").find(rb"^\* ENABLED UIDONLY$")
    answer = client.ok("SELECT INBOX")
    assert answer.find(rb"^\* 10 EXISTS") and not answer.find(rb"UNSEEN")
    return client


def test_uidonly_refuses_numbers(uidonly):
    for command in ("FETCH 1 FLAGS", "FETCH * FLAGS", "STORE 1 +FLAGS \\Seen", "COPY 1 Trash", "MOVE 1 Trash", "SEARCH ALL",
                    "SORT (DATE) UTF-8 ALL",
                    "THREAD REFS UTF-8 ALL", "REPLACE 1 INBOX {3+}\r\nabc", "UID SEARCH 1:3", "UID SEARCH OR 1:* SEEN", "UID SEARCH NOT (FLAGGED 2)"):
        answer = uidonly.cmd(command)
        assert answer.status == "BAD" and answer.text.startswith("[UIDREQUIRED]"), (command, answer)
    uidonly.ok("ENABLE QRESYNC")
    answer = uidonly.cmd("SELECT INBOX (QRESYNC (1 1 1:5 (1,2 1,2)))")
    assert answer.status == "BAD" and answer.text.startswith("[UIDREQUIRED]")


def test_uidonly_answers(uidonly):
    assert uidonly.ok("UID FETCH 4 FLAGS").untagged == [b"* 4 UIDFETCH (FLAGS ())"]
    assert uidonly.ok("UID FETCH 4 (UID FLAGS)").untagged == [b"* 4 UIDFETCH (UID 4 FLAGS ())"]
    assert uidonly.ok("UID FETCH 5 BODY.PEEK[TEXT]").untagged == [b"* 5 UIDFETCH (BODY[TEXT] {6}\r\ntext\r\n)"]
    assert uidonly.ok("UID STORE 4:5 +FLAGS (\\Flagged)").untagged == [b"* 4 UIDFETCH (FLAGS (\\Flagged))",
                                                                      b"* 5 UIDFETCH (FLAGS (\\Flagged))"]
    assert uidonly.ok("UID SEARCH FLAGGED").find(rb"^\* SEARCH 4 5$")
    assert uidonly.ok("UID SEARCH RETURN (MIN COUNT) ALL").find(rb"UID MIN 2 COUNT 10$")
    answer = uidonly.ok("UID MOVE 4 Trash")
    assert answer.find(rb"^\* OK \[COPYUID \d+ 4 1\]") and answer.find(rb"^\* VANISHED 4$") and not answer.find(rb"EXPUNGE")
    uidonly.ok("ENABLE CONDSTORE")
    assert uidonly.ok("UID STORE 6 +FLAGS.SILENT (\\Seen)").find(rb"^\* 6 UIDFETCH \(MODSEQ \(\d+\)\)$")


def test_uidonly_news(uidonly, ten):
    ten.ok("STORE 3 +FLAGS (\\Deleted)")  # UID 4
    assert uidonly.ok("NOOP").untagged == [b"* 4 UIDFETCH (FLAGS (\\Deleted))"]
    ten.ok("EXPUNGE")
    put(ten, 1)
    assert uidonly.ok("NOOP").untagged[:2] == [b"* VANISHED 4", b"* 10 EXISTS"]
    assert uidonly.ok("UID FETCH * UID").untagged == [b"* 12 UIDFETCH (UID 12)"]


# ---- PARTIAL ----

def test_partial_fetch(ten):
    for partial, wanted in (("1:3", [2, 3, 4]), ("3:1", [2, 3, 4]), ("-1:-3", [9, 10, 11]), ("-3:-1", [9, 10, 11]),
                            ("9:20", [10, 11]), ("-9:-20", [2, 3]), ("11:20", []), ("-11:-20", []), ("10:10", [11])):
        assert uids(ten.ok(f"UID FETCH 1:* (UID) (PARTIAL {partial})")) == wanted, partial
    assert uids(ten.ok("UID FETCH 3,5:7,11:* (UID) (PARTIAL 2:3)")) == [5, 6]
    assert uids(ten.ok("UID FETCH 3,5:7,11 (UID) (PARTIAL -1:-2)")) == [7, 11]
    for wrong in ("0:1", "1:-2", "-1:2", "1", "1:*", "*:1", ""):
        assert ten.cmd(f"UID FETCH 1:* (UID) (PARTIAL {wrong})").status == "BAD", wrong


def test_partial_comes_before_changedsince(ten):
    modseq = int(ten.ok("STATUS INBOX (HIGHESTMODSEQ)").find(rb"HIGHESTMODSEQ (\d+)")[1])
    ten.ok("UID STORE 3,10 +FLAGS (\\Seen)")
    for modifiers in (f"PARTIAL -1:-3 CHANGEDSINCE {modseq}", f"CHANGEDSINCE {modseq} PARTIAL -1:-3"):
        assert uids(ten.ok(f"UID FETCH 1:* (FLAGS) ({modifiers})")) == [10]


# ---- MESSAGELIMIT ----

@pytest.fixture
def limited(make_server, user):
    from wire import Imap
    server = make_server(listeners=["imap"], imap={"message_limit": 4}).start()
    client = Imap(server.ports["imap"])
    assert "MESSAGELIMIT=4" in client.login(user.address, user.password).text.split("]")[0].split()
    client.ok("CREATE Work")
    put(client, 9)
    client.ok("SELECT INBOX")
    yield client
    client.close()


def test_message_limit(limited):
    answer = limited.ok("FETCH 1:* UID")
    assert uids(answer) == [6, 7, 8, 9] and answer.text.startswith("[MESSAGELIMIT 4 6] ")
    answer = limited.ok("UID FETCH 1:5 UID")
    assert uids(answer) == [2, 3, 4, 5] and answer.text.startswith("[MESSAGELIMIT 4 2] ")
    answer = limited.ok("UID FETCH 1,3,5,7 UID")
    assert uids(answer) == [1, 3, 5, 7] and answer.text == "Fetch completed"
    assert uids(limited.ok("UID FETCH 1:* UID (PARTIAL 1:4)")) == [1, 2, 3, 4]
    assert limited.cmd("UID FETCH 1:* UID (PARTIAL 1:5)").text.startswith("[MESSAGELIMIT 4]")
    answer = limited.cmd("COPY 1:5 Work")
    assert answer.status == "NO" and answer.text.startswith("[MESSAGELIMIT 4]")
    assert limited.ok("COPY 1:4 Work").text.startswith("[COPYUID")
    answer = limited.ok("STORE 1:* +FLAGS.SILENT (\\Flagged)")
    assert answer.text.startswith("[MESSAGELIMIT 4 6] ")
    answer = limited.ok("UID SEARCH ALL")
    assert answer.find(rb"^\* SEARCH 6 7 8 9$") and answer.text.startswith("[MESSAGELIMIT 4 6] ")
    answer = limited.ok("UID SEARCH UIDBEFORE 6 ALL")
    assert answer.find(rb"^\* SEARCH 2 3 4 5$") and answer.text.startswith("[MESSAGELIMIT 4 2] ")
    answer = limited.ok("UID SEARCH UIDBEFORE 6 UIDAFTER 2")
    assert answer.find(rb"^\* SEARCH 3 4 5$") and not answer.text.startswith("[")
    assert limited.cmd("UID SEARCH UIDAFTER 0").status == limited.cmd("UID SEARCH UIDBEFORE 1:2").status == "BAD"
    assert limited.cmd("SORT (ARRIVAL) UTF-8 ALL").text.startswith("[MESSAGELIMIT 4]"), "all or nothing"
    assert limited.ok("SORT (ARRIVAL) UTF-8 2:5").find(rb"^\* SORT 2 3 4 5$")
    answer = limited.ok("SEARCH 1:3 FLAGGED")
    assert answer.find(rb"^\* SEARCH$") and not answer.text.startswith("["), "three messages were looked at"


def test_message_limit_expunge_and_move(limited):
    for low, high in ((1, 4), (5, 8)):
        limited.ok(f"UID STORE {low}:{high} +FLAGS.SILENT (\\Deleted)")
    answer = limited.ok("UID EXPUNGE 1:9")
    assert len(answer.all(rb"EXPUNGE$")) == 4 and answer.text.startswith("[MESSAGELIMIT 4 5] ")
    answer = limited.ok("UID EXPUNGE 1:9")
    assert len(answer.all(rb"EXPUNGE$")) == 4 and answer.text == "Expunge completed"
    put(limited, 5)
    limited.ok("ENABLE CONDSTORE")
    answer = limited.ok("UID MOVE 1:* Work")
    assert answer.find(rb"COPYUID \d+ 11:14 ") and len(answer.all(rb"EXPUNGE$")) == 4
    assert answer.text.startswith("[MESSAGELIMIT 4 11] ")
    answer = limited.ok("UID STORE 1:* +FLAGS (\\Seen)")
    assert answer.text == "Store completed"


def test_without_a_limit_nothing_is_said_of_it(ten):
    assert not ten.ok("CAPABILITY").find(rb"MESSAGELIMIT")
    assert uids(ten.ok("UID FETCH 1:* UID")) == list(range(2, 12))
