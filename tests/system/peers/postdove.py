"""Postfix delivering by LMTP to Dovecot's Maildir: the server's peer in every bench.

Both run as Debian ships them in all that costs time (fsync, privilege separation, one login process per connection for
Dovecot's high-security mode); only process limits are raised so that 200 connections are not refused, and the
client rate limits lifted because all clients come from one address.
"""
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import ROOT, private_command

DOMAIN = "bench.test"
VMAIL = 59105  # private.sh gives this user its name

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
myhostname = peer.{domain}
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{home}/etc/users
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = none
default_process_limit = 250
lmtp_destination_concurrency_limit = 50
lmtp_destination_recipient_limit = 1
message_size_limit = 52428800
disable_dns_lookups = yes
"""

MASTER_CF = """
127.0.0.1:{smtp} inet n - n - - smtpd
pickup    unix  n - n 60   1 pickup
cleanup   unix  n - n -    0 cleanup
qmgr      unix  n - n 300  1 qmgr
rewrite   unix  - - n -    - trivial-rewrite
bounce    unix  - - n -    0 bounce
defer     unix  - - n -    0 bounce
trace     unix  - - n -    0 bounce
verify    unix  - - n -    1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -    - proxymap
proxywrite unix - - n -    1 proxymap
smtp      unix  - - n -    - smtp
relay     unix  - - n -    - smtp
showq     unix  n - n -    - showq
error     unix  - - n -    - error
retry     unix  - - n -    - error
discard   unix  - - n -    - discard
local     unix  - n n -    - local
virtual   unix  - n n -    - virtual
lmtp      unix  - - n -    - lmtp
tlsmgr    unix  - - n 1000? 1 tlsmgr
anvil     unix  - - n -    1 anvil
scache    unix  - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

DOVECOT_CONF = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
default_login_user = dovenull
default_internal_user = dovecot
first_valid_uid = 500
mail_location = maildir:{home}/mail/%u
mail_fsync = optimized
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
ssl_dh =
auth_mechanisms = plain login
postmaster_address = postmaster@{domain}
mail_max_userip_connections = 100000
default_client_limit = 20000
default_process_limit = 3000
default_vsz_limit = 1 G
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/etc/passwd
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {home}/etc/passwd
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 3000
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""

START_SH = """#!/bin/sh
# runs as the first process of the namespace; ends (and with it everything) on SIGTERM
trap 'kill $dovecot $postfix 2>/dev/null; exit 0' TERM INT
mkdir -p /dev/shm
{dovecot}
{postfix}
wait
"""


class PostDove:
    """home: an empty folder below a path others may traverse. ports: smtp, lmtp, imap, imaps."""

    def __init__(self, home, ports, users, cert, key, password="secret", postfix=True):
        self.home, self.ports, self.password = Path(home), ports, password
        self.users = list(users)
        self.process = None
        self.with_postfix = postfix
        self._write(cert, key)

    def _write(self, cert, key):
        home = self.home
        for name in ("etc", "log", "run", "mail", "private"):
            (home / name).mkdir(parents=True)
        home.chmod(0o755)
        os.chown(home / "mail", VMAIL, VMAIL)
        for source, name in ((cert, "cert.pem"), (key, "key.pem")):
            shutil.copy(source, home / "etc" / name)
        words = dict(home=home, domain=DOMAIN, cert=home / "etc/cert.pem", key=home / "etc/key.pem", **self.ports)
        etc = home / "etc"
        (etc / "main.cf").write_text(MAIN_CF.format(**words))
        (etc / "master.cf").write_text(MASTER_CF.format(**words))
        (etc / "dovecot.conf").write_text(DOVECOT_CONF.format(**words))
        (etc / "users").write_text("".join(f"{user} x\n" for user in self.users))
        (etc / "passwd").write_text("".join(f"{user}:{{PLAIN}}{self.password}:{VMAIL}:{VMAIL}::{home}/mail/{user}::\n"
                                            for user in self.users))
        for name in ("postfix-files", "dynamicmaps.cf", "postfix-script"):
            source = ROOT / "etc/postfix" / name
            if source.exists():
                shutil.copy(source, etc / name)
        start = START_SH.format(
            dovecot=f"/usr/sbin/dovecot -F -c {etc}/dovecot.conf & dovecot=$!",
            postfix=f"mkdir -p {home}/queue {home}/pdata && chown postfix {home}/pdata && "
                    f"/usr/sbin/postfix -c {etc} check && "
                    f"/usr/lib/postfix/sbin/master -c {etc} -d & postfix=$!" if self.with_postfix else "")
        (etc / "start.sh").write_text(start)

    def start(self, timeout=20):
        log = open(self.home / "log/start.log", "wb")
        self.process = subprocess.Popen(
            private_command(self.home / "private", ["sh", self.home / "etc/start.sh"]),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wanted = [self.ports["imap"]] + ([self.ports["smtp"]] if self.with_postfix else [])
        deadline = time.monotonic() + timeout
        for port in wanted:
            while not _greets(port):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise RuntimeError(f"peer does not answer on port {port}; see {self.home}/log")
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

    def count_messages(self):
        """Messages readable in all mailboxes."""
        return sum(len(os.listdir(self.home / "mail" / user / folder))
                   for user in self.users for folder in ("new", "cur")
                   if (self.home / "mail" / user / folder).is_dir())


def _greets(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), 1) as s:
            s.settimeout(2)
            return s.recv(10)[:1] in (b"2", b"*")
    except OSError:
        return False
