"""Results kept up to date: RFC 5267, CONTEXT=SEARCH and CONTEXT=SORT. A client that follows ADDTO and REMOVEFROM must always
have what a new search would find."""
import random
import re

import mail
import pytest


@pytest.fixture
def pair(imap, user):
    """Two sessions of one account with a mailbox of ten messages selected; the first one watches."""
    watcher, other = imap(user), imap(user)
    watcher.ok("CREATE box")
    watcher.ok("SELECT box")
    for number in range(10):
        watcher.append("box", mail.plain(subject=f"subject {number % 3}"))
    watcher.ok("NOOP")
    other.ok("SELECT box")
    return watcher, other


def expand(text):
    numbers = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        numbers += range(int(low), int(high or low) + 1)
    return numbers


def follow(results, line):
    """Applies one ESEARCH response with updates to `results`, a list by tag."""
    match = re.match(rb'\* ESEARCH \(TAG "(\w+)"\)( UID)? (.*)', line)
    if not match or match[1].decode() not in results:
        return
    items = re.findall(r"(ADDTO|REMOVEFROM) \(([^)]*)\)", match[3].decode())
    found = results[match[1].decode()]
    for what, pairs in items:
        words = pairs.split()
        for position, numbers in zip(map(int, words[::2]), map(expand, words[1::2])):
            if what == "ADDTO" and position:
                found[position - 1:position - 1] = numbers
            elif what == "ADDTO":
                found[:] = sorted(found + numbers)
            elif position:
                assert found[position - 1:position - 1 + len(numbers)] == numbers, (found, line)
                del found[position - 1:position - 1 + len(numbers)]
            else:
                assert set(numbers) <= set(found), (found, line)
                found[:] = [n for n in found if n not in numbers]


def begin(client, command, keys):
    """Starts an update; its tag and its first results."""
    tag = f"u{random.randrange(10 ** 9)}"
    client.send(f"{tag} {command} {keys}\r\n".encode())
    answer = client.until(tag.encode())
    assert answer.status == "OK", answer
    found = answer.find(rb"ESEARCH .* ALL ([0-9:,]+)")
    return tag, expand(found[1].decode()) if found else []


def untagged(answer):
    return [line for line in answer.untagged if b"ESEARCH" in line]


def test_examples(pair):
    watcher, other = pair
    tag, found = begin(watcher, "UID SEARCH RETURN (UPDATE COUNT)", "DELETED KEYWORD $Junk")
    other.ok("STORE 3:4 +FLAGS (\\Deleted)")
    assert not untagged(watcher.ok("NOOP"))
    other.ok("STORE 3:4 +FLAGS ($Junk)")
    told = watcher.ok("NOOP").untagged
    assert told[-1] == f'* ESEARCH (TAG "{tag}") UID ADDTO (0 3:4)'.encode() and any(b"FETCH" in line for line in told[:-1])
    other.ok("STORE 4 -FLAGS ($Junk)")
    assert untagged(watcher.ok("NOOP")) == [f'* ESEARCH (TAG "{tag}") UID REMOVEFROM (0 4)'.encode()]
    other.ok("EXPUNGE")
    told = watcher.ok("NOOP").untagged
    assert told[0] == f'* ESEARCH (TAG "{tag}") UID REMOVEFROM (0 3)'.encode() and b"EXPUNGE" in told[1]
    watcher.send(f"{tag} SORT RETURN (UPDATE) (DATE) UTF-8 FLAGGED\r\n".encode())
    assert watcher.until(tag.encode()).status == "BAD"
    watcher.ok(f'CANCELUPDATE "{tag}"')
    other.ok("STORE 1 +FLAGS (\\Deleted $Junk)")
    assert not untagged(watcher.ok("NOOP"))
    assert watcher.cmd(f'CANCELUPDATE "{tag}"').status == "BAD"
    assert watcher.cmd("CANCELUPDATE").status == "BAD"
    assert found == []


def test_numbers_stay_valid(pair):
    """Of SEARCH without UID: removals are told before the EXPUNGE, additions after the EXISTS."""
    watcher, other = pair
    tag, _ = begin(watcher, "SEARCH RETURN (UPDATE)", "ALL")
    other.ok("STORE 9 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    other.append("box", mail.plain())
    told = watcher.ok("NOOP").untagged
    order = [line for line in told if re.search(rb"ESEARCH|EXPUNGE|EXISTS", line)]
    assert order == [f'* ESEARCH (TAG "{tag}") REMOVEFROM (0 9)'.encode(), b"* 9 EXPUNGE", b"* 10 EXISTS",
                     f'* ESEARCH (TAG "{tag}") ADDTO (0 10)'.encode()], told


def test_sorted(pair):
    watcher, other = pair
    tag, found = begin(watcher, "UID SORT RETURN (UPDATE ALL)", "(SUBJECT REVERSE ARRIVAL) UTF-8 UNFLAGGED")
    results = {tag: found}
    assert len(found) == 10
    other.append("box", mail.plain(subject="subject 1"))
    other.append("box", mail.plain(subject="a first one"))
    for line in watcher.ok("NOOP").untagged:
        follow(results, line)
    assert found[0] == 12 and 11 in found and len(found) == 12
    other.ok("STORE 2,5,12 +FLAGS (\\Flagged)")
    for line in watcher.ok("NOOP").untagged:
        follow(results, line)
    assert len(found) == 9


def test_by_store_and_in_idle(pair):
    """Keys the image cannot answer; news while nobody asks."""
    watcher, other = pair
    tag, found = begin(watcher, "UID SEARCH RETURN (UPDATE ALL)", 'SUBJECT "wanted" UNSEEN')
    results = {tag: found}
    watcher.send(b"i1 IDLE\r\n")
    assert watcher.response().startswith(b"+")
    other.append("box", mail.plain(subject="nothing"))
    other.append("box", mail.plain(subject="what is wanted"))
    while not found:
        follow(results, watcher.response())
    assert found == [12]
    other.ok("UID STORE 12 +FLAGS (\\Seen)")
    while found:
        follow(results, watcher.response())
    watcher.send(b"DONE\r\n")
    assert watcher.until(b"i1").status == "OK"


def test_limits(pair):
    watcher, other = pair
    tags = [begin(watcher, "UID SEARCH RETURN (UPDATE)", "ALL")[0] for _ in range(8)]
    watcher.send(b"more UID SEARCH RETURN (UPDATE COUNT) ALL\r\n")
    answer = watcher.until(b"more")
    assert answer.status == "OK" and answer.find(rb'\* NO \[NOUPDATE "more"\]') and answer.find(rb"COUNT 10")
    watcher.ok("CANCELUPDATE " + " ".join(f'"{tag}"' for tag in tags[:2]))
    assert not watcher.ok("UID SEARCH RETURN (UPDATE) ALL").find(rb"NOUPDATE")
    watcher.ok("SELECT box")
    other.ok("STORE 1 +FLAGS (\\Flagged)")
    assert not untagged(watcher.ok("NOOP"))
    assert watcher.ok("SEARCH RETURN (CONTEXT COUNT) ALL").find(rb"COUNT 10")
    assert watcher.ok("SORT RETURN (UPDATE PARTIAL 1:2) (SIZE) UTF-8 ALL").find(rb"PARTIAL \(1:2 ")


PROGRAMS = ["ALL", "UNSEEN", "OR FLAGGED DELETED", "SUBJECT two", "NOT KEYWORD odd SUBJECT subject", "1:5", "LARGER 200", "MODSEQ 1"]
SORTS = ["ARRIVAL", "SUBJECT", "REVERSE SUBJECT DATE", "REVERSE SIZE", "FROM REVERSE ARRIVAL"]


@pytest.mark.parametrize("seed", range(3))
def test_random(pair, seed):
    watcher, other = pair
    dice = random.Random(seed)
    results, commands = {}, {}
    for number in range(6):
        keys = dice.choice(PROGRAMS)
        keys = keys if number % 2 else f"({dice.choice(SORTS)}) UTF-8 {keys}"
        command = "UID SEARCH" if number % 2 else "UID SORT"
        tag, found = begin(watcher, f"{command} RETURN (UPDATE ALL)", keys)
        results[tag], commands[tag] = found, (command, keys)
    for step in range(40):
        for _ in range(dice.randrange(4)):
            actor = dice.choice(pair)
            exists = int(other.ok("STATUS box (MESSAGES)").find(rb"MESSAGES (\d+)")[1])
            kind = dice.randrange(5)
            if kind == 0 or exists < 5:
                answer = actor.append("box", mail.plain(subject=f"{dice.choice(['two', 'subject'])} {dice.randrange(5)}",
                                                        body="x" * dice.randrange(300) + "\r\n"))
            elif kind == 1:
                answer = actor.ok("EXPUNGE")
            else:
                flag = dice.choice(["\\Seen", "\\Flagged", "\\Deleted", "odd"])
                answer = actor.cmd(f"UID STORE {dice.randrange(1, 40)}:{dice.randrange(1, 40)} {dice.choice('+-')}FLAGS ({flag})")
            if actor is watcher:
                for line in answer.untagged:
                    follow(results, line)
        for line in watcher.ok(dice.choice(["NOOP", "SEARCH ALL", "UID SEARCH ALL"])).untagged:
            follow(results, line)
        if step % 4 == 3:
            for line in watcher.ok("NOOP").untagged:
                follow(results, line)
            for tag, (command, keys) in commands.items():
                if keys == "1:5" or keys.endswith(" 1:5"):  # numbers as of the command
                    continue
                found = watcher.ok(f"{command} RETURN (ALL) {keys}").find(rb"ESEARCH .* ALL ([0-9:,]+)")
                assert results[tag] == (expand(found[1].decode()) if found else []), (seed, step, command, keys)
