"""Rewritten senders: postsrsd takes ours back, and we take its back, with the same secret file."""
import re
import time

import mail
import pytest
from peers.srsd import Srsd
from rockdove import free_port
from wire import Smtp

SECRETS = ["a secret with blanks", "the one before"]
SENDERS = ["user@far.example", "UPPER.case@Far.Example", "with+plus@far.example", "with=equal@far.example", "a-b_c.d@sub.domain.far.example",
           "SRS0x@far.example", "SRS=a=b@far.example", "a.very.long.local.part.with.many.more.than.sixty-four.octets.in.all@far.example",
           "SRS0=AbCd=EF=third.example=orig@other.example", "SRS1=XyZ1=fourth.example==AbCd=EF=third.example=orig@other.example",
           "SRS0-AbCd=EF=third.example=orig@other.example", "srs0+AbCd=EF=third.example=orig@other.example",
           "SRS1+XyZ1=fourth.example=-AbCd=EF=third.example=orig@other.example"]


def WORLD(certs, folder):
    (folder / "srs").write_text("".join(f"{secret}\n" for secret in SECRETS))
    (folder / "srs").chmod(0o600)
    return {"aliases": "away@example.test a@r1.test\n", "domains": [{"name": "example.test"}, {"name": "other.test"}],
            "srs": {"domain": "example.test", "secret_file": folder / "srs"}}


@pytest.fixture(scope="module")
def srsd(module_world):
    one = Srsd(module_world.folder / "srsd", "example.test", SECRETS, free_port(), free_port()).start()
    yield one
    one.stop()


@pytest.fixture
def remote(world):
    return world.remote(number=1)


def forwarded_sender(world, remote, sender):
    reply = world.receive("away@example.test", mail.plain(to="away@example.test"), sender=sender)
    assert reply.code == 250, reply
    return remote.wait_messages(1)[0].sender


@pytest.mark.parametrize("sender", SENDERS)
def test_postsrsd_takes_ours_back(world, remote, srsd, sender):
    ours = forwarded_sender(world, remote, sender)
    code, back = srsd.reverse(ours)
    assert code == 200, (ours, back)
    if "AbCd" in sender:
        assert re.match(r"SRS0[-+=]AbCd=EF=third\.example=orig@(other|fourth)\.example", back), back
    else:
        assert back.lower() == sender.lower()
    assert ours.lower() == srsd.forward(sender)[1].lower()


@pytest.mark.parametrize("sender", [sender for sender in SENDERS if not sender.startswith("SRS1")])
def test_we_take_postsrsds_back(world, remote, srsd, sender):
    theirs = srsd.forward(sender)[1]
    wanted = srsd.reverse(theirs)[1]
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        client.cmd("MAIL FROM:<>")
        reply = client.cmd(f"RCPT TO:<{theirs}>")
        assert reply.code == 250, (theirs, reply)
        lowered = theirs.lower()
        assert client.cmd(f"RCPT TO:<{lowered}>").code == 250, "a local part in lower case is taken too"
        client.cmd("RSET")
    assert wanted.partition("@")[2].lower() in sender.lower() or "AbCd" in sender


def test_an_address_made_with_the_old_secret(world, srsd):
    old = Srsd(world.folder / f"old{time.monotonic_ns()}", "example.test", SECRETS[1:], free_port(), free_port()).start()
    try:
        theirs = old.forward("user@far.example")[1]
    finally:
        old.stop()
    unknown = Srsd(world.folder / f"unknown{time.monotonic_ns()}", "example.test", ["never ours"], free_port(), free_port()).start()
    try:
        forged = unknown.forward("user@far.example")[1]
    finally:
        unknown.stop()
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        client.cmd("MAIL FROM:<>")
        assert client.cmd(f"RCPT TO:<{theirs}>").code == 250
        assert client.cmd(f"RCPT TO:<{forged}>").code == 550


def test_our_own_senders_are_not_rewritten(world, remote):
    user = world.new_user()
    world.send(user, "away@example.test")
    assert remote.wait_messages(1)[0].sender == user


def test_a_new_secret(make_world, srsd):
    """Rotation: put in front, the new one signs and the old one still verifies."""
    world = make_world(aliases="away@example.test a@r1.test\n")
    file = world.folder / "srs"
    file.write_text(SECRETS[1] + "\n")
    world.options["srs"] = {"domain": "example.test", "secret_file": file}
    world.start()
    remote = world.remote(number=1)
    first = forwarded_sender(world, remote, "user@far.example")
    file.write_text("brand new\n" + SECRETS[1] + "\n")
    world.server.command("reload", check=False)
    time.sleep(1)
    assert world.receive("away@example.test", mail.plain(), sender="user@far.example").code == 250
    second = remote.wait_messages(2)[1].sender
    assert first != second
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        client.cmd("MAIL FROM:<>")
        for address in (first, second):
            assert client.cmd(f"RCPT TO:<{address}>").code == 250
