"""What was promised of mail that leaves, and what arrived: clients that submit, remote servers that are in a bad mood, and the count.
Used by test_outbound_durability.py and torture.py."""
import collections
import os
import random
import re
import ssl
import threading
import time

from peers.smtpserver import Drop, Slow

NET_ERRORS = (OSError, EOFError, ssl.SSLError, AssertionError)
SENDERS = 3


def moods(rng):
    """A script for a server that is mostly right, and now and then anything else."""
    lock = threading.Lock()

    def mood(*choices):
        def decide(session, argument):
            with lock:
                return rng.choice(choices) if rng.random() < 0.15 else None
        return decide
    return {"connect": mood("421 4.3.2 busy", Drop(), Slow(0.2)), "mail": mood("451 4.3.0 later", Drop()),
            "rcpt": mood("450 4.2.1 later", Slow(0.1), Drop()), "data": mood("451 4.3.0 later", Drop()),
            "body": mood("451 4.3.0 later", Slow(0.3), Slow(0.05))}


class Ledger:
    def __init__(self):
        self.lock, self.promised, self.begun, self.count = threading.Lock(), {}, {}, 0

    def new(self, recipients):
        with self.lock:
            self.count += 1
            word = f"outword{self.count:06d}z"
            self.begun[word] = list(recipients)
            return word

    def keep(self, word):
        with self.lock:
            self.promised[word] = self.begun[word]

    def problems(self, remotes):
        """(lost, other) as texts: nothing that was promised is missing, nothing came more than twice, nothing came broken."""
        found = collections.Counter()
        other = []
        for remote in remotes:
            other += remote.trouble
            for message in list(remote.kept):
                word = re.search(rb"^Subject: (outword\d{6}z)\r\n", message.data, re.M)[1].decode()
                if not message.data.endswith(f"\r\nend of {word}\r\n".encode()):
                    other.append(f"{word} came incomplete")
                for address in message.to:
                    found[word, address] += 1
        lost = [f"{word} never came to {address}" for word, recipients in self.promised.items() for address in recipients if not found[word, address]]
        other += [f"{word} came {count} times to {address}" for (word, address), count in found.items() if count > 2]
        other += [f"{word} came to {address}, who was not asked for" for word, address in found if address not in self.begun[word]]
        self.doubled = sum(count == 2 for count in found.values())
        return lost, other


class Load:
    """with Load(world, remotes, ledger, rng): submits until the end. Trouble is expected: it connects again."""

    def __init__(self, world, remotes, ledger, rng):
        self.world, self.remotes, self.ledger = world, remotes, ledger
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(random.Random(rng.random()),), daemon=True) for _ in range(SENDERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(70)
            assert not thread.is_alive(), "a client hangs: the server gave it neither an answer nor a close"

    def _run(self, rng):
        user = self.world.new_user()
        while not self.stopping.is_set():
            try:
                with self.world.submission(user, patient=True) as client:
                    while not self.stopping.is_set():
                        self._send(client, user, rng)
            except TimeoutError:
                raise
            except NET_ERRORS:
                time.sleep(0.05)

    def _send(self, client, user, rng):
        to = [remote.address(f"u{rng.randrange(5)}") for remote in rng.sample(self.remotes, min(len(self.remotes), rng.choice((1, 1, 2, 3))))]
        word = self.ledger.new(to)
        filler = "".join(f"{word} line {n}\r\n" for n in range(rng.choice((3, 100, 100, 3000))))
        message = f"From: {user}\r\nTo: {', '.join(to)}\r\nSubject: {word}\r\nMessage-ID: <{word}@example.test>\r\n\r\n{filler}end of {word}\r\n"
        client.cmd("RSET")
        replies = client.envelope(user, to)
        if all(reply.code == 250 for reply in replies) and client.data(message).code == 250:
            self.ledger.keep(word)
        time.sleep(rng.random() * 0.05)


def settle(world, remotes, ledger, seconds=60):
    """Waits until what was promised has come, from servers that behave again. The problems left."""
    for remote in remotes:
        remote.set_script({})
    deadline = time.monotonic() + seconds
    while True:
        try:
            lost, other = ledger.problems(remotes)
            waiting = world.rows() if not lost else None
        except NET_ERRORS as error:
            lost, other, waiting = [repr(error)], [], None
        if other or (not lost and not waiting) or time.monotonic() > deadline:
            return lost[:20] + other[:20] + ([f"still in the queue: {waiting[:5]}"] if waiting else [])
        time.sleep(0.2)


def kill(server, target):
    """A role by name, or the whole tree."""
    if target == "tree":
        server.kill()
        server.start()
        return
    pid = server.roles().get(target)
    if pid:
        os.kill(pid, 9)


def kills(world, remotes, rounds, rng, say=print):
    """Rounds of load and kills on a started world; the ledger, with nothing wrong in it."""
    ledger, targets = Ledger(), ["queue", "relay", "store", "queue", "relay", "tree", "smtp", "auth", "dns", "scan"]
    for number in range(rounds):
        for remote in remotes:
            remote.set_script(moods(rng))
        with Load(world, remotes, ledger, rng):
            time.sleep(0.3 + rng.random())
            kill(world.server, targets[number % len(targets)])
            time.sleep(0.3 + rng.random())
    problems = settle(world, remotes, ledger)
    assert not problems, "\n".join(problems)
    say(f"{rounds} kills: {len(ledger.promised)} promised of {ledger.count} submitted, all arrived, {ledger.doubled} twice")
    return ledger
