"""Power cuts: a server works while its file calls are recorded, the folder is rebuilt as a power cut may leave it, a server
is started on that, and everything answered before the cut must be there. Needs a build with -Dio_faults=true.

A check that never fails proves nothing: needed() leaves out one sync of the source at a time and looks for a cut after which
something is lost.
"""
import os
import random
import shutil

import powercut
from certs import Certs
from durability import NET_ERRORS, Ledger, Load, Promise, look
from rockdove import DOMAIN, Server
from wire import Imap

# SQLite's own syncs while it makes a new database, before anything in it was promised: without them a cut in just these
# milliseconds can leave a database that has to be rebuilt, which only some survivors show.
BEFORE_ANY_PROMISE = "-journal."
LISTENERS = ["mx", "imap", "metrics"]
USERS = 6
WORK = 12            # how much each client does in a part of a recording
CALM = 30            # seconds the queue of a rebuilt folder has to deliver what it holds
CALM_WHEN_LOST = 0.7 # the same where a loss is expected
TRIES = 6            # cuts tried for one sync that was left out, where only what was synced survives
RANDOM_TRIES = 40    # and where anything may survive
PASSWORD = "secret"


class Lost(Exception):
    """What was promised is not there."""


class Recording:
    """A server's work with its record. `fault`: rules for ROCKDOVE_IO_FAULT."""

    def __init__(self, folder, binary, seed, fault=""):
        self.folder = folder
        self.accounts = {f"u{number}@{DOMAIN}": PASSWORD for number in range(USERS)}
        self.added = {}  # accounts made by command: address -> Promise
        self.banned = {} # addresses banned by command
        self.ledger = Ledger()
        disk, certs = folder / "disk", Certs(folder / "certs")
        disk.mkdir(parents=True)
        folder.chmod(0o755)
        self.identities = powercut.snapshot(str(disk), str(folder / "base"))
        moved = {"ROCKDOVE_IO_MOVED": "1"}  # so that what the server believes by inode and ctime is believed in an image too
        env = {"ROCKDOVE_IO_RECORD": str(folder / "record"), "ROCKDOVE_IO_FAULT": fault, **moved}
        server = Server(folder / "server", certs, self.accounts, listeners=LISTENERS, binary=binary, data=disk / "data", env=env)
        self.checker = Server(folder / "checker", certs, self.accounts, listeners=LISTENERS, binary=binary, env=moved)
        try:
            self._work(server, seed)
        finally:
            server.kill()
        self.entries = powercut.read_record(str(folder / "record"))
        self.sites = powercut.sites(self.entries)
        self.images = 0

    def _work(self, server, seed):
        """Three lives: ended in order, killed, ended in order."""
        for part, end in enumerate((server.stop, server.kill, server.stop)):
            server.start()
            with Load(server, self.ledger, self.accounts, seed + part, WORK) as load:
                load.wait()
            self._command(server, self.added, f"added{part}@{DOMAIN}", "account", "add", input=PASSWORD + "\n")
            self._command(server, self.banned, f"203.0.113.{part}", "ban", "add")
            end()

    def _command(self, server, promises, subject, *words, **more):
        promise = Promise()
        if server.command(*words, subject, check=False, **more).returncode == 0:
            promise.answered()
            promises[subject] = promise

    # ---- one cut ----

    def answers(self):
        """The moments of all promises, in order."""
        ledger = self.ledger
        promises = [*ledger.messages.values(), *ledger.changes.values(), *ledger.shares.values(), *self.added.values(), *self.banned.values(),
                    *(promise for pair in ledger.mailboxes.values() for promise in pair if promise)]
        return sorted(promise.kept for promise in promises if promise.kept)

    def queued(self):
        """The moments of promises for several mailboxes: for some milliseconds such mail is in the queue and nowhere else."""
        return sorted(message.kept for message in self.ledger.messages.values() if message.kept and len(message.recipients) > 1)

    def moments(self, count, seed):
        """Moments to cut at: half around recorded calls, half right behind an answer."""
        rng = random.Random(seed)
        return sorted(powercut.moments(self.entries, count - count // 2, seed) + rng.choices(self.answers(), k=count // 2))

    def problems(self, cut, seed=None, entries=None, calm=CALM):
        """What a power cut at that moment loses, as texts; see powercut.image()."""
        self.images += 1
        out = self.folder / f"image{self.images}"
        powercut.image(self.entries if entries is None else entries, str(self.folder / "base"), self.identities, str(out), cut, seed)
        self._give_to_owners(out / "data")
        unlisted = self._unlisted(out / "data" / "store" / "shares", cut)
        server = self.checker
        server.config["data"] = out / "data"
        server.write_config()
        found = unlisted
        try:
            server.start()
            found += look(server, self.ledger, self.accounts, cut, calm)
            found += [f"{address} cannot log in" for address, promise in self.added.items()
                      if promise.was_kept(cut) and not self._logs_in(address)]
            bans = server.command("ban", "list", check=False).stdout
            found += [f"{address} is not banned any more" for address, promise in self.banned.items()
                      if promise.was_kept(cut) and address not in bans]
            server.stop()
            verify = server.command("store", "verify", check=False)
            if verify.returncode:
                found.append("store verify: " + verify.stdout + verify.stderr)
        except NET_ERRORS as error:
            found.append(f"the server does not run: {error}")
        finally:
            server.kill()
        if not found:
            shutil.rmtree(out)
        return found

    def _unlisted(self, path, cut):
        """Who was given rights and is not in the list of who shares with whom. Store would find them by itself, but only when
        it comes to the owner's account, so the list has to have them."""
        listed = shares(path.read_bytes() if path.exists() else b"")
        return [f"the list of shares lacks {friend} of {owner}" for (owner, friend), share in self.ledger.shares.items()
                if share.was_kept(cut) and friend not in listed.get(owner, ())]

    def _give_to_owners(self, data):
        """Roles may run under users of their own; everything in a role's folder is its own."""
        for folder in data.iterdir() if data.exists() else ():
            owner = (self.folder / "disk" / "data" / folder.name).stat()
            for path in (folder, *folder.rglob("*")):
                os.chown(path, owner.st_uid, owner.st_gid)

    def _logs_in(self, address):
        with Imap(self.checker.ports["imap"]) as client:
            return client.login(address, PASSWORD).status == "OK"

    def cut(self, count, seed):
        """`count` power cuts, pessimistic and random by turns. Raises Lost."""
        for number, moment in enumerate(self.moments(count, seed)):
            chance = seed + number if number % 2 else None
            found = self.problems(moment, chance)
            if found:
                raise Lost(f"power cut at {moment} (survivors: {chance or 'only what was synced'}), image {self.images} in "
                           f"{self.folder}:\n" + "\n".join(found[:30]))

    # ---- leaving out a sync ----

    def needed(self, site, chances=RANDOM_TRIES):
        """The first loss found when this place never syncs, or None."""
        def left_out(entry):
            return entry.kind in "SD" and entry.site == site

        entries = [entry for entry in self.entries if not left_out(entry)]
        return self.first_loss(entries, [number for number, entry in enumerate(self.entries) if left_out(entry)],
                               chances)

    def first_loss(self, entries, places, chances=RANDOM_TRIES):
        """Cuts where something was left out, given as indexes into the record: behind the first answers after it and while mail
        is in the queue alone, where only what was synced survives; then among the next calls, with any survivors."""
        answers = self.answers()
        ends = [self.entries[place].end for place in places]
        behind = sorted({next((answer for answer in answers if answer >= end), answers[-1]) for end in ends})
        queued = [moment for moment in self.queued() if moment >= min(ends)]
        tries = [(cut, None) for cut in [*spread(behind), answers[-1], *spread(queued)]]
        for seed in range(1, chances + 1):
            near = min(places[seed % len(places)] + seed % 12, len(self.entries) - 1)
            tries.append((self.entries[near].end, seed))
        for cut, seed in tries:
            found = self.problems(cut, seed, entries, CALM_WHEN_LOST)
            shutil.rmtree(self.folder / f"image{self.images}", ignore_errors=True)
            if found:
                return f"{'only what was synced' if seed is None else f'survivors {seed}'}: {found[0]}"
        return None


def strings(data):
    """Each with its length in front (src/wire/wire.h)."""
    at = 0
    while at < len(data):
        length = shift = 0
        while True:
            length |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                break
        yield data[at:at + length]
        at += length


def shares(data):
    """{owner: identifiers} of the list of who shares with whom; nothing of a damaged one."""
    magic = b"rockdove shares 1\n"
    try:
        words = list(strings(data[len(magic) + 4:])) if data.startswith(magic) else []
    except IndexError:
        return {}
    return {owner.decode(): {word.decode() for word in strings(identifiers)} for owner, identifiers in zip(words[::2], words[1::2])}


def spread(moments):
    """TRIES of them, evenly."""
    return moments[::max(1, len(moments) // TRIES)][:TRIES]


def skip_rules(site):
    return f"fsync:skip:site={site};fsyncdir:skip:site={site}"


def torture(folder, binary, count, seed, say):
    """`count` cuts over several recordings, then each sync left out of a record and out of a running server."""
    made = 0
    while made < count:
        recording = Recording(folder / f"recording{made}", binary, seed + made)
        some = min(40, count - made)
        recording.cut(some, seed + made)
        made += some
        say(f"{made} power cuts: {recording.ledger.accepted()} messages accepted, nothing lost")
    unneeded = []
    for number, site in enumerate(site for site in recording.sites if BEFORE_ANY_PROMISE not in site):
        loss = recording.needed(site)
        say(f"without the sync at {site}: {loss}")
        if not loss:
            unneeded.append(site)
        if site.startswith("sqlite folder"):  # one call with the sync of the file, which is left out below
            continue
        live = Recording(folder / f"without{number}", binary, seed + number, skip_rules(site))
        loss_live = live.first_loss(live.entries, range(len(live.entries) // 50, len(live.entries), len(live.entries) // 12))
        say(f"  left out of a running server: {loss_live}")
        if not loss_live:
            unneeded.append(f"{site} in a running server")
    if unneeded:
        raise Lost("syncs that nothing was lost without: " + ", ".join(unneeded))
