"""What every Postfix of the tests and benches has in common: its files, its start in a namespace of its own, its end."""
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import ROOT, private_command

VMAIL = 59105  # private.sh gives this user its name

# Client rate limits are lifted because all clients come from one address.
COMMON_CF = """
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
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_peername_lookup = no
message_size_limit = 52428800
disable_dns_lookups = yes
"""

SERVICES = """
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

START_SH = """#!/bin/sh
# the first process of the namespace; ends (and with it everything) on SIGTERM
trap 'kill $dovecot $postfix 2>/dev/null; exit 0' TERM INT
mkdir -p /dev/shm
{commands}
wait
"""
POSTFIX = """mkdir -p {home}/queue {home}/pdata
chown postfix {home}/pdata
/usr/sbin/postfix -c {home}/etc check
/usr/lib/postfix/sbin/master -c {home}/etc -d & postfix=$!"""
DOVECOT = "/usr/sbin/dovecot -F -c {home}/etc/dovecot.conf & dovecot=$!"


class Private:
    """Daemons that end with their namespace. home: an empty folder below a path others may traverse."""

    def __init__(self, home, folders):
        self.home, self.process = Path(home), None
        for folder in (*folders, "etc", "log", "private"):
            (self.home / folder).mkdir(parents=True)
        self.home.chmod(0o755)

    def write(self, name, text):
        (self.home / "etc" / name).write_text(text)

    def write_postfix(self, main, listening):
        """`listening`: lines of master.cf."""
        self.write("main.cf", COMMON_CF.format(home=self.home) + main)
        self.write("master.cf", listening + SERVICES)
        for name in ("postfix-files", "dynamicmaps.cf", "postfix-script"):
            if (ROOT / "etc/postfix" / name).exists():
                shutil.copy(ROOT / "etc/postfix" / name, self.home / "etc" / name)

    def launch(self, commands, ports, timeout, host="127.0.0.1"):
        """Runs the commands; returns when all ports greet."""
        self.write("start.sh", START_SH.format(commands="\n".join(commands).format(home=self.home)))
        with open(self.home / "log/start.log", "wb") as log:
            self.process = subprocess.Popen(private_command(self.home / "private", ["sh", self.home / "etc/start.sh"]),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + timeout
        for port in ports:
            while not greets(port, host):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise RuntimeError(f"nobody answers on port {port}; see {self.home}/log")
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


def greets(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), 1) as s:
            s.settimeout(2)
            return s.recv(10)[:1] in (b"2", b"*")
    except OSError:
        return False
