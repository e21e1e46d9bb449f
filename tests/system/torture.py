"""torture.py [--rounds N] [--seed S] [--cuts N] [--faults BINARY] [--imap HOURS]: SIGKILL for each role and for the whole
tree at random moments under load; with --faults (a build with -Dio_faults=true) then power cuts too, and each sync left out once.

After the rounds every message that got 250 (or OK for an APPEND) must be in its mailbox exactly once and whole, what got no
answer at most once, and `store verify` must be clean. Killing processes does not lose the page cache: that is what the power
cuts are for. With --imap nothing else: random IMAP sessions against the model (imap_model.py) for so long.
Started by ./dev torture, and briefly by ./dev test.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import cuts
import imap_model
import outbound_ledger
import peers
from certs import Certs
from durability import LARGE_SIZES, NET_ERRORS, Ledger, Load, look
from rockdove import ROLES, Server
from wire import Imap, Smtp
from world import World

USERS = 12
CHECK_EVERY = 25  # rounds between two looks into the mailboxes
BACK = 30         # seconds a killed role may take to come back
LISTENERS = ["mx", "imap", "metrics"]


class Failure(Exception):
    pass


def wait_roles(server, killed, old_pid):
    deadline = time.monotonic() + BACK
    while server.roles().get(killed) in (None, old_pid):
        if time.monotonic() > deadline:
            raise Failure(f"{killed} did not come back\n" + "\n".join(server.lines[-30:]))
        time.sleep(0.02)


def one_round(server, rng, target):
    time.sleep(rng.uniform(0.02, 0.4))
    if target == "tree":
        server.kill()
        server.start(timeout=BACK)
        return
    pid = server.roles().get(target)
    if pid:
        os.kill(pid, signal.SIGKILL)
        wait_roles(server, target, pid)


def settle(server, accounts):
    """Waits until a delivery works again: every role is back and has its peers."""
    deadline = time.monotonic() + BACK
    user, password = next(iter(accounts.items()))
    while True:
        try:
            with Smtp(server.ports["mx"]) as client, Imap(server.ports["imap"]) as imap:
                client.ehlo()
                if client.deliver("x@remote.test", [user], b"Subject: settled\r\n\r\nx\r\n").code == 250:
                    if imap.login(user, password).status == "OK" and imap.cmd("SELECT INBOX").status == "OK":
                        return
        except NET_ERRORS:
            pass
        if time.monotonic() > deadline:
            raise Failure("the server does not recover\n" + "\n".join(server.lines[-40:]))
        time.sleep(0.1)


def inspect(server, ledger, accounts):
    settle(server, accounts)
    problems = look(server, ledger, accounts)
    server.stop()
    verify = server.command("store", "verify", check=False, timeout=300)
    if verify.returncode != 0:
        problems.append("store verify: " + (verify.stdout + verify.stderr).strip())
    if problems:
        raise Failure("\n".join(problems[:50]))


def kills(server, accounts, rounds, seed, say=print):
    """The rounds on a stopped server, which is stopped again after. Answers how many messages were accepted."""
    rng, ledger, done = random.Random(seed), Ledger(LARGE_SIZES), 0
    targets = [*ROLES, "tree", "tree"]
    order = list(targets)
    rng.shuffle(order)
    while done < rounds:
        server.start()
        with Load(server, ledger, accounts, rng.randrange(1 << 30)):
            for _ in range(min(CHECK_EVERY, rounds - done)):
                one_round(server, rng, order[done] if done < len(order) else rng.choice(targets))
                done += 1
        inspect(server, ledger, accounts)
        say(f"{done} rounds: {ledger.accepted()} accepted of {len(ledger.messages)} sent, all where they belong")
    return ledger.accepted()


def outbound(folder, accounts, rounds, seed, say):
    """Kills while mail is submitted and sent; see outbound_ledger.py."""
    world = World(folder, Certs(folder.parent / "certs"), accounts, queue={"retry_first": "200ms", "retry_max": "1s"})
    try:
        world.start()
        outbound_ledger.kills(world, [world.remote() for _ in range(3)], rounds, random.Random(seed), say)
    except AssertionError as problem:
        raise Failure(str(problem)) from None
    finally:
        world.stop()


def restart_store(server):
    """Kills store and waits until the next one is there."""
    old = server.roles().get("store")
    os.kill(old, signal.SIGKILL)
    wait_roles(server, "store", old)


def sessions(server, accounts, hours, seed, say):
    """Random IMAP sessions, one story after the other, each with an account and a seed of its own; store dies now and then."""
    server.start()
    rng, until, stories = random.Random(seed), time.monotonic() + hours * 3600, 0
    while time.monotonic() < until:
        user, password = rng.choice(list(accounts.items()))
        args = argparse.Namespace(host="127.0.0.1", port=server.ports["imap"], mx=server.ports["mx"], user=user, password=password,
                                  sessions=rng.randint(2, 8), steps=2000, seed=rng.randrange(1 << 30), context=200,
                                  restart=lambda: restart_store(server))
        say(f"story {stories + 1}: {args.sessions} sessions of {user}, seed {args.seed}")
        try:
            imap_model.Story(args).play()
        except (imap_model.Wrong, imap_model.Gone) as problem:
            raise Failure(f"{problem}\n" + "\n".join(server.lines[-20:])) from None
        stories += 1
    server.stop()
    verify = server.command("store", "verify", check=False, timeout=300)
    if verify.returncode != 0:
        raise Failure("store verify: " + verify.stdout + verify.stderr)
    say(f"{stories} stories of 2000 steps: everybody saw what he may, store verify clean")


def main():
    parser = argparse.ArgumentParser(prog="./dev torture")
    parser.add_argument("--rounds", type=int, default=200, help="kills")
    parser.add_argument("--cuts", type=int, default=200, help="power cuts, where there is a build for them")
    parser.add_argument("--outbound", type=int, default=50, help="kills while mail leaves, where the peers are unpacked")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", type=Path, help="a server built with -Dio_faults=true")
    parser.add_argument("--imap", type=float, metavar="HOURS", help="only random IMAP sessions against the model, so long")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rockdove-torture-", dir="/var/tmp"))
    folder.chmod(0o755)
    accounts = {f"u{number}@example.test": "secret" for number in range(USERS)}
    server = Server(folder / "server", Certs(folder / "certs"), accounts, listeners=LISTENERS)
    began = time.monotonic()
    what = f"{options.imap} hours of IMAP" if options.imap else f"{options.rounds} kills"
    print(f"torture: {what}, seed {options.seed}", flush=True)

    def say(text):
        print(f"[{time.monotonic() - began:5.0f} s] {text}", flush=True)

    try:
        if options.imap:
            sessions(server, accounts, options.imap, options.seed, say)
            shutil.rmtree(folder, ignore_errors=True)
            return 0
        kills(server, accounts, options.rounds, options.seed, say)
        say(f"{options.rounds} kills: nothing lost, nothing doubled, store verify clean")
        if options.outbound and not peers.missing_reason():
            outbound(folder / "outbound", accounts, options.outbound, options.seed, say)
        if options.faults:
            cuts.torture(folder / "cuts", options.faults, options.cuts, options.seed, say)
    except (Failure, cuts.Lost) as problem:
        print(problem, f"the folder is kept: {folder}", sep="\n")
        return 1
    finally:
        server.kill()
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
