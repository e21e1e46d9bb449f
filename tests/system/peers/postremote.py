"""Postfix as a server elsewhere: an MX with and without STARTTLS, and a relay with SASL (passwords checked by Dovecot) on a
submission port and on one with TLS at once. What it takes lies in one Maildir; Delivered-To says for whom.

Addresses that start with soft or hard get a 450 or a 550 at RCPT.
"""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import ROOT, private_command
from .postdove import MASTER_CF, VMAIL, _greets

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
myhostname = {name}
mydestination =
mynetworks =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_base = {home}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{vmail}
virtual_gid_maps = static:{vmail}
virtual_transport = virtual
smtpd_recipient_restrictions = check_recipient_access regexp:{home}/etc/access, permit_auth_destination, permit_sasl_authenticated, reject
smtpd_relay_restrictions =
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_peername_lookup = no
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_sasl_authenticated_header = yes
default_process_limit = 100
message_size_limit = 52428800
virtual_mailbox_limit = 0
disable_dns_lookups = yes
"""

SERVICES = """
{host}:{mx} inet n - n - - smtpd
{host}:{plain} inet n - n - - smtpd
  -o smtpd_tls_security_level=none
  -o smtpd_discard_ehlo_keywords=chunking,8bitmime,smtputf8,dsn,pipelining
{host}:{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
{host}:{smtps} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
"""

DOVECOT_CONF = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log/dovecot.log
protocols =
listen = 127.0.0.1
default_login_user = dovenull
default_internal_user = dovecot
ssl = no
auth_mechanisms = plain login scram-sha-256 xoauth2
disable_plaintext_auth = no
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/etc/passwd
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {auth}
  }}
}}
"""

START_SH = """#!/bin/sh
# the first process of the namespace; ends (and with it everything) on SIGTERM
trap 'kill $dovecot $postfix 2>/dev/null; exit 0' TERM INT
mkdir -p /dev/shm {home}/queue {home}/pdata
chown postfix {home}/pdata
/usr/sbin/dovecot -F -c {home}/etc/dovecot.conf & dovecot=$!
/usr/sbin/postfix -c {home}/etc check
/usr/lib/postfix/sbin/master -c {home}/etc -d & postfix=$!
wait
"""


class PostRemote:
    """ports: mx, plain, submission, smtps, auth (the last for itself)."""

    def __init__(self, home, ports, cert, host="127.0.0.1", name="remote.test", users=None):
        self.home, self.ports, self.host, self.process = Path(home), ports, host, None
        self.users = users or {"relayuser": "relay-secret"}
        for folder in ("etc", "log", "run", "mail", "private"):
            (self.home / folder).mkdir(parents=True)
        self.home.chmod(0o755)
        os.chown(self.home / "mail", VMAIL, VMAIL)
        etc = self.home / "etc"
        for source, target in zip(cert, ("cert.pem", "key.pem")):
            shutil.copy(source, etc / target)
        words = dict(home=self.home, host=host, name=name, vmail=VMAIL, cert=etc / "cert.pem", key=etc / "key.pem", **ports)
        (etc / "main.cf").write_text(MAIN_CF.format(**words))
        services = MASTER_CF[MASTER_CF.index("pickup"):]  # its own smtpd lines instead of that bench's one
        (etc / "master.cf").write_text(SERVICES.format(**words) + services)
        (etc / "dovecot.conf").write_text(DOVECOT_CONF.format(**words))
        (etc / "passwd").write_text("".join(f"{user}:{{PLAIN}}{word}::::::\n" for user, word in self.users.items()))
        (etc / "access").write_text("/^soft/ 450 4.2.0 come again\n/^hard/ 550 5.1.1 no such user here\n")
        (etc / "start.sh").write_text(START_SH.format(home=self.home))
        for extra in ("postfix-files", "dynamicmaps.cf", "postfix-script"):
            if (ROOT / "etc/postfix" / extra).exists():
                shutil.copy(ROOT / "etc/postfix" / extra, etc / extra)

    def start(self, timeout=20):
        with open(self.home / "log/start.log", "wb") as log:
            self.process = subprocess.Popen(private_command(self.home / "private", ["sh", self.home / "etc/start.sh"]),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + timeout
        while not _greets(self.ports["mx"], self.host):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise RuntimeError(f"Postfix does not answer; see {self.home}/log")
            time.sleep(0.05)
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)

    def messages(self, address):
        """The messages for an address, as bytes."""
        folder = self.home / "mail/all/new"
        texts = [file.read_bytes() for file in sorted(folder.iterdir())] if folder.is_dir() else []
        return [text for text in texts if f"\nDelivered-To: {address}\n".encode() in text]

    def wait_messages(self, address, count=1, timeout=30):
        deadline = time.monotonic() + timeout
        while len(found := self.messages(address)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} messages for {address} instead of {count}\n" + self.log()[-3000:])
            time.sleep(0.05)
        assert len(found) == count, found
        return found

    def log(self):
        return (self.home / "log/postfix.log").read_text(errors="replace")
