"""NSD serving the zones of a test on a loopback port: plain ones, signed ones, one whose signature is wrong, one that
answers SERVFAIL; everything else does not exist (NXDOMAIN). Records live for a second, so reload() takes effect soon."""
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from . import ROOT, library_env

CONF = """
server:
    ip-address: 127.0.0.1@{port}
    username: ""
    zonesdir: "{home}"
    database: ""
    pidfile: "{home}/nsd.pid"
    xfrdfile: "{home}/xfrd.state"
    zonelistfile: "{home}/zone.list"
    server-count: 1
    rrl-ratelimit: 0
    hide-version: yes
remote-control:
    control-enable: no
"""

HEAD = """$ORIGIN {origin}
$TTL 1
@ IN SOA ns.invalid. hostmaster.invalid. {serial} 3600 600 86400 1
@ IN NS ns.invalid.
"""
SIGNED_FROM, SIGNED_TO = "20250101000000", "20371231000000"


class Dns:
    """zone() as often as wanted, then start(). `settings` goes into the server's configuration as `resolver`."""

    def __init__(self, home, port):
        self.home, self.port, self.process, self.serial = Path(home), port, None, 1
        self.home.mkdir(parents=True)
        self.anchors = self.home / "anchors.ds"
        self.anchors.write_text("")
        self.conf = CONF.format(home=self.home, port=port)
        self.keys, self.texts = {}, {}
        self.zone(".", "")

    @property
    def settings(self):
        return {"servers": [f"127.0.0.1:{self.port}"], "trust_anchor": self.anchors, "unblock_zones": ["test"]}

    def zone(self, name, records, signed=False, alter=None):
        """Serves `records` (lines as in a zone file, names relative to the zone). signed: with DNSSEC, its trust anchor in
        `anchors`. alter: (old, new), replaced in the file after signing, so that the record's signature is wrong.
        Called again for a zone: its new content, see reload()."""
        stem = name.rstrip(".") or "root"
        if name not in self.texts:
            self.conf += f"zone:\n    name: \"{name}\"\n    zonefile: \"{stem}.zone\"\n"
        self.texts[name] = records
        self.serial += 1
        file = self.home / f"{stem}.zone"
        if not signed:
            file.write_text(self._text(name, records))
            return
        plain = self.home / f"{stem}.plain"
        plain.write_text(self._text(name, records))
        self._run("ldns-signzone", "-n", "-f", file.with_suffix(".signed"), "-i", SIGNED_FROM, "-e", SIGNED_TO, plain, *self._keys(name))
        text = file.with_suffix(".signed").read_text()
        if alter:
            assert alter[0] in text, f"{alter[0]} is not in the signed zone"
            text = text.replace(*alter)
        file.write_text(text)

    def servfail(self, name):
        """Every question about this zone is answered SERVFAIL: NSD has no file for it."""
        self.conf += f"zone:\n    name: \"{name}\"\n    zonefile: \"does-not-exist.zone\"\n"

    def _text(self, name, records):
        lines = "\n".join(line.strip() if line.strip() and not line.startswith((" ", "\t")) else line for line in records.splitlines())
        return HEAD.format(origin=name.rstrip(".") + ".", serial=self.serial) + lines + "\n"

    def _keys(self, name):
        if name not in self.keys:
            words = ("ldns-keygen", "-a", "ECDSAP256SHA256")
            pair = [self._run(*words, "-k", name).strip(), self._run(*words, name).strip()]
            with open(self.anchors, "a") as anchors:
                anchors.write((self.home / f"{pair[0]}.ds").read_text())
            self.keys[name] = pair
        return self.keys[name]

    def _run(self, program, *words):
        done = subprocess.run([ROOT / "usr/bin" / program, *map(str, words)], cwd=self.home, env=library_env(), capture_output=True,
                              text=True, timeout=30)
        if done.returncode != 0:
            raise RuntimeError(f"{program} {words}: {done.stdout} {done.stderr}")
        return done.stdout

    def start(self):
        (self.home / "nsd.conf").write_text(self.conf)
        with open(self.home / "nsd.log", "wb") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", ROOT / "usr/sbin/nsd", "-d", "-c", self.home / "nsd.conf"],
                                            env=library_env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while self.ask("ns.", 6) is None:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("nsd does not answer: " + (self.home / "nsd.log").read_text())
            time.sleep(0.02)
        return self

    def reload(self, zone, wait=True):
        """Takes in what zone() has changed."""
        serial = self.serial
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while wait and struct.pack(">I", serial) not in (self.ask(zone, 6) or b""):
            if time.monotonic() > deadline:
                raise RuntimeError("nsd does not take the zone: " + (self.home / "nsd.log").read_text())
            time.sleep(0.02)

    def ask(self, name, kind):
        """A raw answer of NSD, None when there is none."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label)
        question = struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            try:
                s.sendto(question, ("127.0.0.1", self.port))
                return s.recv(4096)
            except OSError:
                return None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def pause(self, paused=True):
        """Answers nothing any more (or again): a DNS that is away."""
        for pid in [self.process.pid, *_children(self.process.pid)]:
            os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)


def _children(pid):
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in map(int, found) for one in (child, *_children(child))]


def tlsa_3_1_1(cert):
    """The data of a TLSA record "DANE-EE, public key, SHA-256" for a certificate file."""
    key = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"], check=True, capture_output=True, timeout=10).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True, timeout=10).stdout
    return "3 1 1 " + hashlib.sha256(der).hexdigest()


def tlsa_2_0_1(cert):
    """The same for "DANE-TA, whole certificate, SHA-256"."""
    der = subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER"], check=True, capture_output=True, timeout=10).stdout
    return "2 0 1 " + hashlib.sha256(der).hexdigest()


def txt(text):
    """A TXT record's data, cut into strings of at most 255 bytes."""
    return " ".join('"%s"' % re.sub(r'([\\"])', r"\\\1", text[at:at + 255]) for at in range(0, len(text), 255))
