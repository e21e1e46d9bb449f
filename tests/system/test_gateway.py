"""A tunnel or gateway that hides its clients behind one private address is recognised, and `check` says so."""
import json
import os
import signal
import time

import mail
from proxyheader import v2
from wire import Smtp

SERVER = {"trusted_networks": ["10.10.0.0/16"]}


def greet(server, source, *names):
    header = v2(source, "2001:db8::25" if ":" in source else "198.51.100.1")
    for name in names:
        with Smtp(server.ports["mx-proxy"], proxy=header) as client:
            assert client.cmd(f"EHLO {name}").code == 250


def domains(count, top="test"):
    return [f"mail.sender{number}.{top}" for number in range(count)]


def hidden(server):
    """Warnings of check about gateways."""
    done = server.command("--json", "check")
    return [one for one in json.loads(done.stdout)["problems"] if "hides its clients" in one["text"]]


def test_only_many_domains_from_a_private_stranger(server):
    mark = server.mark()
    greet(server, "203.0.113.9", *domains(9))           # a public address may have as many names as it likes
    greet(server, "10.10.0.7", *domains(9))             # trusted
    greet(server, "127.0.0.5", *domains(9))             # this machine, and who may send headers
    greet(server, "10.20.0.7", *domains(4), "localhost", "pc.lan", "[10.20.0.7]", "mx2.sender0.test")
    time.sleep(0.2)
    assert hidden(server) == [] and not [line for line in server.since(mark) if "smtp.gateway" in line]


def test_a_gateway(server, imap, user):
    mark = server.mark()
    greet(server, "10.30.0.1", *domains(5))
    server.wait_log(r"warn smtp\.gateway .*client=10\.30\.0\.1 listener=mx-proxy", mark)
    greet(server, "10.30.0.1", *domains(9, "example"))
    greet(server, "fd00::77", *domains(5))
    server.wait_log(r"warn smtp\.gateway .*client=fd00::77", mark)
    warnings = hidden(server)
    assert len(warnings) == 2, warnings
    assert "10.30.0.1" in warnings[0]["text"] and "listener mx-proxy" in warnings[0]["text"] and warnings[0]["line"] > 0
    assert "fd00::77" in warnings[1]["text"] and "proxy_trusted_networks" in warnings[1]["remedy"]
    assert len([line for line in server.since(mark) if "smtp.gateway" in line]) == 2, "once each"
    with Smtp(server.ports["mx-proxy"], proxy=v2("10.30.0.1")) as client:
        client.ehlo("mail.more.test")
        assert client.deliver("a@remote.test", [user.address], mail.plain()).code == 250
    # auth, which keeps them, forgets nothing when it is started anew
    os.kill(server.roles()["auth"], signal.SIGKILL)
    server.wait_log(r"role_ready .*role=auth", mark)
    deadline = time.monotonic() + 5
    while len(hidden(server)) != 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(hidden(server)) == 2


def test_check_without_a_server(make_server):
    done = make_server(listeners=["mx"]).command("check")
    assert "0 errors" in done.stdout and "hides" not in done.stdout
