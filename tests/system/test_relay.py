"""Mail handed to a relay: logging in, TLS, quotas, several relays, and what happens when one of them will not."""
import json
import os
import re
import time

import pytest
from peers.postremote import PostRemote
from peers.smtpserver import Raw
from rockdove import free_port

USER, SECRET = "relayuser", "relay-secret"


@pytest.fixture
def relay_world(make_world, scratch):
    """relay_world(relay={…}, secret=…, **more): a world whose server hands everything to world.relay, a scripted server at a port of its
    own; `relay_options` are that server's."""
    def make(relay=None, secret=f"{USER}:{SECRET}", relay_options=None, start=True, **more):
        world = make_world(**more)
        world.relay_port = free_port()
        world.sasl = world.folder / "sasl"
        if secret is not None:
            world.sasl.write_text(secret + "\n")
        world.options["relay"] = {"host": "[127.0.0.1]", "port": world.relay_port, "tls": "required", **({"sasl_file": world.sasl} if secret is not None else {}),
                                  **(relay or {})}
        options = {"cert": world.certs.issue("relay.test", "IP:127.0.0.1", stem="relay"), "users": {USER: SECRET}, "name": "relay.test"}
        world.relay = world.server_at("127.0.0.1", world.relay_port, **{**options, **(relay_options or {})})
        return world.start() if start else world
    return make


def go(world, to="someone@far.away.example"):
    return world.send(world.new_user(), to)


# ---- the real thing ----

@pytest.fixture(scope="module")
def postfix(scratch, certs, need_peers):
    import peers
    if peers.private_reason():
        pytest.skip(peers.private_reason())
    # TLS at once belongs to port 465 alone: an address of our own for that
    host = f"127.77.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
    remote = PostRemote(scratch / "postremote", {**{name: free_port() for name in ("mx", "plain", "submission", "auth")}, "smtps": 465},
                        certs.issue("relay.test", f"IP:{host}", stem="postfix"), host=host, name="relay.test")
    yield remote.start()
    remote.stop()


@pytest.mark.parametrize("which,auth,tls", [("submission", "auto", "required"), ("submission", "plain", "verify"), ("submission", "login", "required"),
                                            ("submission", "scram-sha-256", "verify"), ("smtps", "auto", "verify")])
def test_postfix_as_the_relay(postfix, make_world, which, auth, tls):
    world = make_world()
    (world.folder / "sasl").write_text(f"{USER}:{SECRET}\n")
    world.options["relay"] = {"host": f"[{postfix.host}]", "port": postfix.ports[which], "tls": tls, "auth": auth, "sasl_file": world.folder / "sasl"}
    world.start()
    to = f"{which}-{auth}-{tls}@far.example"
    _, word = world.send(world.new_user(), to)
    got = postfix.wait_messages(to)[0]
    assert word.encode() in got and b"Authenticated sender: " + USER.encode() in got
    world.wait_gone(to)


def test_postfix_as_the_mx(postfix, make_world):
    world = make_world(direct={"port": postfix.ports["mx"]}, records=f"pf MX 10 mx.pf\nmx.pf A {postfix.host}\n").start()
    to = [f"{name}@pf.test" for name in ("one", "two", "hard-three", "soft-four")]
    user = world.new_user()
    _, word = world.send(user, to)
    for address in to[:2]:
        got = postfix.wait_messages(address)[0]
        assert word.encode() in got and b"with ESMTPS" in got
    assert world.bounce(user).of("hard-three@pf.test")["Status"] == "5.1.1"
    assert "450" in str(world.wait_row("soft-four@pf.test", state="deferred"))


def test_postfix_that_can_do_nothing(postfix, make_world):
    world = make_world(direct={"port": postfix.ports["plain"]}, records=f"pf MX 10 mx.pf\nmx.pf A {postfix.host}\n").start()
    _, word = world.send(world.new_user(), [f"plain{n}@pf.test" for n in range(3)])
    for n in range(3):
        assert word.encode() in postfix.wait_messages(f"plain{n}@pf.test")[0]


# ---- logging in ----

@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2"])
def test_mechanisms(relay_world, mechanism):
    auth = {"XOAUTH2": "xoauth2"}.get(mechanism, "auto")
    world = relay_world({"auth": auth}, relay_options={"mechanisms": [mechanism]})
    go(world)
    world.relay.wait_messages(1)
    session = world.relay.kept[0].session
    assert session.mechanism == mechanism and session.user == USER and session.tls


def test_the_best_mechanism_is_taken(relay_world):
    world = relay_world()
    go(world)
    world.relay.wait_messages(1)
    assert world.relay.sessions[0].mechanism == "SCRAM-SHA-256"
    assert not any(SECRET.encode() in blob for blob in world.relay.sessions[0].blobs)


def test_a_relay_that_cannot_prove_it_knows_the_password(relay_world):
    world = relay_world(relay_options={"mechanisms": ["SCRAM-SHA-256"], "scram_lies": True})
    go(world)
    world.relay.wait_sessions(1)
    time.sleep(1.5)
    assert not world.relay.offered and len(world.rows()) == 1


def test_the_password_is_not_sent_without_tls(relay_world):
    world = relay_world({"tls": "opportunistic"}, relay_options={"cert": None, "auth_needs_tls": False, "mechanisms": ["PLAIN", "LOGIN"]})
    go(world)
    world.relay.wait_sessions(1)
    time.sleep(1.5)
    assert not any(session.blobs for session in world.relay.sessions) and not world.relay.offered
    assert len(world.rows()) == 1


def test_a_refused_login_stops_the_route(relay_world):
    world = relay_world(secret=f"{USER}:wrong", queue={"retry_first": "200ms", "retry_max": "500ms"})
    for n in range(5):
        go(world, f"user{n}@far.example")
    world.wait_row("user0@far.example", state="stopped")
    time.sleep(0.5)
    before = len(world.relay.sessions)
    time.sleep(3)
    assert len(world.relay.sessions) - before <= 1 and before <= 10, "the relay is hammered"
    assert len(world.rows()) == 5
    assert re.search(r"535|login|auth", world.server.log(), re.I)
    assert SECRET not in world.server.log() and "wrong" not in world.server.log()
    world.sasl.write_text(f"{USER}:{SECRET}\n")
    world.relay.wait_messages(5, timeout=60)
    assert not world.rows()


def test_a_login_that_fails_for_now(relay_world):
    world = relay_world(relay_options={"script": {"auth": ["454 4.7.0 try again", None]}})
    go(world)
    world.relay.wait_messages(1)


def test_nobody_asked_for_a_login(relay_world):
    world = relay_world(secret=None, relay_options={"users": None})
    go(world)
    world.relay.wait_messages(1)


def test_the_secret_by_host(relay_world):
    world = relay_world(start=False)
    world.sasl.write_text(f"# comment\n[other.example]:587 x:y\n[127.0.0.1]:{world.relay_port} {USER}:{SECRET}\n")
    world.start()
    go(world)
    world.relay.wait_messages(1)


# ---- TLS ----

CERTS = {"good": lambda certs: certs.issue("relay.test", "IP:127.0.0.1", stem="relay"), "self-signed": lambda certs: certs.make("relay.test"),
         "expired": lambda certs: certs.issue("relay.test", "IP:127.0.0.1", stem="relay", days=-1),
         "wrong name": lambda certs: certs.issue("other.test"), "none": lambda certs: None}
LEVELS = {"none": CERTS, "opportunistic": CERTS, "required": [name for name in CERTS if name != "none"], "verify": ["good"]}


@pytest.mark.parametrize("level", LEVELS)
def test_tls_levels(relay_world, certs, level):
    """Each level with each certificate, one server: goes where it should, and stays where it should not."""
    world = relay_world({"tls": level}, secret=None, relay_options={"users": None}, queue={"retry_first": "300ms", "retry_max": "300ms"})
    for n, (name, make) in enumerate(CERTS.items()):
        world.relay.stop()
        world.relay = world.server_at("127.0.0.1", world.relay_port, name="relay.test", cert=make(certs))
        to = f"user{n}@far.example"
        go(world, to)
        if name in LEVELS[level]:
            world.relay.wait_messages(1)
            assert bool(world.relay.kept[0].session.tls) == (level != "none" and name != "none"), name
            world.wait_gone(to)
        else:
            world.wait_row(to, state="deferred")
            world.relay.wait_sessions(1)
            assert not world.relay.offered, (level, name)
            assert not any(line.startswith("MAIL") for session in world.relay.sessions for line in session.commands)
            while world.queue("delete", "--recipient", to, check=False).returncode:  # not while it is being tried
                time.sleep(0.05)
            world.queue("retry", "--all", check=False)


def test_starttls_that_is_taken_away(relay_world):
    """A relay that says it has no STARTTLS, or refuses it, gets neither login nor mail."""
    world = relay_world(relay_options={"starttls": False, "auth_needs_tls": False})
    go(world)
    world.relay.wait_sessions(1)
    time.sleep(1)
    assert not any(session.blobs for session in world.relay.sessions) and not world.relay.offered
    world.relay.starttls = True
    world.relay.set_script({"starttls": "454 4.7.0 no"})
    world.queue("retry", "--all")
    time.sleep(1)
    assert not any(session.blobs for session in world.relay.sessions) and not world.relay.offered
    world.relay.set_script({"starttls": Raw(b"220 go\r\n250-evil\r\n250 AUTH PLAIN LOGIN\r\n")})
    world.queue("retry", "--all")
    time.sleep(1)
    world.relay.set_script({})
    world.queue("retry", "--all")
    world.relay.wait_messages(1)
    assert all(session.tls for session in world.relay.sessions if session.blobs)


# ---- quotas ----

def test_a_daily_quota(relay_world):
    world = relay_world({"daily": 10, "reserve": 2, "reserve_senders": ["t1@example.test"]})
    for n in range(9):
        world.send("t0@example.test", f"user{n}@far.example")
    world.relay.wait(lambda: len(world.relay.kept) >= 8, what="8 messages")
    world.wait_row("user8@far.example", state="quota")
    assert re.search(r"80 ?%|quota", world.server.log(), re.I)
    world.send("t1@example.test", "probe@far.example")  # the reserve is for this one
    world.relay.wait_messages(9)
    assert {message.to[0] for message in world.relay.kept[:8]} == {f"user{n}@far.example" for n in range(8)}
    listed = world.server.command("relay", "list").stdout
    assert "9" in listed and "10" in listed, listed
    world.server.stop()
    world.server.start()  # what was counted is still counted
    time.sleep(1)
    assert world.row("user8@far.example")["state"] in ("quota", "waiting") and len(world.relay.kept) == 9


def test_what_goes_past_the_queue_is_counted(relay_world):
    world = relay_world({"daily": 10})
    world.server.command("relay", "count", "default", "9")
    for n in range(2):
        world.send("t0@example.test", f"user{n}@far.example")
    world.relay.wait_messages(1)
    world.wait_row("user1@far.example", state="quota")


def test_recipients_count(relay_world):
    world = relay_world({"daily": 5})
    world.send("t0@example.test", [f"user{n}@far.example" for n in range(8)])
    world.relay.wait(lambda: sum(len(message.to) for message in world.relay.kept) == 5, what="5 recipients")
    time.sleep(0.5)
    assert len(world.rows("--state", "quota")) == 3


# ---- several relays ----

@pytest.fixture
def two(make_world):
    """A world, not started, with two scripted relays without login."""
    world = make_world()
    for n, name in enumerate(("first", "second"), 1):
        setattr(world, name, world.server_at(f"127.0.5.{n}", port := free_port(), name=f"{name}.test"))
        getattr(world, name).port = port
    world.plain = lambda which, **more: {"host": f"[{which.host}]", "port": which.port, "tls": "none", **more}
    return world


def test_another_relay_takes_over(two):
    two.options["relay"] = two.plain(two.first, next="backup")
    two.options["relays"] = [two.plain(two.second, name="backup")]
    two.start()
    go(two)
    two.first.wait_messages(1)
    two.first.stop()
    go(two)
    two.second.wait_messages(1, timeout=40)


def test_another_relay_takes_over_when_the_day_is_used_up(two):
    two.options["relay"] = two.plain(two.first, daily=2, next="backup")
    two.options["relays"] = [two.plain(two.second, name="backup")]
    two.start()
    for n in range(5):
        go(two, f"user{n}@far.example")
    two.first.wait_messages(2)
    two.second.wait_messages(3)


def test_routes_by_sender_and_recipient(two):
    remote = two.remote()
    two.options["relays"] = [two.plain(two.first, name="senders", senders=["t3@example.test"]),
                             two.plain(two.second, name="recipients", recipients=["partner.example"])]
    two.start()
    two.send("t3@example.test", "user@far.example")
    two.send("t4@example.test", ["user@partner.example", remote.address()])
    two.send("t3@example.test", "other@partner.example")
    assert two.first.wait_messages(1)[0].to == ["user@far.example"]
    assert sorted(message.to[0] for message in two.second.wait_messages(2)) == ["other@partner.example", "user@partner.example"]
    assert remote.wait_messages(1)[0].to == [remote.address()]


def test_docker_mailservers_files(two):
    remote = two.remote()
    two.first.users, two.first.require_auth = {"u1": "k:1"}, True
    two.first.use_cert(two.certs.make("first.test"))
    (two.folder / "relaymap.cf").write_text(f"# relays\n@example.test\t[{two.first.host}]:{two.first.port}\n@other.test\n")
    (two.folder / "sasl.cf").write_text(f"[{two.first.host}]:{two.first.port} u1:k:1\n")
    two.options["relay"] = two.plain(two.second)
    two.options["domains"] = [{"name": "example.test"}, {"name": "other.test"}]
    two.options["relay_maps"] = [{"file": two.folder / "relaymap.cf", "sasl_file": two.folder / "sasl.cf"}]
    two.accounts["me@other.test"] = "pw"
    two.start()
    two.send("t5@example.test", "user@far.example")
    assert two.first.wait_messages(1)[0].session.user == "u1"
    two.send("me@other.test", remote.address())
    remote.wait_messages(1)
    assert not two.second.kept


@pytest.mark.parametrize("level,cert,goes", [("verify", "good", True), ("verify", "self", False), ("required", "self", True), ("required", None, False),
                                             ("opportunistic", None, True), ("auto", None, True), ("none", "good", True)])
def test_tls_to_the_hosts_of_a_relay_map(two, level, cert, goes):
    if cert:
        two.first.use_cert(two.certs.issue("first.test", f"IP:{two.first.host}", stem="first") if cert == "good" else two.certs.make("first.test"))
    (two.folder / "relaymap.cf").write_text(f"@example.test [{two.first.host}]:{two.first.port}\n")
    two.options["relay_maps"] = [{"file": two.folder / "relaymap.cf", "tls": level}]
    two.start()
    go(two)
    if goes:
        assert bool(two.first.wait_messages(1)[0].session.tls) == (cert is not None and level != "none")
    else:
        two.wait_row("someone@far.away.example", state="deferred")
        assert not two.first.offered and not any(line.startswith("MAIL") for session in two.first.sessions for line in session.commands)


def test_only_one_relay_keeps_a_message(two):
    """A relay that refuses one message for now has not failed: it is asked again, or another one is, and one of them gets it."""
    two.options["relay"] = two.plain(two.first, next="backup")
    two.options["relays"] = [two.plain(two.second, name="backup")]
    two.first.set_script({"body": ["451 4.3.0 no room", None]})
    two.start()
    go(two)
    two.second.wait(lambda: len(two.first.kept) + len(two.second.kept) >= 1, 40, "the message at the second relay")
    time.sleep(1)
    assert len(two.first.kept) + len(two.second.kept) == 1


# ---- relay test ----

def test_relay_test(relay_world):
    world = relay_world({"daily": 10})
    done = world.server.command("relay", "test")
    assert re.search(r"TLSv1\.[23]", done.stdout) and re.search("SCRAM-SHA-256", done.stdout) and "52428800" in done.stdout.replace(",", ""), done.stdout
    assert SECRET not in done.stdout
    assert not world.relay.kept
    done = world.server.command("relay", "test", "--to", "me@far.example")
    assert world.relay.wait_messages(1)[0].to == ["me@far.example"]
    assert json.loads(world.server.command("relay", "list", "--json").stdout)[0]["used"] == 1


def test_relay_test_takes_the_secret_as_it_is_now(relay_world):
    """Whoever has just written the file wants to know whether it is right: nothing is waited for, and old secrets are not tried."""
    world = relay_world(watch_files="1h")
    world.sasl.write_text(f"{USER}:wrong\n")
    done = world.server.command("relay", "test", check=False)
    assert done.returncode == 1 and "535" in done.stdout + done.stderr, done
    world.sasl.write_text(f"{USER}:{SECRET}\n")
    assert "accepted" in world.server.command("relay", "test").stdout
    reloads = world.server.log().count("supervisor.reloaded")
    assert world.server.command("relay", "test").returncode == 0
    assert world.server.log().count("supervisor.reloaded") == reloads == 2, "nothing changed, nothing is read again"
    (world.server.home / "accounts.json").write_text("nonsense")
    done = world.server.command("relay", "test", check=False)
    assert "the log says why" in done.stdout and "accepted" in done.stdout, done


def test_relay_test_of_a_relay_that_is_not_there(relay_world):
    world = relay_world()
    world.relay.stop()
    done = world.server.command("relay", "test", check=False)
    assert done.returncode == 1 and done.stdout + done.stderr


def test_relay_list_as_json(relay_world):
    world = relay_world({"daily": 300})
    relays = json.loads(world.server.command("relay", "list", "--json").stdout)
    assert relays[0]["name"] == "default" and relays[0]["daily"] == 300, relays
