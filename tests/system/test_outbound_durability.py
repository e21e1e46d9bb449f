"""Mail that leaves is never lost and at most once doubled: kills while it is submitted, routed and sent; clocks that are set; a disk
that is full."""
import os
import random
import re
import signal
import struct
import subprocess
import time
from pathlib import Path

import peers
import pytest
from outbound_ledger import Ledger, Load, kills, settle
from peers.smtpserver import Slow
from rockdove import BINARY, TOP
from wire import Smtp

SEED = int(os.environ.get("ROCKDOVE_SEED", time.time()))
FAULTS = Path(os.environ.get("ROCKDOVE_FAULTS", TOP / "build-faults" / "rockdove"))  # built with -Dio_faults=true
ROUNDS = 10
QUEUE = {"retry_first": "200ms", "retry_max": "1s"}
DAY = 86400
WORLD = {"queue": QUEUE}

with_faults = pytest.mark.skipif(not FAULTS.exists(), reason=f"{FAULTS} is not built")


def test_kills(make_world):
    print(f"seed {SEED}")
    world = make_world(queue=QUEUE).start()
    remotes = [world.remote() for _ in range(3)]
    ledger = kills(world, remotes, ROUNDS, random.Random(SEED))
    assert len(ledger.promised) > 50


@pytest.mark.parametrize("role", ["relay", "queue", "store", "tree"])
@pytest.mark.parametrize("stage", ["connect", "mail", "rcpt", "data", "body"])
def test_killed_at_each_stage(module_world, role, stage):
    """The role dies when the other side has reached the stage, before its answer; then again right behind the last answer."""
    world = module_world
    remote = world.remote()
    killed = []

    def die(session, argument):
        if not killed:
            killed.append(role)
            if role == "tree":
                world.server.kill()
            else:
                os.kill(world.server.roles()[role], signal.SIGKILL)
            time.sleep(0.1)
    remote.set_script({stage: die})
    _, word = world.send(world.new_user(), remote.address())
    remote.wait(lambda: killed, what="the kill")
    if role == "tree":
        time.sleep(0.3)
        world.server.start()
    remote.wait(lambda: remote.seen(word) >= 1, 30, "the message")
    world.wait_gone(remote.address(), timeout=40)
    time.sleep(0.3)
    assert 1 <= remote.seen(word) <= (2 if stage == "body" else 1)
    remote.stop()


# ---- clocks ----

WRAPPER = """#!/bin/sh
# {binary} where clockshim.so is loaded into every program: roles get no environment, so it goes by /etc. The sanitizer's library
# would rather be the first one.
export ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0"
exec unshare --mount --propagation private sh -c '
    mount -t overlay overlay -o lowerdir={folder}/etc:/etc /etc && exec "$0" "$@"' {binary} "$@"
"""


class Clock:
    """The wall clock of a server started with `binary`."""

    def __init__(self, folder):
        self.file, self.binary = folder / "seconds", folder / "rockdove"
        (folder / "etc").mkdir(parents=True)
        self.file.write_bytes(bytes(8))
        library = folder / "clockshim.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", f'-DCLOCK_FILE="{self.file}"', "-o", library, Path(__file__).with_name("clockshim.c")],
                       check=True, timeout=60)
        (folder / "etc/ld.so.preload").write_text(f"{library}\n")
        self.binary.write_text(WRAPPER.format(binary=BINARY, folder=folder))
        for path, mode in ((library, 0o755), (self.binary, 0o755), (self.file, 0o644)):
            path.chmod(mode)

    def set(self, seconds):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("=q", seconds))


@pytest.fixture
def make_clock(scratch):
    if peers.private_reason():
        pytest.skip(peers.private_reason())
    return lambda: Clock(scratch / f"clock{time.monotonic_ns()}")


@pytest.mark.parametrize("step", [6 * DAY, -6 * DAY, 3600, -3600], ids=["6 days on", "6 days back", "an hour on", "an hour back"])
def test_a_clock_that_is_set(make_world, make_clock, step):
    """A message that waits is neither returned early nor forgotten nor sent twice, across a step and across a restart after it."""
    world = make_world(queue={"retry_first": "500ms", "retry_max": "1s", "expire": "5d", "warn": "4h"})
    clock = make_clock()
    world.options["binary"] = clock.binary
    world.start()
    remote = world.remote(script={"rcpt": "451 4.3.0 later"})
    user = world.new_user()
    _, word = world.send(user, remote.address())
    world.wait_row(remote.address(), state="deferred")
    clock.set(step)
    attempts = world.row(remote.address())["attempts"]
    time.sleep(3)
    row = world.row(remote.address())
    assert row and row["attempts"] - attempts <= 8, "no storm"
    assert row["attempts"] > attempts, "not forgotten"
    assert world.inbox(user) == [], "neither returned nor warned about"
    world.server.stop()
    world.server.start()
    time.sleep(2)
    assert world.row(remote.address()) and world.inbox(user) == []
    remote.set_script({})
    remote.wait_messages(1, timeout=20)
    world.wait_gone(remote.address())
    time.sleep(1)
    assert remote.seen(word) == 1


def test_the_shim_moves_the_clock(make_world, make_clock):
    """The test above means something: the server under the shim sees the other time."""
    world, clock = make_world(), make_clock()
    clock.set(400 * DAY)
    world.options["binary"] = clock.binary
    world.start()
    remote = world.remote()
    world.send(world.new_user(), remote.address())
    assert re.search(r" 202[78] ", remote.wait_messages(1)[0].header("Received"))


# ---- a full disk ----

def test_below_the_reserve_sending_goes_on(make_world):
    """New mail gets 452, strangers' and submissions; what waits for other servers is sent; what waits for our own mailboxes
    (a notification) is kept until there is room."""
    world = make_world(queue=QUEUE).start()
    remote = world.remote(script={"rcpt": "451 4.3.0 later"})
    user, failing = world.new_user(), world.remote(script={"rcpt": "451 4.3.0 later"})
    words = [world.send(world.new_user(), remote.address(f"u{n}"))[1] for n in range(10)]
    world.send(user, failing.address())
    world.wait_row(failing.address(), state="deferred")
    world.server.config["free_space_reserve"] = "900000G"
    world.server.write_config()
    world.server.command("reload")
    deadline = time.monotonic() + 15
    while refused_for_now(world) != 452:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    remote.set_script({})
    remote.wait(lambda: all(remote.seen(word) == 1 for word in words), 20, "the ten messages")
    failing.set_script({"rcpt": "550 5.1.1 gone"})
    world.wait_gone(failing.address())
    assert world.inbox(user) == []
    with world.submission(user) as client:
        client.cmd(f"MAIL FROM:<{user}>")
        reply = client.cmd(f"RCPT TO:<{remote.address()}>")
        assert reply.code == 452 and "4.3.1" in str(reply), reply
    world.server.config["free_space_reserve"] = "1M"
    world.server.write_config()
    world.server.command("reload")
    deadline = time.monotonic() + 15
    while refused_for_now(world) == 452:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    _, word = world.send(world.new_user(), remote.address())
    remote.wait(lambda: remote.seen(word) == 1, 20, "one more")
    world.queue("retry", "--all", check=False)
    assert world.bounce(user).of(failing.address())["Action"] == "failed"


def refused_for_now(world):
    """The code a stranger's message gets."""
    with Smtp(world.server.ports["mx"]) as client:
        client.ehlo()
        replies = [client.cmd("MAIL FROM:<stranger@far.example>")]
        if replies[-1].code == 250:
            replies.append(client.cmd(f"RCPT TO:<{world.new_user()}>"))
        if replies[-1].code == 250:
            replies.append(client.data("Subject: x\r\n\r\nx\r\n"))
        return replies[-1].code


@with_faults
def test_a_full_disk_refuses_submissions_and_sending_goes_on(make_world):
    world = make_world(queue={"retry_first": "1h", "retry_max": "1h"}, binary=FAULTS)
    file = world.folder / "rules"
    file.write_text("")
    world.options["env"] = {"ROCKDOVE_IO_FAULT_FILE": str(file)}
    world.start()
    remote = world.remote(script={"rcpt": ["451 4.3.0 later"] * 3 + [None]})
    words = [world.send(world.new_user(), remote.address(f"u{n}"))[1] for n in range(3)]
    for n in range(3):
        world.wait_row(remote.address(f"u{n}"), state="deferred")
    _rewrite(file, "write:enospc:path=queue/;write:enospc:path=msg/;open:enospc:path=msg/", 1)
    user = world.new_user()
    with world.submission(user) as client:
        client.cmd(f"MAIL FROM:<{user}>")
        client.cmd(f"RCPT TO:<{remote.address()}>")
        assert client.data("Subject: x\r\n\r\nx\r\n").code in (451, 452)
    world.queue("retry", "--all")
    remote.wait(lambda: all(remote.seen(word) for word in words), 20, "what was queued before")


@with_faults
@pytest.mark.parametrize("rules", ["*:enospc", "write:enospc:path=system.db", "fsync:eio:path=system.db", "open:emfile", "write:enospc:path=queue/"])
def test_a_disk_that_fails(make_world, rules):
    """What is promised meanwhile arrives, what cannot be kept is refused for now, and nothing goes out again and again."""
    world = make_world(queue=QUEUE, binary=FAULTS)
    file = world.folder / "rules"
    file.write_text("")
    world.options["env"] = {"ROCKDOVE_IO_FAULT_FILE": str(file)}
    world.start()
    remotes, ledger, rng = [world.remote(), world.remote()], Ledger(), random.Random(SEED)
    with Load(world, remotes, ledger, rng):
        for n in range(3):
            time.sleep(0.7)
            _rewrite(file, rules, n)
            time.sleep(1)
            _rewrite(file, "", n)
    problems = settle(world, remotes, ledger)
    assert not problems, "\n".join(problems)
    assert ledger.promised


def _rewrite(file, rules, number):
    with open(file, "r+", encoding="ascii") as opened:  # rewritten in place, always with a new length
        opened.truncate(0)
        opened.write(rules + " " * (number * 7 + len(rules) + 1))


def test_slow_remotes_and_a_restart(make_world):
    """A stop in the middle of many slow transactions: all of it arrives once."""
    world = make_world(queue=QUEUE).start()
    remote = world.remote(script={"body": Slow(0.3)})
    words = [world.send(world.new_user(), remote.address(f"u{n}"))[1] for n in range(30)]
    world.server.stop()
    world.server.start()
    remote.set_script({})
    remote.wait(lambda: all(remote.seen(word) for word in words), 30, "thirty messages")
    time.sleep(1)
    assert [remote.seen(word) for word in words] == [1] * 30
