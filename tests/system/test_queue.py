"""The queue: what waits and why, the commands, retries and expiry, whose turn it is."""
import json
import re
import time

import mail
import pytest
from test_dkim import rsa_key
from peers.dnszone import txt
from peers.opendkim import verify
from peers.smtpserver import Silence, Slow, greylist


def defer(world, **options):
    """A remote server that says "later" to every recipient."""
    return world.remote(script={"rcpt": "451 4.3.0 come again later"}, **options)


# ---- what is seen ----

def test_list_and_show(world):
    remote = defer(world)
    user = world.new_user()
    ident, _ = world.send(user, [remote.address("a"), remote.address("b")], subject="secret subject")
    row = world.wait_row(remote.address("a"), state="deferred", attempts="[1-9]")
    assert row["id"] == ident and row["sender"] == user and row["recipient"] == remote.address("a")
    assert row["code"] == 451 and "come again later" in row["error"], row
    text = world.queue("list").stdout
    assert ident in text and remote.address("a") in text and remote.address("b") in text
    shown = world.queue("show", ident).stdout
    assert ident in shown and "451 4.3.0" in shown and remote.address("b") in shown and f"mx.{remote.domain}" in shown, shown
    assert "secret subject" not in world.server.log()
    assert isinstance(json.loads(world.queue("show", ident, "--json").stdout), (dict, list))


def test_an_empty_queue(world):
    assert world.rows() == []
    assert world.queue("list", check=False).returncode in (0, 1)
    assert world.queue("retry", "--domain", "nobody.example", check=False).returncode == 1


def test_filters(world):
    one, two = defer(world), world.remote(script={"rcpt": "452 4.2.2 mailbox full"})
    first, second = world.new_user(), world.new_user()
    world.send(first, one.address("x"))
    world.send(second, [one.address("y"), two.address("z")])
    for address in (one.address("x"), one.address("y"), two.address("z")):
        world.wait_row(address, state="deferred")
    found = lambda *words: sorted(row["recipient"] for row in world.rows(*words))
    assert found("--sender", first) == [one.address("x")]
    assert found("--sender", "@example.test") == sorted([one.address("x"), one.address("y"), two.address("z")])
    assert found("--recipient", one.address("y")) == [one.address("y")]
    assert found("--domain", two.domain) == [two.address("z")]
    assert found("--recipient", f"@{one.domain}") == sorted([one.address("x"), one.address("y")])
    assert found("--reason", "mailbox full") == [two.address("z")]
    assert found("--state", "deferred", "--domain", one.domain, "--sender", second) == [one.address("y")]
    assert found("--older", "1h") == [] and len(found("--newer", "1h")) == 3
    assert len(found("--limit", "2")) == 2
    assert world.queue("list", "--state", "nonsense", check=False).returncode == 2


@pytest.mark.parametrize("verb", ["hold", "release", "retry", "bounce", "delete"])
def test_a_command_without_a_choice_does_nothing(world, verb):
    remote = defer(world)
    world.send(world.new_user(), remote.address())
    world.wait_row(remote.address(), state="deferred")
    assert world.queue(verb, check=False).returncode == 2
    assert world.row(remote.address())["state"] in ("deferred", "sending")


# ---- what can be done ----

def test_hold_and_release(world):
    remote = world.remote(script={"rcpt": ["451 4.3.0 later", None]})
    ident, _ = world.send(world.new_user(), remote.address())
    world.wait_row(remote.address(), state="deferred")
    world.queue("hold", ident)
    assert world.row(remote.address())["state"] == "held"
    time.sleep(2.5)
    assert not remote.kept and world.row(remote.address())["state"] == "held"
    world.queue("retry", ident, check=False)
    world.queue("flush", check=False)
    time.sleep(1)
    assert not remote.kept, "what is held is not tried"
    world.queue("release", ident)
    remote.wait_messages(1)
    world.wait_gone(remote.address())


def test_hold_all_before_it_is_sent(world):
    remote = world.remote(script={"mail": Slow(0.5)})
    for n in range(50):
        world.send(world.new_user(), remote.address(f"u{n}"))
    world.queue("hold", "--all")
    time.sleep(2.5)
    held = len(world.rows("--state", "held"))
    assert held + len(remote.kept) == 50 and held > 0
    remote.set_script({})
    world.queue("release", "--all")
    remote.wait_messages(50, timeout=40)


def test_retry(make_world):
    world = make_world(queue={"retry_first": "1h", "retry_max": "1h"}).start()
    remote = world.remote(script={"rcpt": ["451 4.3.0 later", "451 4.3.0 later", None]})
    ident, _ = world.send(world.new_user(), remote.address())
    world.wait_row(remote.address(), state="deferred")
    time.sleep(1)
    assert len(remote.sessions) >= 1 and not remote.kept
    world.queue("retry", ident)
    world.wait_row(remote.address(), state="deferred", attempts="2")
    world.queue("flush")
    remote.wait_messages(1)


def test_retry_finds_a_server_that_was_down(make_world):
    """A destination that could not be reached is tried at once when told so, whatever was learnt about it."""
    world = make_world(queue={"retry_first": "1h", "retry_max": "1h"}).start()
    remote = world.remote()
    remote.stop()
    world.send(world.new_user(), remote.address())
    world.wait_row(remote.address(), state="deferred")
    again = world.server_at(remote.host)
    world.queue("retry", "--all")
    again.wait_messages(1)


def test_bounce(world):
    remote = defer(world)
    user = world.new_user()
    ident, _ = world.send(user, [remote.address("a"), remote.address("b")])
    world.wait_row(remote.address("a"), state="deferred")
    world.queue("bounce", "--recipient", remote.address("a"))
    note = world.bounce(user)
    assert [block["Action"] for block in note.recipients] == ["failed"]
    about = note.of(remote.address("a"))
    assert about["Remote-MTA"].endswith(remote.domain) and re.match(r"smtp; 4\d\d 4\.", about["Diagnostic-Code"]), about
    assert world.row(remote.address("b"))["id"] == ident and world.row(remote.address("a")) is None


def test_delete(world):
    remote = defer(world)
    user = world.new_user()
    ident, _ = world.send(user, remote.address())
    world.wait_row(remote.address(), state="deferred")
    world.queue("delete", ident)
    assert world.rows() == []
    time.sleep(1)
    assert world.inbox(user) == []
    files = list((world.server.home / "data").rglob(f"*{ident}*"))
    assert not files, files


def held_for_a_key(make_world, scratch, name):
    """A world where no key of example.test can sign, with a message held for that; the world, its remote server, the id, the record."""
    folder = scratch / name
    folder.mkdir(exist_ok=True)
    record = rsa_key(folder / "key")
    (folder / "key").chmod(0o600)
    world = make_world(dkim=[{"domain": "example.test", "selector": "mail", "key_file": folder / "key"}], dkim_missing="hold",
                       zones={"example.test": "other TXT nothing\n"}).start()
    remote = world.remote()
    time.sleep(2)
    ident, _ = world.send(world.new_user(), remote.address())
    world.wait_row(remote.address(), state="held")
    return world, remote, ident, record


def test_held_for_a_key_and_released_when_it_signs(make_world, scratch):
    world, remote, ident, record = held_for_a_key(make_world, scratch, "released-signed")
    world.dns.zone("example.test", f"mail._domainkey TXT {txt(record)}\n")
    world.dns.reload("example.test")
    world.server.stop()
    world.server.start()
    time.sleep(1.5)
    world.queue("release", ident)
    got = remote.wait_messages(1)[0]
    found = verify(world.folder / "opendkim", got.data, {"mail._domainkey.example.test": record})
    assert [result for result, *_ in found] == ["pass"], found


def test_held_for_a_key_and_released_all_the_same(make_world, scratch):
    world, remote, ident, _ = held_for_a_key(make_world, scratch, "released-unsigned")
    world.server.stop()
    world.server.start()
    time.sleep(1.5)
    mark = world.server.mark()
    world.queue("release", ident)
    assert remote.wait_messages(1)[0].header("DKIM-Signature") is None
    assert any("queue.dkim" in line and "sent unsigned" in line for line in world.server.since(mark)), world.server.since(mark)


# ---- time ----

def test_waits_grow(make_world):
    world = make_world(queue={"retry_first": "400ms", "retry_max": "20s"}).start()
    remote = defer(world)
    world.send(world.new_user(), remote.address())
    remote.wait(lambda: sum(command.startswith("RCPT") for session in remote.sessions for command in session.commands) >= 4, 30, "four attempts")
    world.wait_row(remote.address(), attempts="[4-9]")
    # connections are kept: count attempts over time instead of connections
    count = lambda: sum(command.startswith("RCPT") for session in remote.sessions for command in session.commands)
    before = count()
    time.sleep(3)
    assert count() - before <= 2


def test_greylisting(world):
    remote = world.remote(script={"rcpt": greylist(1.0)})
    world.send(world.new_user(), [remote.address(f"u{n}") for n in range(3)])
    remote.wait(lambda: sum(len(message.to) for message in remote.kept) == 3, what="three recipients")


def test_expiry(make_world):
    world = make_world(queue={"retry_first": "300ms", "retry_max": "1s", "expire": "3s", "warn": "0"}).start()
    remote = defer(world)
    user = world.new_user()
    world.send(user, remote.address())
    note = world.bounce(user)
    entry = note.of(remote.address())
    assert entry["Action"] == "failed" and entry["Status"].startswith(("4.", "5.")), entry
    assert "451 4.3.0 come again later" in entry["Diagnostic-Code"]
    world.wait_gone(remote.address())


def test_a_delay_is_told_once(make_world):
    world = make_world(queue={"retry_first": "300ms", "retry_max": "1s", "warn": "1s"}).start()
    remote = defer(world)
    user = world.new_user()
    world.send(user, remote.address())
    note = world.bounce(user)
    entry = note.of(remote.address())
    assert entry["Action"] == "delayed" and entry["Status"].startswith("4."), entry
    assert entry["Will-Retry-Until"]
    time.sleep(3)
    assert len(world.inbox(user)) == 1
    assert world.row(remote.address())


def test_the_queue_outlives_a_restart(world):
    remote = defer(world)
    idents = {world.send(world.new_user(), remote.address(f"u{n}"))[0] for n in range(5)}
    for n in range(5):
        world.wait_row(remote.address(f"u{n}"), state="deferred")
    world.server.stop()
    world.server.start()
    assert {row["id"] for row in world.rows()} == idents
    remote.set_script({})
    remote.wait_messages(5, timeout=30)


def test_the_queue_outlives_kills_of_its_roles(world):
    remote = defer(world)
    for n in range(5):
        world.send(world.new_user(), remote.address(f"u{n}"))
    for role in ("relay", "queue", "relay"):
        world.kill_role(role)
    remote.set_script({})
    remote.wait_messages(5, timeout=60)


# ---- whose turn it is ----

def test_one_slow_destination_delays_no_other(world):
    slow, quick = world.remote(script={"connect": Silence()}), world.remote()
    for n in range(100):
        world.send(world.new_user(), slow.address(f"u{n}"))
    begun = time.monotonic()
    world.send(world.new_user(), quick.address())
    quick.wait_messages(1)
    assert time.monotonic() - begun < 1.5


def test_a_flood_does_not_delay_a_letter(make_world):
    """Two connections to a destination that takes 50 ms for each message; 200 messages of one sender, then one of another."""
    world = make_world(queue={"per_destination": 2}).start()
    remote = world.remote(script={"body": Slow(0.05)})
    flood, letter = world.new_user(), world.new_user()
    with world.submission(flood) as client:
        for n in range(200):
            assert client.deliver(flood, [remote.address(f"u{n}")], mail.plain(sender=flood, Precedence="bulk")).code == 250
    _, word = world.send(letter, remote.address("single"))
    begun = time.monotonic()
    remote.wait(lambda: remote.seen(word), what="the letter")
    assert time.monotonic() - begun < 2 and len(remote.kept) < 200, len(remote.kept)


def test_not_more_connections_than_allowed(make_world):
    world = make_world(queue={"per_destination": 3}).start()
    remote = world.remote(script={"body": Slow(0.1)})
    for n in range(40):
        world.send(world.new_user(), remote.address(f"u{n}"))
    most = 0
    while len(remote.kept) < 40:
        most = max(most, sum(session.ended is None for session in list(remote.sessions)))
        time.sleep(0.01)
    assert 1 <= most <= 3, most


def test_a_busy_destination_gets_fewer_connections(make_world):
    """421 beyond two connections: all arrives all the same, and the server is not stormed."""
    world = make_world(queue={"retry_first": "300ms", "retry_max": "1s"}).start()
    def connect(session, _):
        return "421 4.7.0 too many connections" if sum(one.ended is None for one in session.server.sessions) > 2 else None
    remote = world.remote(script={"connect": connect, "body": Slow(0.02)})
    for n in range(40):
        world.send(world.new_user(), remote.address(f"u{n}"))
    remote.wait_messages(40, timeout=60)
    refused = sum(not session.commands for session in remote.sessions)
    assert refused <= 40, refused


# ---- numbers ----

def test_metrics(world):
    remote, late = world.remote(), defer(world)
    for n in range(3):
        world.send(world.new_user(), remote.address(f"u{n}"))
    world.send(world.new_user(), late.address())
    remote.wait_messages(3)
    world.wait_row(late.address(), state="deferred")
    deadline = time.monotonic() + 10
    while not (metrics := world.server.metrics()).get('rockdove_queue_recipients{state="waiting"}'):
        assert time.monotonic() < deadline, {name: value for name, value in metrics.items() if "queue" in name or "relay" in name}
        time.sleep(0.2)
    text = world.server.get("/metrics")[1]
    for wanted in ("queue_oldest_seconds", "queue_outcomes_total", "queue_stage_seconds", "relay_connections_total"):
        assert f"rockdove_{wanted}" in text, wanted
