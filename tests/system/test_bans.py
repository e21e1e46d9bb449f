"""Who is banned, and who never: guesses on all services together, bans by hand, restarts. Clients come from addresses of their
own, each with a PROXY header from the trusted loopback network."""
import itertools
import json
import os
import signal
import statistics
import time

import pytest

import proxyheader as proxy
from rockdove import DOMAIN
from wire import Imap, Smtp, Wire

LISTENERS = ["mx-proxy", "submission-proxy", "smtps-proxy", "imaps-proxy", "mx", "imap", "metrics"]
TRAP = f"trap@{DOMAIN}"
OPTIONS = {
    "listeners": LISTENERS,
    "limits": {"auth_failure_delay": "20ms", "mx": {"failed_recipients_per_minute": 0}},
    "before_greeting": {"wait": "0s"},
    "ban_policy": {"spam_traps": [TRAP], "except": ["198.51.100.64/28"]},
}
SERVER = {**OPTIONS, "bans": "local"}
USER, PASSWORD = f"t1@{DOMAIN}", "pw-1"

_addresses = (f"203.0.113.{number}" for number in itertools.count(1))
_guesses = (f"guess-{number}" for number in itertools.count(1))


@pytest.fixture
def address():
    """A client's address no other test uses."""
    return next(_addresses)


def header(address):
    return proxy.v2(address, "2001:db8::25" if ":" in address else "198.51.100.1")


def on_imap(server, address, user=USER, password=None):
    """One login; the tagged answer."""
    with Imap(server.ports["imaps-proxy"], tls=True, proxy=header(address)) as client:
        return client.login(user, password or next(_guesses))


def on_submission(server, address, user=USER, password=None):
    with Smtp(server.ports["submission-proxy"], proxy=header(address)) as client:
        client.ehlo()
        client.starttls()
        return client.auth_plain(user, password or next(_guesses))


def on_smtps(server, address, user=USER, password=None):
    with Smtp(server.ports["smtps-proxy"], tls=True, proxy=header(address)) as client:
        client.ehlo()
        return client.auth_plain(user, password or next(_guesses))


def first_bytes(server, listener, address):
    """What a client gets that only listens; b"" when it is closed without a word, None when nothing comes."""
    with Wire(server.ports[listener], proxy=header(address)) as client:
        client.sock.settimeout(0.3)
        data = b""
        try:
            while piece := client.sock.recv(4096):
                data += piece
                if not data.startswith((b"521", b"* BYE")):
                    return data
        except (TimeoutError, ConnectionResetError):
            return data or None
        return data


def refused(server, address):
    """Refused on every listener (True), on none (False); anything between fails. Before TLS: we send no ClientHello."""
    said = {name: first_bytes(server, name, address) for name in ("mx-proxy", "submission-proxy", "smtps-proxy", "imaps-proxy")}
    banned = {"mx-proxy": said["mx-proxy"].startswith(b"521 5.7.1"), "submission-proxy": said["submission-proxy"].startswith(b"521 5.7.1"),
              "smtps-proxy": said["smtps-proxy"] == b"", "imaps-proxy": said["imaps-proxy"] == b""}
    assert len(set(banned.values())) == 1, said
    return banned["mx-proxy"]


def wait_refused(server, address, wanted=True, timeout=5):
    deadline = time.monotonic() + timeout
    while True:
        try:
            if refused(server, address) == wanted:
                return
        except AssertionError:  # the image is on its way to the roles
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, server.log()[-3000:]
        time.sleep(0.05)


def explain(server, address):
    return json.loads(server.command("ban", "explain", address, "--json").stdout)


def listed(server):
    return {row["network"]: row for row in json.loads(server.command("ban", "list", "--json").stdout)}


def guess_until_banned(server, address):
    for _ in range(11):  # ten would do if no point faded meanwhile
        on_imap(server, address)
    wait_refused(server, address)


# ---- guesses ----

def test_guesses_on_all_services_count_together(server, address):
    mark = server.mark()
    for number, attempt in enumerate([on_imap, on_submission, on_smtps] * 3):
        answer = attempt(server, address)
        assert answer.code == 535 if number % 3 else answer.status == "NO", answer
    assert not refused(server, address)
    assert 80 < explain(server, address)["points"] <= 90
    on_imap(server, address)
    on_imap(server, address)
    wait_refused(server, address)
    assert not refused(server, "203.0.113.250")
    line = server.wait_log(rf"security\.failed_login client={address} ", mark)
    assert "listener=imaps-proxy session=" in line and f"detail={USER} count=1" in line, line
    line = server.wait_log(r"security\.ban ", mark)
    assert f"client={address} source=ours simulated=false rule=failed_login seconds=900 number=1 events=11" in line
    known = explain(server, address)
    assert known["banned"] and known["ours"]["rule"] == "failed_login" and known["ours"]["events"] == 11, known
    assert {event["where"] for event in known["ours"]["evidence"]} == {"imaps-proxy", "submission-proxy", "smtps-proxy"}
    assert {event["detail"] for event in known["ours"]["evidence"]} == {USER}
    text = server.command("ban", "explain", address).stdout
    assert text.startswith(f"{address} is refused until 20") and "failed_login on imaps-proxy" in text, text
    row = listed(server)[address]
    assert row["enforced"] and row["source"] == "ours" and row["until"] == known["until"]
    assert server.metrics()['rockdove_bans{source="ours"}'] >= 1
    assert server.metrics()['rockdove_connections_refused_total{reason="banned"}'] >= 4
    removed = server.command("ban", "remove", address)
    assert removed.stdout == f"{address}: the ban is removed\n"
    assert not refused(server, address)  # when it is answered it holds everywhere
    assert f"client={address}" in server.wait_log(r"security\.unban ", mark)
    assert address not in listed(server)
    assert server.command("ban", "remove", address, check=False).returncode == 1


def test_many_accounts_from_one_address(server, address):
    for number in range(6):  # the same word for everybody: each is a name more
        assert on_imap(server, address, f"t{number + 10}@{DOMAIN}", "summer").status == "NO"
    wait_refused(server, address)


def test_a_phone_with_an_old_password_is_told_and_not_banned(server, address):
    mark = server.mark()
    for number in range(40):
        attempt = on_imap if number % 2 else on_submission
        attempt(server, address, password="my old password")
    line = server.wait_log(rf"security\.old_password client={address}", mark)
    assert f"user={USER}" in line and "count=5" in line
    assert not refused(server, address)
    known = explain(server, address)
    assert known["old_password"] == 39 and not known["banned"] and known["points"] <= 10, known
    assert "an old password" in server.command("ban", "explain", address).stdout
    assert "my old password" not in server.log() and "my old password" not in str(known)


def test_the_owner_is_not_locked_out(server, address):
    mark = server.mark()
    assert on_imap(server, address, password=PASSWORD).status == "OK"
    for _ in range(25):
        on_imap(server, address)
    assert not refused(server, address)
    line = server.wait_log(rf"security\.spared client={address}", mark)
    assert "somebody logged in from there" in line
    known = explain(server, address)
    assert known["logged_in"] and not known["banned"] and "ours" not in known
    assert on_submission(server, address, password=PASSWORD).code == 235
    # the administrator's word counts all the same
    assert "note: somebody logged in lately from 1" in server.command("ban", "add", address).stdout
    assert refused(server, address)
    server.command("ban", "remove", address)


def test_listed_monitors_and_own_networks_are_never_banned(server):
    for address in ("198.51.100.70", "127.0.0.5", "::1"):
        for _ in range(12):
            on_imap(server, address)
        assert not explain(server, address)["banned"]
        assert on_imap(server, address, password=PASSWORD).status == "OK"
        added = server.command("ban", "add", address, check=False)
        assert added.returncode == 1 and "is never banned" in added.stderr, added
    # also inside a network that is banned
    server.command("ban", "add", "198.51.100.0/24")
    assert refused(server, "198.51.100.63") and not refused(server, "198.51.100.64") and refused(server, "198.51.100.80")
    server.command("ban", "remove", "198.51.100.0/24")


def test_private_addresses_are_only_told(server):
    mark = server.mark()
    for _ in range(12):
        on_imap(server, "10.99.0.7")
    assert not refused(server, "10.99.0.7")
    assert "many may stand behind it" in server.wait_log(r"security\.spared client=10\.99\.0\.7", mark)


def test_unknown_user_and_wrong_password_look_the_same(make_server):
    hashed = "{BLF-CRYPT}$2b$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu"
    server = make_server({f"jane@{DOMAIN}": hashed}, **{**OPTIONS, "bans": "off", "limits": {"auth_failure_delay": "0s"}}).start()
    took, said = {"jane": [], "nobody": []}, set()
    for _ in range(9):
        for name in took:
            with Smtp(server.ports["submission-proxy"], proxy=proxy.v2("203.0.113.9")) as client:
                client.ehlo()
                client.starttls()
                begun = time.monotonic()
                reply = client.auth_plain(f"{name}@{DOMAIN}", next(_guesses))
                took[name].append(time.monotonic() - begun)
                said.add((reply.code, reply.text))
    times = {name: statistics.median(values) for name, values in took.items()}
    assert len(said) == 1, said
    assert times["jane"] > 0.02 and 0.6 < times["jane"] / times["nobody"] < 1.7, times


# ---- what strangers do on the MX ----

def mx(server, address):
    client = Smtp(server.ports["mx-proxy"], proxy=header(address))
    client.ehlo()
    assert client.cmd("MAIL FROM:<stranger@remote.test>").code == 250
    return client


def test_spam_traps_ban_and_a_few_unknown_recipients_do_not(server, address):
    other = next(_addresses)
    with mx(server, other) as client:
        for number in range(15):
            assert client.cmd(f"RCPT TO:<gone{number}@{DOMAIN}>").code == 550
    with mx(server, address) as client:
        unknown = client.cmd(f"RCPT TO:<nobody-here@{DOMAIN}>")
        trap = client.cmd(f"RCPT TO:<{TRAP}>")
        assert trap.code == unknown.code == 550 and trap.text.replace("trap", "nobody-here") == unknown.text
        client.cmd(f"RCPT TO:<{TRAP}>")
    wait_refused(server, address)
    assert not refused(server, other)
    evidence = explain(server, address)["ours"]["evidence"]
    assert {event["kind"] for event in evidence} == {"unknown_recipient", "spam_trap"}
    assert any(event["where"] == "mx-proxy" and TRAP in event["detail"] for event in evidence), evidence


# ---- by hand ----

@pytest.mark.parametrize("network, inside, outside", [
    ("198.18.7.0/24", "198.18.7.255", "198.18.8.0"),
    ("198.18.9.9", "198.18.9.9", "198.18.9.8"),
    ("2001:db8:77::/48", "2001:db8:77:ffff::1", "2001:db8:78::1"),
])
def test_by_hand(server, network, inside, outside):
    assert not refused(server, inside)
    added = server.command("ban", "add", network, "--for", "2h", "--reason", 'scans, "loud" ones')
    assert added.stdout.startswith(f"{network} is banned until 20")
    assert refused(server, inside) and not refused(server, outside)
    row = listed(server)[network]
    assert row["source"] == "hand" and row["reason"] == 'scans, "loud" ones' and row["enforced"]
    known = explain(server, inside)
    assert known["banned"] and known["hand"]["network"] == network
    assert f"banned by hand: {network}" in server.command("ban", "explain", inside).stdout
    if network != inside:
        still = server.command("ban", "remove", inside, check=False)
        assert still.returncode == 1 and "still banned by hand, as part of" in still.stderr
    removed = json.loads(server.command("ban", "remove", network, "--json").stdout)
    assert removed == {"network": network, "removed": True, "banned": False}
    assert not refused(server, inside)


@pytest.mark.parametrize("words, code, said", [
    ((), 2, "usage: "),
    (("frob",), 2, "usage: "),
    (("add",), 2, "usage: "),
    (("add", "203.0.113.1", "--for"), 2, "usage: "),
    (("add", "203.0.113.1", "--for", "soon"), 2, "usage: "),
    (("add", "example.org"), 2, "is no address or network"),
    (("add", "203.0.113.1/24"), 2, "is no address or network"),
    (("add", "0.0.0.0/0"), 1, "a part of the world"),
    (("explain", "300.0.0.1"), 2, "is no address or network"),
    (("remove", "192.0.2.200"), 1, "there is no ban of 192.0.2.200"),
    (("list", "--source", "x"), 2, "usage: "),
])
def test_honest_answers(server, words, code, said):
    done = server.command("ban", *words, check=False)
    assert done.returncode == code and said in done.stderr and not done.stdout, done


def test_help_has_an_example(server):
    done = server.command("ban", "--help")
    assert "Example: rockdove -c rockdove.yaml ban add 203.0.113.0/24" in done.stdout


# ---- time, restarts, modes ----

def test_bans_end_and_get_longer(make_server):
    server = make_server(**{**SERVER, "ban_policy": {"first": "2s", "max": "8s"}}).start()
    guess_until_banned(server, "203.0.113.9")
    time.sleep(2.2)
    wait_refused(server, "203.0.113.9", False, 3)
    guess_until_banned(server, "203.0.113.9")
    mark = server.mark()
    known = explain(server, "203.0.113.9")["ours"]
    assert known["number"] == 2
    # of the second one: the end of the first may have been told already
    server.wait_log(r"security\.unban client=203\.0\.113\.9 source=ours reason=\"its time is over\"", mark, timeout=15)
    assert not refused(server, "203.0.113.9")


def test_bans_survive_restarts(make_server):
    server = make_server(**SERVER).start()
    guess_until_banned(server, "203.0.113.9")
    assert on_imap(server, "203.0.113.10", password=PASSWORD).status == "OK"
    server.command("ban", "add", "198.18.0.0/16", "--reason", "kept")
    evidence = explain(server, "203.0.113.9")["ours"]
    for end in (server.stop, server.kill):
        end()
        server.start()
        wait_refused(server, "203.0.113.9")
        assert refused(server, "198.18.3.4") and not refused(server, "203.0.113.11")
        assert explain(server, "203.0.113.9")["ours"] == evidence
        assert explain(server, "203.0.113.10")["logged_in"]
    # auth alone: the others go on refusing meanwhile
    mark = server.mark()
    os.kill(server.roles()["auth"], signal.SIGKILL)
    assert refused(server, "203.0.113.9")
    server.wait_log(r"auth\.table", mark, 10)
    wait_refused(server, "203.0.113.9")
    server.wait_log(r"started role=auth|role=auth.*(ready|started)|auth\.table", mark, 10)
    # and a network role alone: it gets the list again
    os.kill(server.roles()["smtp"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while True:
        try:
            if refused(server, "203.0.113.9"):
                break
        except (AssertionError, OSError, EOFError, AttributeError):
            pass
        assert time.monotonic() < deadline, server.log()[-3000:]
        time.sleep(0.1)


def test_damaged_database_does_not_keep_the_server_from_starting(make_server):
    server = make_server(**SERVER).start()
    server.command("ban", "add", "198.18.0.0/16")
    server.stop()
    path = str(server.home / "data" / "auth" / "bans.db")
    with open(path, "r+b") as file:
        file.write(b"\xee" * 2000)
    left = server.command("ban", "list", check=False)
    assert left.returncode == 1 and "not a database" in left.stderr
    mark = server.mark()
    server.start()
    server.wait_log(r"auth\.bans_damaged .*kept=bans\.db\.damaged", mark, 10)
    assert os.path.exists(path + ".damaged")
    assert on_imap(server, "203.0.113.10", password=PASSWORD).status == "OK"
    server.command("ban", "add", "203.0.113.7")
    server.kill()
    server.start()
    wait_refused(server, "203.0.113.7")
    assert server.log().count("auth.bans_damaged") == 1


def test_while_no_server_runs(make_server):
    server = make_server(**SERVER)
    assert server.command("ban", "list").stdout == "nobody is banned\n"
    assert server.command("ban", "add", "203.0.113.7", check=False).returncode == 1
    server.start()
    guess_until_banned(server, "203.0.113.9")
    server.stop()
    assert listed(server)["203.0.113.9"]["rule"] == "failed_login"
    server.command("ban", "remove", "203.0.113.9")
    server.command("ban", "add", "203.0.113.7")
    assert explain(server, "203.0.113.7")["banned"]
    server.start()
    wait_refused(server, "203.0.113.7")
    assert not refused(server, "203.0.113.9")


def test_observe_shows_what_would_be_banned(make_server):
    server = make_server(**{**OPTIONS, "bans": "observe"}).start()
    mark = server.mark()
    for _ in range(15):
        assert on_imap(server, "203.0.113.9").status == "NO"
    assert "simulated=true" in server.wait_log(r"security\.ban client=203\.0\.113\.9", mark)
    assert not refused(server, "203.0.113.9")
    row = listed(server)["203.0.113.9"]
    assert row["simulated"] and not row["enforced"]
    known = explain(server, "203.0.113.9")
    assert known["would_be_banned"] and not known["banned"] and known["ours"]["evidence"]
    assert "would be with bans: local" in server.command("ban", "explain", "203.0.113.9").stdout
    assert server.metrics()['rockdove_bans_made_total{result="would"}'] == 1
    server.command("ban", "add", "203.0.113.10")
    assert refused(server, "203.0.113.10")
    # off: nobody is refused any more, and nothing is promised
    server.config["bans"] = "off"
    server.write_config()
    server.command("reload")
    wait_refused(server, "203.0.113.10", False)
    added = server.command("ban", "add", "203.0.113.11", check=False)
    assert added.returncode == 1 and "bans: off" in added.stderr
    server.config["bans"] = "local"
    server.write_config()
    server.command("reload")
    wait_refused(server, "203.0.113.10")
    assert not refused(server, "203.0.113.9")  # what was only told does not become real
    guess_until_banned(server, "203.0.113.9")
