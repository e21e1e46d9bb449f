"""The full-text index in the running server: made in the background, the same answers, made again by command."""
import time

MESSAGES = 1024 + 256 + 20  # a whole block and what must lie behind it


def fill(client):
    number = 0
    while number < MESSAGES:
        parts = []
        for _ in range(50):
            text = (f"From: Person {number % 7} <p{number % 7}@example.org>\r\nSubject: note {number}\r\n\r\n"
                    f"Gr\u00fc\u00dfe number {number} {'zebra' if number % 100 == 3 else 'horse'}\r\n").encode()
            parts.append(b" {%d+}\r\n%s" % (len(text), text))
            number += 1
        client.ok(b"APPEND INBOX" + b"".join(parts))


def found(client, keys):
    return client.ok(f"SEARCH {keys}").find(rb"SEARCH(.*)")[1].split()


KEYS = ("TEXT zebra", "BODY zebra", "FROM p3@example.org", "SUBJECT \"note 777\"", "TEXT nowhere", "NOT BODY horse",
        "OR BODY zebra SUBJECT \"note 42\"", "TEXT ze", "HEADER X-None x")


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.2)


def test_background(server, imap, user):
    client = imap(user)
    fill(client)
    client.ok("SELECT INBOX")
    before = [found(client, keys) for keys in KEYS]
    assert len(before[0]) == 13 and len(before[2]) > 100 and len(before[3]) == 1 and not before[4]
    index = server.home / "data" / "store" / "accounts" / user.address / "search.db"
    wait_for(lambda: index.exists() and index.stat().st_size > 100_000 and not index.with_name("search.db-wal").exists())
    assert [found(client, keys) for keys in KEYS] == before
    client.ok("STORE 1:300 +FLAGS.SILENT (\\Deleted)")
    client.ok("EXPUNGE")
    assert len(found(client, "TEXT zebra")) == 10


def test_command_makes_it_anew(server, imap, user):
    client = imap(user)
    fill(client)
    client.ok("LOGOUT")
    server.stop()
    index = server.home / "data" / "store" / "accounts" / user.address / "search.db"
    index.write_bytes(b"no database" * 1000)
    assert "1152 messages" in server.command("store", "index", user.address).stdout
    assert index.stat().st_size > 100_000
    server.start()
    client = imap(user)
    client.ok("SELECT INBOX")
    assert len(found(client, "TEXT zebra")) == 13 and not found(client, "TEXT nowhere")
