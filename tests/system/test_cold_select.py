"""An account that was closed in good order opens from the copy of its mailbox's state, and whatever happened to that copy
or to the mark of the clean end meanwhile, clients see what the index says."""
import shutil
import time

import mail
import pytest
from wire import Imap

USER, PASSWORD = "t7@example.test", "pw-7"
MESSAGES = 1400


@pytest.fixture(scope="module")
def made(scratch, certs):
    from conftest import ACCOUNTS
    from rockdove import Server
    server = Server(scratch / "cold", certs, ACCOUNTS, listeners=["mx", "imap"]).start()
    with session(server) as client:
        for number in range(5):
            assert client.append("INBOX", mail.plain(subject=f"number {number}")).status == "OK"
        client.ok("SELECT INBOX")
        count = 5
        while count < MESSAGES:
            more = min(count, MESSAGES - count)
            client.ok(f"COPY 1:{more} INBOX")
            count += more
    server.stop()
    yield server
    server.kill()


def session(server):
    client = Imap(server.ports["imap"])
    assert client.login(USER, PASSWORD).status == "OK"
    return client


def seen(server):
    """Without \\Recent, which a kill may bring back."""
    with session(server) as client:
        client.ok("EXAMINE INBOX")
        lines = client.ok("FETCH 1:* (UID FLAGS RFC822.SIZE)").untagged
        return sorted(line.replace(rb"\Recent", b"").replace(b" )", b")").replace(b"( ", b"(") for line in lines)


def folder(server):
    return server.home / "data" / "store" / "accounts" / USER


def state(server):
    return folder(server) / "state" / "1"


def asleep(server):
    return folder(server) / "asleep"


def marks(server):
    return list(folder(server).glob("msg/*/closed.*"))


def flag(server, uids, flags):
    with session(server) as client:
        client.ok("SELECT INBOX")
        client.ok(f"UID STORE {uids} FLAGS.SILENT ({flags})")


def closed(server):
    """As it is after a stop in which it had been opened."""
    if server.process is None:
        server.start()
    shown = seen(server)
    server.stop()
    assert server.command("store", "verify").returncode == 0
    server.start()  # verify opens every index, so the account has to fall asleep once more
    assert seen(server) == shown
    server.stop()
    assert state(server).exists() and asleep(server).exists() and len(marks(server)) == 1
    return shown


def test_opens_from_the_copy(made):
    before = closed(made)
    size = state(made).stat().st_size
    made.start()
    assert seen(made) == before
    made.stop()
    assert state(made).stat().st_size == size
    assert len(before) == MESSAGES


@pytest.mark.parametrize("damage", ["gone", "cut", "emptied", "changed", "folder gone", "mark gone", "asleep gone", "asleep cut",
                                    "asleep changed"])
def test_damaged(made, damage):
    before = closed(made)
    file = state(made)
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[:-100])
    elif damage == "emptied":
        file.write_bytes(b"")
    elif damage == "changed":
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
    elif damage == "folder gone":
        shutil.rmtree(file.parent)
    elif damage == "mark gone":
        marks(made)[0].unlink()
    elif damage == "asleep gone":
        asleep(made).unlink()
    else:
        content = bytearray(asleep(made).read_bytes())
        content[len(content) // 2] ^= 4
        asleep(made).write_bytes(content[:-9] if damage == "asleep cut" else content)
    made.start()
    assert seen(made) == before
    flag(made, "5:9", damage.replace(" ", "-"))
    after = seen(made)
    assert after != before and closed(made) == after


def test_the_index_is_opened_when_it_is_needed(made):
    """LIST and STATUS do without; SELECT is answered and then it is opened."""
    before = closed(made)
    made.start()
    log = folder(made) / "index.db-wal"
    with session(made) as client:
        listed = client.ok('LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))').untagged
        assert f"MESSAGES {MESSAGES}".encode() in b"".join(listed)
        client.ok("STATUS INBOX (UIDNEXT SIZE)")
        client.ok("GETQUOTAROOT INBOX")
        assert asleep(made).exists() and not log.exists()
        client.ok("EXAMINE INBOX")
        client.ok("FETCH 1 ENVELOPE")
        assert log.exists() and not asleep(made).exists()
    assert seen(made) == before
    made.stop()
    assert asleep(made).exists()


def test_recent_is_taken_once(made):
    """By a SELECT without the index too."""
    closed(made)
    made.start()
    with session(made) as client:
        client.append("INBOX", mail.plain(subject="recent"))
    made.stop()
    for expected in (b"* 1 RECENT", b"* 0 RECENT"):
        made.start()
        with session(made) as client:
            assert expected in client.ok("SELECT INBOX").untagged
        made.stop()
    made.start()
    with session(made) as client:
        client.ok("SELECT INBOX")
        client.ok("STORE * +FLAGS (\\Deleted)")
        client.ok("EXPUNGE")
    made.stop()


def test_killed_again_and_again(made):
    closed(made)
    for number in range(4):
        made.start()
        flag(made, f"{10 + number * 300}:{15 + number * 300}", r"\Flagged" if number % 2 else r"\Draft")
        with session(made) as client:
            client.append("INBOX", mail.plain(subject=f"before kill {number}"))
        now = seen(made)
        made.kill()
        if number % 2:
            made.start()
            assert seen(made) == now
            made.stop()
        made.start()
        assert seen(made) == now
        made.kill()
    made.start()
    deadline = time.monotonic() + 5  # what the kill left goes when the account is opened
    empty = lambda: [path for path in folder(made).glob("msg/*/*.eml") if not path.stat().st_size]  # noqa: E731
    seen(made)
    while empty() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not empty()
    closed(made)


def test_an_older_index(made):
    before = closed(made)
    index, aside = folder(made) / "index.db", made.home / "older.db"
    shutil.copy2(index, aside)
    made.start()
    flag(made, "100:1300", r"\Seen \Answered")
    after = closed(made)
    newer = made.home / "newer.db"
    shutil.copy2(index, newer)
    shutil.copyfile(aside, index)  # owner and mode stay
    made.start()
    assert seen(made) == before != after
    flag(made, "1:20", r"\Deleted")
    changed = closed(made)
    made.start()
    assert seen(made) == changed
    made.stop()
    shutil.copyfile(newer, index)
    made.start()
    assert seen(made) == after
    made.stop()


def test_rebuild(made):
    before = closed(made)
    made.command("store", "rebuild", USER)
    assert not marks(made) and not state(made).exists()
    made.start()
    assert seen(made) == before
    closed(made)
