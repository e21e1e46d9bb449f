"""What was accepted is there: after kills, after power cuts, and while the disk fails. ./dev torture does the same longer."""
import os
import random
import time
from pathlib import Path

import pytest

import cuts
import torture
from durability import NET_ERRORS, Ledger, look
from rockdove import TOP, Server
from wire import Imap, Smtp

FAULTS = Path(os.environ.get("ROCKDOVE_FAULTS", TOP / "build-faults" / "rockdove"))  # built with -Dio_faults=true
SEED = int(os.environ.get("ROCKDOVE_SEED", time.time()))
KILLS = 14
CUTS = 30
ACCOUNTS = {f"u{number}@example.test": "secret" for number in range(6)}
LISTENERS = ["mx", "imap", "metrics"]

with_faults = pytest.mark.skipif(not FAULTS.exists(), reason=f"{FAULTS} is not built")


def test_kills(scratch, certs):
    print(f"seed {SEED}")
    server = Server(scratch / "kills", certs, ACCOUNTS, listeners=LISTENERS)
    try:
        assert torture.kills(server, ACCOUNTS, KILLS, SEED) > 0
    finally:
        server.kill()


# ---- power cuts ----

@pytest.fixture(scope="module")
def recording(scratch):
    print(f"seed {SEED}")
    return cuts.Recording(scratch / "recording", FAULTS, SEED)


@with_faults
def test_power_cuts(recording):
    assert recording.ledger.accepted() > 50
    assert len(recording.added) == len(recording.banned) == 3
    recording.cut(CUTS, SEED)


@with_faults
def test_the_check_notices_every_sync_that_is_left_out(recording):
    promised = [site for site in recording.sites if cuts.BEFORE_ANY_PROMISE not in site]
    losses = {site: recording.needed(site) for site in promised}
    print(*(f"without {site}: {loss}" for site, loss in losses.items()), sep="\n")
    assert len(losses) >= 10
    assert [site for site, loss in losses.items() if not loss] == []


@with_faults
@pytest.mark.parametrize("site", ["sqlite index.db-wal.", "store/blob.c"])
def test_a_server_that_leaves_out_a_sync_loses_mail(scratch, site):
    recording = cuts.Recording(scratch / f"without{site.replace('/', '-')}", FAULTS, SEED, cuts.skip_rules(site))
    assert recording.first_loss(recording.entries, [len(recording.entries) // 2], chances=0)


# ---- a failing disk ----

class Disk:
    """A server whose disk fails as told, and a ledger of what it answered."""

    def __init__(self, folder, certs):
        folder.mkdir()
        folder.chmod(0o755)
        self.rules = folder / "rules"
        self.rules.write_text("")
        self.server = Server(folder / "server", certs, ACCOUNTS, listeners=LISTENERS, binary=FAULTS,
                             env={"ROCKDOVE_IO_FAULT_FILE": str(self.rules)})
        self.ledger, self.rng = Ledger(sizes=(3000,)), random.Random(1)
        self.users = list(ACCOUNTS)
        self.server.start()

    def fail(self, rules):
        with open(self.rules, "r+", encoding="ascii") as file:  # rewritten in place, always with a new length
            file.truncate(0)
            file.write(rules + " " * (self.rng.randrange(1000)))
        time.sleep(0.05)

    def deliver(self, recipients):
        message, text = self.ledger.new_message(recipients, self.rng)
        with Smtp(self.server.ports["mx"], timeout=30) as client:
            client.ehlo()
            replies = client.envelope("load@remote.test", recipients)
            bad = [reply for reply in replies if reply.code >= 400]
            reply = bad[0] if bad else client.data(text)
        if reply.code == 250:
            message.answered()
        return reply.code

    def append(self, user):
        message, text = self.ledger.new_message([user], self.rng)
        with Imap(self.server.ports["imap"], timeout=30) as client:
            answer = client.login(user, ACCOUNTS[user])
            if answer.status == "OK":
                answer = client.append("INBOX", text)
                if answer.status == "OK":
                    message.answered()
        return answer.status

    def all_ways(self):
        return [self.deliver(self.users[:1]), self.deliver(self.users[:3]), self.append(self.users[0]),
                self.append(self.users[4])]

    def recovers(self):
        deadline = time.monotonic() + 15
        while True:
            try:
                if self.all_ways() == [250, 250, "OK", "OK"]:
                    return True
            except NET_ERRORS:
                pass
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)


@pytest.fixture(scope="module")
def disk(scratch, certs):
    made = Disk(scratch / "disk", certs)
    yield made
    made.server.kill()


FAILURES = ["*:enospc", "write:enospc:path=msg/", "write:short", "write:short:path=index.db", "write:eio:path=index.db",
            "fsync:eio", "fsync:eio:path=index.db-wal", "fsyncdir:eio", "open:emfile:path=msg/",
            "write:enospc:path=system.db", "fsync:eio:path=system.db", "write:edquot:path=queue/", "*:erofs"]


@with_faults
@pytest.mark.parametrize("rules", FAILURES)
def test_a_failing_disk_refuses_for_now_and_loses_nothing(disk, rules):
    assert disk.recovers(), disk.server.log()
    disk.fail(rules)
    answers = disk.all_ways()
    disk.fail("")
    assert any(answer in ("NO", 451, 452) for answer in answers), answers
    assert all(answer in ("OK", "NO", 250, 451, 452) for answer in answers), answers
    assert disk.recovers(), disk.server.log()
    assert look(disk.server, disk.ledger, ACCOUNTS) == []


@with_faults
def test_failing_now_and_then(disk):
    disk.fail("write:eio:every=7;fsync:eio:every=5;fsyncdir:enospc:every=6;rename:eio:every=9;write:short:every=11")
    answers = {answer for _ in range(25) for answer in disk.all_ways()}
    disk.fail("")
    assert answers <= {"OK", "NO", 250, 451, 452}, answers
    assert disk.recovers(), disk.server.log()
    assert look(disk.server, disk.ledger, ACCOUNTS) == []


@with_faults
def test_after_the_failures(disk):
    """Nothing comes back that was refused for good, and the folders are whole."""
    disk.server.stop()
    disk.server.command("store", "verify", timeout=60)
    disk.server.start()
    assert look(disk.server, disk.ledger, ACCOUNTS) == []
    disk.server.kill()
    disk.server.start()
    assert look(disk.server, disk.ledger, ACCOUNTS) == []
