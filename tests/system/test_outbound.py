"""Servers elsewhere that do what they should not. Whatever they do: the mail is kept, arrives when they behave again, arrives
once, and nobody else's mail waits for it."""
import os
import re
import signal
import time

import mail
import pytest
from peers.smtpserver import Drip, Drop, Endless, Raw, Silence, Slow

WORLD = {"timeouts": {"connect": "1s", "greeting": "1s", "command": "1s", "data": "1s", "end_of_data": "1s"},
         "queue": {"retry_first": "300ms", "retry_max": "1s"}}
STAGES = ("connect", "ehlo", "mail", "rcpt", "data", "body")
CASES = {f"{name} at {stage}": {stage: what} for stage in STAGES for name, what in {
    "drop": Drop(), "reset": Drop(reset=True), "silence": Silence(), "4xx": "451 4.3.0 not now", "421": "421 4.3.2 going down",
    "bare LF": Raw(b"250 fine\n"), "NUL": Raw(b"250 fi\0ne\r\n"), "no code": Raw(b"fine\r\n"), "code of two digits": Raw(b"25 fine\r\n"),
    "code 999": "999 what", "wrong class": "350 odd" if stage != "data" else "250 odd", "mixed codes": Raw(b"250-a\r\n451 b\r\n"),
    "endless": Endless(b"250-more and more\r\n"), "endless line": Endless(b"x" * 4096), "drip": Drip(0.5, "250 slowly, slowly"),
    "half a line": Slow(0, Raw(b"25")), "control bytes": Raw(b"250 \x1b[2J\x07\r\n"), "many lines": Raw(b"250-x\r\n" * 100000 + b"250 x\r\n"),
}.items() if not (name in ("drip", "reset") and stage in ("rcpt", "mail"))}
@pytest.mark.parametrize("name", CASES)
def test_a_server_that_misbehaves_once(world, name):
    """Bad once, good from then on: the message arrives. It may arrive twice only where the server took it and said so in a way
    nobody can read: then the whole of it may have been sent before its answers came (RFC 3030 4.2)."""
    stage, what = next(iter(CASES[name].items()))
    remote, quick = world.remote(script={stage: [what, None]}), world.remote()
    _, word = world.send(world.new_user(), remote.address())
    world.send(world.new_user(), quick.address())
    quick.wait_messages(1)
    remote.wait(lambda: remote.seen(word), 30, "the message")
    world.wait_gone(remote.address())
    time.sleep(0.2)
    took_it = stage == "body" or isinstance(what, (Raw, Slow)) or name.startswith("wrong class")
    assert remote.seen(word) <= (2 if took_it else 1)
    assert not remote.trouble, remote.trouble


def test_nothing_of_it_ended_a_role(world):
    assert not re.search(r"(ended|died|killed|restart).*(signal|status)", world.server.log()), world.server.log()[-3000:]


@pytest.mark.parametrize("stage,code", [("mail", "550 5.7.1 no"), ("rcpt", "550 5.1.1 no"), ("data", "554 5.6.0 no"), ("body", "554 5.7.1 no")])
def test_a_final_no(world, stage, code):
    remote = world.remote(script={stage: code})
    user = world.new_user()
    world.send(user, remote.address())
    assert world.bounce(user).of(remote.address())["Action"] == "failed"
    attempts = len([line for session in remote.sessions for line in session.commands if line.startswith("MAIL")])
    assert attempts == 1


def test_a_tarpit(world):
    """Every answer in time, but never an end: given up, and tried again later."""
    slow = {stage: Slow(0.8) for stage in ("connect", "ehlo", "mail", "rcpt", "data", "body")}
    remote, quick = world.remote(script=slow), world.remote()
    for n in range(5):
        world.send(world.new_user(), remote.address(f"u{n}"))
    world.send(world.new_user(), quick.address())
    quick.wait_messages(1, timeout=5)
    remote.wait(lambda: len(remote.kept) == 5, 60, "five messages through the tarpit")


def test_a_client_that_is_not_listened_to(world):
    """A server that stops reading in the middle of a large message."""
    def stop(session, _):
        session.sock.settimeout(30)
        session.reply("354 go on")
        session.server.stopping.wait(5)
        return Drop()
    remote = world.remote(script=[{"data": stop, "chunk": lambda session, _: session.server.stopping.wait(5) or Drop()}, {}])
    user = world.new_user()
    _, word = world.send(user, remote.address(), mail.plain(sender=user, body="".join(f"{n:09d} {'z' * 80}\r\n" for n in range(60000))))
    remote.wait(lambda: len(remote.kept) == 1, 40, "the message")


def test_pipelined_answers_come_in_pieces(world):
    """All answers to a pipelined envelope at once, cut at odd places."""
    def body(session, _):
        for piece in (b"2", b"50 2.", b"0.0 ok\r", b"\n"):
            session.send(piece)
            time.sleep(0.1)
        return Raw(b"")
    remote = world.remote(script={"body": body})
    world.send(world.new_user(), remote.address())
    world.wait_gone(remote.address())
    assert len(remote.offered) == 1


def test_an_answer_nobody_asked_for(world):
    """MAIL, RCPT and the text came in one piece; the server answers five times before it has read more than MAIL, and reads no
    more. The third 250 is no answer to the text."""
    def blurt(session, _):
        session.send(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n")
        return Silence()
    remote = world.remote(script=[{"mail": blurt}, {}])
    _, word = world.send(world.new_user(), remote.address())
    remote.wait(lambda: remote.seen(word), 20, "the message")
    world.wait_gone(remote.address())
    assert remote.seen(word) == 1


def test_extensions_that_lie(world):
    remote = world.remote(extensions=["PIPELINING", "SIZE 99999999999999999999999", "AUTH", "AUTH=" + "x" * 400, "LIMITS RCPTMAX=-1", "SIZE", "8BITMIME 1",
                                      *(f"X{n}" for n in range(50))])
    world.send(world.new_user(), remote.address())
    remote.wait_messages(1)


def test_many_bad_servers_and_one_good(world):
    good = world.remote()
    bad = [world.remote(script={"connect": Silence()}) for _ in range(8)]
    for n in range(8):
        for server in bad:
            world.send(world.new_user(), server.address(f"u{n}"))
    begun = time.monotonic()
    world.send(world.new_user(), good.address())
    good.wait_messages(1)
    assert time.monotonic() - begun < 2


# ---- the promise ----

def test_sent_once_when_the_relay_dies_behind_the_answer(world):
    """The window between the other side's 250 and our record of it: at most one duplicate."""
    remote = world.remote()
    def die(session, _):
        os.kill(world.server.roles()["relay"], signal.SIGKILL)
    remote.set_script([{"body": die}, {}])
    _, word = world.send(world.new_user(), remote.address())
    remote.wait(lambda: remote.seen(word) >= 1, 30, "the message")
    world.wait_gone(remote.address(), timeout=60)
    assert 1 <= remote.seen(word) <= 2


def test_a_drain_waits_for_what_is_under_way(make_world):
    world = make_world().start()
    remote = world.remote(script={"body": Slow(1)})
    _, word = world.send(world.new_user(), remote.address())
    remote.wait(lambda: remote.offered, 10, "the message under way")
    world.server.stop()
    assert remote.seen(word) == 1 or len(remote.offered) == 1
    world.server.start()
    remote.set_script({})
    world.wait_gone(remote.address())
    time.sleep(0.5)
    assert remote.seen(word) == 1, "an orderly stop sends nothing twice"


def test_a_reload_disturbs_nothing(world):
    remote = world.remote(script={"body": Slow(0.3)})
    for n in range(10):
        world.send(world.new_user(), remote.address(f"u{n}"))
        if n % 3 == 0:
            world.server.process.send_signal(signal.SIGHUP)
    remote.wait_messages(10, timeout=40)
