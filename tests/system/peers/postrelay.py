"""Postfix that takes mail from loopback and hands it on: our peer in the bench of outgoing mail. As Debian ships it in all that
costs time; TLS to the other side as the bench asks for it."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import ROOT, private_command
from .postdove import MASTER_CF, _greets

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/pdata
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = {home}/etc
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log/postfix.log
maillog_file_prefixes = {home}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = peer.bench.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = {tls}
smtp_tls_session_cache_database = btree:{home}/pdata/smtp_scache
default_process_limit = 250
message_size_limit = 52428800
disable_dns_lookups = yes
relayhost = {relayhost}
transport_maps = texthash:{home}/etc/transport
defer_transports = smtp
"""

START_SH = """#!/bin/sh
# the first process of the namespace; ends (and with it everything) on SIGTERM
trap 'kill $postfix 2>/dev/null; exit 0' TERM INT
mkdir -p {home}/queue {home}/pdata
chown postfix {home}/pdata
/usr/sbin/postfix -c {home}/etc check
/usr/lib/postfix/sbin/master -c {home}/etc -d & postfix=$!
wait
"""


class PostRelay:
    """transports: {domain: "smtp:[address]:port"}. Mail waits until release()."""

    def __init__(self, home, port, relayhost="", transports=None, tls="may"):
        self.home, self.port, self.process = Path(home), port, None
        for folder in ("etc", "log", "private"):
            (self.home / folder).mkdir(parents=True)
        self.home.chmod(0o755)
        etc = self.home / "etc"
        (etc / "main.cf").write_text(MAIN_CF.format(home=self.home, relayhost=relayhost, tls=tls))
        (etc / "master.cf").write_text(MASTER_CF.format(smtp=port))
        (etc / "transport").write_text("".join(f"{domain} {way}\n" for domain, way in (transports or {}).items()))
        (etc / "start.sh").write_text(START_SH.format(home=self.home))
        for name in ("postfix-files", "dynamicmaps.cf", "postfix-script"):
            if (ROOT / "etc/postfix" / name).exists():
                shutil.copy(ROOT / "etc/postfix" / name, etc / name)

    def start(self, timeout=20):
        with open(self.home / "log/start.log", "wb") as log:
            self.process = subprocess.Popen(private_command(self.home / "private", ["sh", self.home / "etc/start.sh"]),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + timeout
        while not _greets(self.port):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise RuntimeError(f"Postfix does not answer; see {self.home}/log")
            time.sleep(0.05)
        return self

    def _inside(self, *words):
        first = int((self.home / "queue/pid/master.pid").read_text())  # a number of the namespace: 1 is our shell there
        assert first > 1
        shell = next(pid for pid in map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))
        subprocess.run(["nsenter", "--target", str(shell), "--mount", "--pid", *map(str, words)], check=True, capture_output=True, timeout=60)

    def configure(self, **settings):
        self._inside("/usr/sbin/postconf", "-c", self.home / "etc", "-e", *(f"{name}={value}" for name, value in settings.items()))
        self._inside("/usr/sbin/postfix", "-c", self.home / "etc", "reload")

    def hold(self):
        self.configure(defer_transports="smtp")

    def release(self):
        """From now on what waits is sent."""
        self.configure(defer_transports="")
        self._inside("/usr/sbin/postqueue", "-c", self.home / "etc", "-f")

    def waiting(self):
        return sum(len(files) for name in ("incoming", "active", "deferred") for _, _, files in os.walk(self.home / "queue" / name))

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
