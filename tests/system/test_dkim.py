"""Signatures on mail that leaves, judged by OpenDKIM; keys in the layouts people have; what happens when a key does not fit."""
import base64
import json
import re
import subprocess
import time

import mail
import pytest
from peers.dnszone import txt
from peers.opendkim import verify
from rockdove import free_port

DOMAINS = ("example.test", "twokeys.test", "wrong.test", "absent.test")


def rsa_key(file, form="pkcs8"):
    """Makes a key; its record."""
    words = ["-traditional"] if form == "pkcs1" else []
    key = subprocess.run(["openssl", "genrsa", *words, "2048"], check=True, capture_output=True, timeout=30).stdout
    file.write_bytes(key)
    public = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=key, check=True, capture_output=True, timeout=30).stdout
    return "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()


def ed25519_key(file):
    """The same as rspamd keeps it: base64 of seed and public key."""
    pem = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-outform", "DER"], check=True, capture_output=True, timeout=30).stdout
    public = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=pem, check=True, capture_output=True, timeout=30).stdout[-32:]
    file.write_text(base64.b64encode(pem[-32:] + public).decode() + "\n")
    return "v=DKIM1; k=ed25519; p=" + base64.b64encode(public).decode()


RECORDS = {}
TRIAL = free_port()


def WORLD(certs, folder):
    RECORDS["mail._domainkey.example.test"] = rsa_key(folder / "example.key")
    RECORDS["rsa._domainkey.twokeys.test"] = rsa_key(folder / "rsa.key", "pkcs1")
    RECORDS["ed._domainkey.twokeys.test"] = ed25519_key(folder / "ed.key")
    rsa_key(folder / "wrong.key")
    RECORDS["mail._domainkey.wrong.test"] = RECORDS["mail._domainkey.example.test"]  # the record of another key
    rsa_key(folder / "absent.key")
    for file in folder.iterdir():
        file.chmod(0o600)
    zones = {}
    for domain in DOMAINS:
        zones[domain] = "".join(f"{name[:-len(domain) - 1]} TXT {txt(text)}\n" for name, text in RECORDS.items() if name.endswith("." + domain))
    keys = [("example.test", "mail", "example.key"), ("twokeys.test", "rsa", "rsa.key"), ("twokeys.test", "ed", "ed.key"),
            ("wrong.test", "mail", "wrong.key"), ("absent.test", "mail", "absent.key")]
    return {"zones": zones, "relays": [{"name": "trial", "host": "[127.0.0.1]", "port": TRIAL, "tls": "none"}], "domains": [{"name": name} for name in (*DOMAINS, "nokey.test")],
            "dkim": [{"domain": domain, "selector": selector, "key_file": folder / file} for domain, selector, file in keys]}


@pytest.fixture(autouse=True)
def more_accounts(module_world):
    new = {f"me@{domain}": "pw" for domain in (*DOMAINS, "nokey.test") if f"me@{domain}" not in module_world.accounts}
    if new:
        module_world.accounts.update(new)
        (module_world.server.home / "accounts.json").write_text(json.dumps(module_world.accounts))
        module_world.server.command("reload", check=False)
        time.sleep(1)


def judged(world, message, **more):
    return verify(world.folder / "opendkim", message.data, {**RECORDS, **more})


def test_a_trial_of_a_relay_is_signed_like_other_mail(world):
    relay = world.server_at("127.0.0.1", TRIAL)
    world.server.command("relay", "test", "trial", "--to", "me@far.example")
    got = relay.wait_messages(1)[0]
    assert got.sender == "postmaster@example.test" and judged(world, got) == [("pass", "example.test", "mail", "rsa-sha256")]


def test_a_signature_opendkim_accepts(world):
    remote = world.remote()
    world.send("me@example.test", remote.address(), body="  spaces \t here \r\n\r\n\r\n")
    got = remote.wait_messages(1)[0]
    assert judged(world, got) == [("pass", "example.test", "mail", "rsa-sha256")]
    field = got.header("DKIM-Signature")
    tags = dict(part.strip().split("=", 1) for part in field.split(";") if part.strip())
    assert tags["d"] == "example.test" and "t" in tags
    signed = re.sub(r"\s", "", tags["h"]).lower().split(":")
    present = [line.split(b":")[0].decode().lower() for line in re.split(rb"\r\n(?![ \t])", got.data.partition(b"\r\n\r\n")[0])]
    for name in ("from", "to", "subject", "date", "message-id"):
        assert signed.count(name) == present.count(name) + 1, f"{name} is not oversigned: {signed}"
    assert max(map(len, got.data.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 998


@pytest.mark.parametrize("change", [lambda data: data.replace(b"text\r\n", b"test\r\n"), lambda data: data.replace(b"Subject: hello", b"Subject: hullo"),
                                    lambda data: data.replace(b"Subject:", b"Subject: other\r\nSubject:"),
                                    lambda data: data.replace(b"From:", b"From: x@evil.example\r\nFrom:")])
def test_what_is_changed_on_the_way_does_not_pass(world, change):
    remote = world.remote()
    world.send("me@example.test", remote.address())
    got = remote.wait_messages(1)[0]
    got.data = change(got.data)
    assert [result for result, *_ in judged(world, got)] != ["pass"]


def odd(user, to, fields):
    """A message with these fields in place of its Subject."""
    return mail.plain(sender=user, to=to).replace(b"Subject: hello", fields)


MESSAGES = {
    "empty body": lambda user, to: mail.plain(sender=user, to=to, body=""),
    "no last line end": lambda user, to: mail.plain(sender=user, to=to, body="no end"),
    "folded header": lambda user, to: mail.plain(sender=user, to=to, subject="a\r\n \tfolded\r\n  subject"),
    "many addresses": lambda user, to: mail.plain(sender=user, to=",\r\n ".join([to] * 60)),
    "8 bit": lambda user, to: mail.plain(sender=user, to=to, body="Grüße\r\n", MIME_Version="1.0", Content_Type="text/plain; charset=utf-8",
                                         Content_Transfer_Encoding="8bit"),
    "dots": lambda user, to: mail.plain(sender=user, to=to, body="..\r\n.x\r\n...\r\n"),
    "large": lambda user, to: mail.plain(sender=user, to=to, body="".join(f"line {n} of many\r\n" for n in range(200000))),
    "multipart": lambda user, to: mail.multipart().replace(b"stranger@remote.test", user.encode()),
    "nothing but line ends": lambda user, to: mail.plain(sender=user, to=to, body="\r\n\r\n\r\n"),
    "nothing but blanks": lambda user, to: mail.plain(sender=user, to=to, body=" \t \r\n\t\r\n \r\n"),
    "one blank": lambda user, to: mail.plain(sender=user, to=to, body=" "),
    "blanks at line ends": lambda user, to: mail.plain(sender=user, to=to, body="a \t\r\n \t b\t\tc \r\n\t\r\nend \r\n \r\n\r\n"),
    "other white space in the body": lambda user, to: mail.plain(sender=user, to=to, body="a \v b \f\r\n\f\r\n"),
    "blanks around a value": lambda user, to: odd(user, to, b"SUBJECT:  \t odd  one \t"),
    "a fold that is blank": lambda user, to: odd(user, to, b"Subject: a\r\n \t \r\n b\r\n\t"),
    "an empty value": lambda user, to: odd(user, to, b"Subject:\r\nReply-To:\r\n \r\nKeywords:"),
    "a value of folds": lambda user, to: odd(user, to, b"Subject:\r\n a\r\n  b\r\n\tc"),
    "fields more than once": lambda user, to: odd(user, to, b"Subject: 1\r\nsubject: 2\r\nReply-To: a@far.example\r\nSUBJECT: 3\r\nReply-To: b@far.example"),
    "a field too often": lambda user, to: odd(user, to, b"\r\n".join(b"Reply-To: a%d@far.example" % n for n in range(30))),
    "a field too long": lambda user, to: odd(user, to, b"Cc: " + b",\r\n ".join(b"somebody%d@far.example" % n for n in range(1500))),
    "quoted commas and comments": lambda user, to: mail.plain(sender=user, to=f'"a, (b) \\" c" (x; y=z) <{to}>'),
    "long lines": lambda user, to: mail.plain(sender=user, to=to, body=("x" * 997 + "\r\n") * 3 + " " * 998 + "\r\n"),
    "bcc": lambda user, to: mail.plain(sender=user, to=to, Bcc="hidden@far.example"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_of_all_kinds(world, name):
    remote = world.remote()
    world.send("me@example.test", remote.address(), MESSAGES[name]("me@example.test", remote.address()))
    got = remote.wait_messages(1, timeout=30)[0]
    assert judged(world, got) == [("pass", "example.test", "mail", "rsa-sha256")]
    assert b"hidden@far.example" not in got.data


def test_the_7_bit_form_is_what_is_signed(world):
    remote = world.remote(extensions=("SIZE 1000000",))
    world.send("me@example.test", remote.address(), MESSAGES["8 bit"]("me@example.test", remote.address()), mail_parameters=" BODY=8BITMIME")
    got = remote.wait_messages(1)[0]
    assert all(byte < 128 for byte in got.data)
    assert judged(world, got) == [("pass", "example.test", "mail", "rsa-sha256")]


def test_a_damaged_key_is_no_reason_to_stop_signing(make_world, scratch):
    """As with accounts: what cannot be used is refused as a whole, what was in use goes on."""
    folder = scratch / "dkim-damaged"
    folder.mkdir(exist_ok=True)
    record = rsa_key(folder / "key")
    rows = [{"domain": "example.test", "selector": "mail", "key_file": folder / "key"}]
    world = make_world(dkim=rows, watch_files="0s", zones={"example.test": f"mail._domainkey TXT {txt(record)}\n"}).start()
    remote, good, signed = world.remote(), (folder / "key").read_bytes(), 0

    def reload(word):
        mark = world.server.mark()
        world.server.command("reload", check=False)
        world.server.wait_log(rf"supervisor\.{word}", mark)
        return "\n".join(world.server.since(mark))

    for damage in (good[:300], b"", None):
        (folder / "key").unlink() if damage is None else (folder / "key").write_bytes(damage)
        log = reload("reload_failed")
        assert "DKIM key mail of example.test" in log and good.decode().split("\n")[1] not in log, log
        world.send(world.new_user(), remote.address())
        signed += 1
        got = remote.wait_messages(signed)[-1]
        assert verify(world.folder / "opendkim", got.data, {"mail._domainkey.example.test": record}) == [("pass", "example.test", "mail", "rsa-sha256")]
    (folder / "key").write_bytes(good)
    reload("reloaded")
    rows.append({"domain": "example.test", "selector": "new", "key_file": folder / "nothing"})
    world.server.config["dkim"] = rows
    world.server.write_config()
    assert "DKIM key new of example.test" in reload("reload_failed")


def test_a_key_that_never_worked_holds_up_no_reload(make_world, scratch):
    world = make_world(dkim=[{"domain": "example.test", "selector": "mail", "key_file": scratch / "not-there"}]).start()
    mark = world.server.mark()
    world.server.command("reload", check=False)
    world.server.wait_log(r"supervisor\.reloaded", mark)


def test_rsa_and_ed25519(world):
    remote = world.remote()
    world.send("me@twokeys.test", remote.address())
    found = judged(world, remote.wait_messages(1)[0])
    assert ("pass", "twokeys.test", "rsa", "rsa-sha256") in found and ("pass", "twokeys.test", "ed", "ed25519-sha256") in found, found


@pytest.mark.parametrize("domain", ["wrong.test", "absent.test"])
def test_a_key_whose_record_does_not_fit_does_not_sign(world, domain):
    """The mail goes out unsigned, but not in silence."""
    remote = world.remote()
    time.sleep(2)  # the record has been looked up
    mark = world.server.mark()
    world.send(f"me@{domain}", remote.address())
    got = remote.wait_messages(1)[0]
    assert got.header("DKIM-Signature") is None
    assert any(domain in line and re.search(r"dkim|sign", line, re.I) for line in world.server.lines), world.server.since(mark)
    status = world.server.command("dkim", "status", check=False).stdout
    assert re.search(rf"{domain}", status), status


def test_a_domain_without_a_key(world):
    remote = world.remote()
    world.send("me@nokey.test", remote.address())
    assert remote.wait_messages(1)[0].header("DKIM-Signature") is None


def test_forwarded_mail_is_not_signed_by_us(world):
    remote = world.remote()
    (world.server.home / "virtual.cf").write_text(f"away@example.test {remote.address()}\n")
    world.server.command("reload", check=False)
    time.sleep(1)
    assert world.receive("away@example.test", mail.plain(to="away@example.test")).code == 250
    assert remote.wait_messages(1)[0].header("DKIM-Signature") is None


def test_hold_when_there_is_no_key_that_fits(make_world, scratch):
    folder = scratch / "dkim-hold"
    folder.mkdir(exist_ok=True)
    rsa_key(folder / "key")
    world = make_world(dkim=[{"domain": "example.test", "selector": "mail", "key_file": folder / "key"}], dkim_missing="hold",
                       zones={"example.test": "other TXT nothing\n"}).start()
    remote = world.remote()
    time.sleep(2)
    world.send(world.new_user(), remote.address())
    row = world.wait_row(remote.address(), state="held")
    assert re.search("dkim|sign|key", str(row), re.I), row
    time.sleep(1)
    assert not remote.kept


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_a_generated_key_signs(make_world, scratch, algorithm):
    """`dkim generate`, its record published, the key configured: what it signs is accepted."""
    folder = scratch / f"generated-{algorithm}"
    folder.mkdir()
    file = folder / "key"
    world = make_world()
    from rockdove import Server
    plain = Server(folder / "server", world.certs, {})
    text = plain.command("dkim", "generate", "example.test", "--out", file, "--selector", "s2026", "--algorithm", algorithm).stdout
    assert "s2026._domainkey.example.test" in text and "PRIVATE" not in text
    assert file.stat().st_mode & 0o077 == 0
    assert plain.command("dkim", "generate", "example.test", "--out", file, check=False).returncode != 0, "never overwritten"
    strings = re.findall(r'"([^"]*)"', next(line for line in text.splitlines() if line.count('"v=DKIM1')))
    assert strings and all(len(part) <= 255 for part in strings)
    record = "".join(strings)
    world.dns.zone("example.test", f"s2026._domainkey TXT {txt(record)}\n")
    world.options["dkim"] = [{"domain": "example.test", "selector": "s2026", "key_file": file}]
    world.start()
    remote = world.remote()
    world.send(world.new_user(), remote.address())
    got = remote.wait_messages(1)[0]
    found = verify(world.folder / "opendkim", got.data, {"s2026._domainkey.example.test": record})
    assert [(result, domain) for result, domain, *_ in found] == [("pass", "example.test")]
    assert "s2026" in world.server.command("dkim", "list").stdout
