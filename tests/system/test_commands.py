"""The command line: check, route, account, store, trace, config; and where addresses go."""
import json
import re
import subprocess

import mail
import pytest
from wire import Imap, Smtp


def openssl_hash(kind, password):
    return subprocess.run(["openssl", "passwd", kind, password], capture_output=True, text=True, check=True).stdout.strip()


def logs_in(server, user, password):
    with Imap(server.ports["imap"]) as client:
        return client.login(user, password).status == "OK"


def test_check_says_everything_at_once(make_server):
    server = make_server(listeners=["mx"])
    assert server.command("check").returncode == 0
    text = server.file.read_text().replace("hostname:", "hostnam:") + "limits2: { a: 1 }\nbans: perhaps\n"
    server.file.write_text(text)
    done = server.command("check", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    last = len(text.splitlines())
    for part in ("hostnam", "limits2", "bans", "rockdove.yaml:1", f"rockdove.yaml:{last}", f"rockdove.yaml:{last - 1}"):
        assert part in said, (part, said)


def test_check_names_missing_files_and_collisions(make_server, tmp_path):
    server = make_server(listeners=["mx"], tls=[{"cert": tmp_path / "none.pem", "key": tmp_path / "none.key"}])
    server.config["listeners"] *= 2
    server.write_config()
    done = server.command("check", check=False)
    assert done.returncode == 1 and "none.pem" in done.stdout + done.stderr


def test_check_names_traps_that_are_none(make_server):
    server = make_server(listeners=["mx"], accounts={"owner@example.test": "x"},
                         ban_policy={"spam_traps": ["Owner@example.test", "old@example.test", "a@elsewhere.test"]})
    done = server.command("check", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Owner@example.test has an owner" in said and "a@elsewhere.test is not an address here" in said, said
    assert "old@example.test" not in said


def test_run_with_a_bad_configuration_ends(make_server):
    server = make_server(listeners=["mx"])
    server.file.write_text("listeners: 5\n")
    done = server.command("run", check=False, timeout=10)
    assert done.returncode != 0 and "rockdove.yaml:1" in done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["accounts", "aliases", "regexp_aliases"])
def test_run_without_its_files_does_not_start(make_server, tmp_path, kind):
    """A server without its accounts would tell their senders that nobody is there."""
    server = make_server(listeners=["mx"])
    server.config[kind] = [{"file": tmp_path / "gone.cf"}]
    server.write_config()
    done = server.command("run", check=False, timeout=15)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "gone.cf" in said and "\nready" not in said, said


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["check", "--help"], ["route", "--help"], ["account", "--help"],
                                   ["store", "--help"], ["trace", "--help"], ["config", "--help"]])
def test_help(make_server, words):
    server = make_server(listeners=["mx"])
    done = subprocess.run([server.binary, *words], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and "rockdove" in done.stdout
    assert subprocess.run([server.binary, "nonsense"], capture_output=True, timeout=10).returncode != 0


ROUTES = """
two@example.test t1@example.test, t2@example.test
here-and-there@example.test here-and-there@example.test, t2@example.test
t4@example.test t4@example.test
t5@example.test t6@example.test
chain@example.test two@example.test
"""


def test_route(make_server):
    accounts = {f"t{number}@example.test": "x" for number in range(8)}
    accounts["here-and-there@example.test"] = "x"
    server = make_server(accounts=accounts, listeners=["mx"], aliases=ROUTES,
                         domains=[{"name": "example.test"}, {"name": "catch.test", "catch_all": "t7@example.test"}])
    for address, wanted in {
        "t1@example.test": ["t1@example.test"],
        "T1@EXAMPLE.test": ["t1@example.test"],
        "t1+tag@example.test": ["t1@example.test"],
        "two@example.test": ["t1@example.test", "t2@example.test"],
        "here-and-there@example.test": ["here-and-there@example.test", "t2@example.test"],
        "t4@example.test": ["t4@example.test"],
        "t5@example.test": ["t5@example.test"],  # the line that would give t5's mail to t6 is ignored
        "chain@example.test": ["t1@example.test", "t2@example.test"],
        "free@catch.test": ["t7@example.test"],
    }.items():
        said = server.command("route", address).stdout
        for target in wanted:
            assert target in said, (address, said)
        if address == "t5@example.test":
            assert "t6@example.test" not in said.splitlines()[0]
    assert server.command("route", "nobody@example.test", check=False).returncode != 0
    answer = json.loads(server.command("route", "two@example.test", "--json").stdout)
    assert "t1@example.test" in json.dumps(answer)
    checked = server.command("check", check=False)
    said = checked.stdout + checked.stderr
    assert "t5@example.test t6@example.test" in said or ("t5@example.test" in said and "t6@example.test" in said), said


def test_compare_postfix(make_server):
    server = make_server(accounts={"a@catch.test": "x", "spam@catch.test": "x", "b@catch.test": "x"}, listeners=["mx"],
                         aliases="b@catch.test b@catch.test\n", domains=[{"name": "catch.test", "catch_all": "spam@catch.test"}])
    said = server.command("route", "--compare-postfix", check=False).stdout
    assert "a@catch.test" in said and "\nb@catch.test" not in "\n" + said


def test_the_same_address_with_two_meanings(make_server, scratch):
    server = make_server(listeners=["mx"])
    other = server.home / "other.json"
    other.write_text(json.dumps({"t1@example.test": "another password"}))
    server.config["accounts"].append({"file": other, "format": "json"})
    server.write_config()
    done = server.command("check", check=False)
    assert done.returncode == 1 and "t1@example.test" in done.stdout + done.stderr


def test_hashes_of_every_kind(make_server):
    import base64
    import hashlib
    salt = b"12345678"
    ssha = base64.b64encode(hashlib.sha512(b"secret" + salt).digest() + salt).decode()
    sha512, sha256 = openssl_hash("-6", "secret"), openssl_hash("-5", "secret")
    accounts = {
        "plain@example.test": "secret",
        "plain2@example.test": "{PLAIN}secret",
        "sha512@example.test": sha512,
        "sha512p@example.test": "{SHA512-CRYPT}" + sha512,
        "sha256@example.test": sha256,
        "wrongprefix@example.test": "{SHA512-CRYPT}" + sha256,
        "ssha@example.test": "{SSHA512}" + ssha,
    }
    server = make_server(accounts=accounts, listeners=["imap"], limits={"auth_failure_delay": "0s"}).start()
    for user in accounts:
        assert logs_in(server, user, "secret"), user
        assert not logs_in(server, user, "Secret"), user
        assert not logs_in(server, user, accounts[user]) or user == "plain@example.test", user


def test_postfix_accounts_file(make_server):
    server = make_server(listeners=["imap", "mx"])
    table = server.home / "postfix-accounts.cf"
    table.write_bytes(b"# comment\r\n\r\nold@example.test|{SHA512-CRYPT}" + openssl_hash("-6", "secret").encode()
                      + b"|userdb_quota_rule=*:bytes=5M\r\nlast@example.test|" + openssl_hash("-5", "other").encode())
    server.config["accounts"] = [{"file": table}]
    server.write_config()
    server.start()
    assert logs_in(server, "old@example.test", "secret") and logs_in(server, "OLD@EXAMPLE.TEST", "secret")
    assert logs_in(server, "last@example.test", "other")


def test_account_commands(make_server):
    server = make_server(listeners=["imap", "mx"]).start()
    server.command("account", "add", "fresh@example.test", input="first word\n")
    assert "fresh@example.test" in server.command("account", "list").stdout
    assert logs_in(server, "fresh@example.test", "first word")
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
        assert client.deliver("a@remote.test", ["fresh@example.test"], mail.plain()).code == 250
    server.command("account", "passwd", "fresh@example.test", input="second word\n")
    assert logs_in(server, "fresh@example.test", "second word") and not logs_in(server, "fresh@example.test", "first word")
    assert server.command("account", "add", "t1@example.test", input="x\n", check=False).returncode != 0, "it exists in a file"
    done = server.command("account", "remove", "fresh@example.test", check=False, input="")
    assert done.returncode != 0, "what happens to the mail is asked for, never assumed"
    assert logs_in(server, "fresh@example.test", "second word")


def test_store_verify_and_rebuild(make_server):
    server = make_server(listeners=["mx", "imap"]).start()
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
        for number in range(5):
            assert client.deliver("a@remote.test", ["t2@example.test"], mail.plain(subject=f"kept {number}")).code == 250
    assert "in use by a running server" in server.command("store", "verify", check=False).stderr
    server.stop()
    assert server.command("store", "verify").returncode == 0
    files = sorted(path for path in (server.home / "data").rglob("*.eml"))
    assert len(files) == 5
    content = files[0].read_bytes()
    files[0].unlink()
    done = server.command("store", "verify", check=False)
    assert done.returncode == 1 and files[0].stem in done.stdout + done.stderr
    files[0].write_bytes(content)
    assert server.command("store", "verify").returncode == 0
    for index in (server.home / "data").rglob("index.db*"):
        index.unlink()
    server.command("store", "rebuild", "t2@example.test")
    server.start()
    with Imap(server.ports["imap"]) as client:
        client.login("t2@example.test", "pw-2")
        client.wait_messages(5)
        client.ok("SELECT INBOX")
        assert len(client.ok("SEARCH SUBJECT kept").find(rb"SEARCH (.*)")[1].split()) == 5


def test_metrics_are_well_formed(make_server):
    server = make_server(listeners=["mx", "imap", "metrics"]).start()
    status, text = server.get("/metrics")
    assert status == 200
    typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    helped = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")}
    assert typed and typed == helped and all(name.startswith("rockdove_") for name in typed)
    assert server.get("/nothing")[0] == 404
    assert server.metrics()


def _counted(server, before):
    """What the counters went up by; the roles keep them in memory that is shared, so at once."""
    return {name[len("rockdove_"):]: value - before[name] for name, value in server.metrics().items()
            if value != before[name] and re.match("rockdove_(logins_total|login_seconds_count|bytes_accepted)", name)}


def test_logins_are_counted_once(make_server):
    server = make_server(listeners=["mx", "imap", "smtps", "metrics"]).start()
    before = server.metrics()
    for password, status in ("pw-0", "OK"), ("wrong", "NO"), ("pw-0", "OK"):
        with Imap(server.ports["imap"]) as client:
            assert client.login("t0@example.test", password).status == status
    assert _counted(server, before) == {'logins_total{service="imap",result="ok"}': 2, "login_seconds_count": 3,
                                        'logins_total{service="imap",result="failed"}': 1}
    before = server.metrics()
    for password, code in ("pw-0", 235), ("wrong", 535):
        with Smtp(server.ports["smtps"], tls=True) as client:
            client.ehlo()
            assert client.auth_plain("t0@example.test", password).code == code
    assert _counted(server, before) == {'logins_total{service="submission",result="ok"}': 1, "login_seconds_count": 2,
                                        'logins_total{service="submission",result="failed"}': 1}


def test_bytes_of_accepted_messages_are_counted(make_server):
    server = make_server(listeners=["mx", "metrics"]).start()
    before, message = server.metrics(), mail.plain(body="x" * 60 + "\r\n")
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
        assert client.deliver("a@remote.test", ["t0@example.test"], message).code == 250
        assert client.deliver("a@remote.test", ["t0@example.test"], message).code == 250
    assert _counted(server, before) == {"bytes_accepted_total": 2 * len(message)}


def test_files_a_crash_left_in_the_queue_go(make_server):
    """A file whose rows never came is removed at the next start; one of a message that waits stays."""
    server = make_server(listeners=["mx", "imap"]).start()
    folder = server.home / "data" / "store" / "queue"
    broken = folder.parent / "accounts" / "t8@example.test"
    broken.write_text("not a folder: deliveries to this account wait\n")
    with Smtp(server.ports["mx"]) as client:
        client.ehlo()
        assert client.deliver("a@remote.test", ["t7@example.test", "t8@example.test"], mail.plain()).code == 250
    server.wait_log("queue.deferred", timeout=10)
    live = {path.name for path in folder.iterdir()}
    assert len(live) == 1, live
    server.stop()
    for name in "000000000000001.eml", "000000000000002.eml":
        (folder / name).write_bytes(b"left over")
    server.start()
    server.wait_log("store.queue-files.*removed=2", timeout=10)
    assert {path.name for path in folder.iterdir()} == live
    broken.unlink()
    with Imap(server.ports["imap"]) as client:
        assert client.login("t8@example.test", "pw-8").status == "OK"
        client.wait_messages(1)
    done = server.command("trace", "000000000000001", check=False)
    assert done.returncode == 1 and "nothing is known of this id" in done.stdout + done.stderr, done


def test_configuration_secrets_are_not_shown(make_server):
    server = make_server(listeners=["mx"])
    shown = server.command("config", "show").stdout
    assert "mail.example.test" in shown and "pw-1" not in shown
