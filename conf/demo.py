"""demo.py BINARY FOLDER: what `./dev run` starts. Makes a demo folder (once), starts the server on loopback, sends a first
message through the MX port, reads it back through IMAP, sends one to a demo server elsewhere, and stays until Ctrl-C."""
import imaplib
import json
import re
import secrets
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import elsewhere

DOMAIN, FAR = "demo.test", "far.test"
USERS = ("alice", "bob")
READY_SECONDS = 15
PORTS = {"mx": 20025, "submission": 20587, "smtps": 20465, "imap": 20143, "imaps": 20993, "metrics": 20166, "mx_proxy": 20125,
         "far": 20026, "dns": 20053}

CONFIG = """# The demo of ./dev run: loopback only, ports above 1024, so it runs as whoever calls it.
hostname: mail.{domain}
data: {home}/data
tls:
  - {{ cert: {home}/cert.pem, key: {home}/key.pem }}
listeners:
  - {{ name: mx,         service: mx,         address: "127.0.0.1:{mx}", tls: starttls }}
  - {{ name: mx-proxy,   service: mx,         address: "127.0.0.1:{mx_proxy}", tls: starttls, proxy: required }}
  - {{ name: submission, service: submission, address: "127.0.0.1:{submission}", tls: starttls }}
  - {{ name: smtps,      service: submission, address: "127.0.0.1:{smtps}", tls: implicit }}
  - {{ name: imap,       service: imap,       address: "127.0.0.1:{imap}", tls: starttls }}
  - {{ name: imaps,      service: imap,       address: "127.0.0.1:{imaps}", tls: implicit }}
  - {{ name: metrics,    service: metrics,    address: "127.0.0.1:{metrics}", tls: none }}
# Who is on this machine is no stranger: to play one, say in a PROXY header where you come from.
proxy_trusted_networks: [ 127.0.0.0/8 ]
bans: local
domains:
  - {{ name: {domain} }}
accounts:
  - {{ file: {home}/accounts.json, format: json }}
dkim:
  - {{ domain: {domain}, selector: mail, key_file: {home}/dkim.key }}
# The demo's own DNS, and the server elsewhere it names: on loopback, where no MX would be believed in otherwise.
resolver: {{ servers: [ "127.0.0.1:{dns}" ], unblock_zones: [ test ] }}
direct: {{ port: {far}, allow_networks: [ 127.0.0.0/8 ], mta_sts: false }}
queue: {{ retry_first: 5s, retry_max: 1m }}
log:
  - {{ to: stderr, format: text }}
"""

TELL = """
Rockdove is running. Connect a mail client on this machine:
  IMAP   localhost port {imaps} (TLS)   or {imap} (STARTTLS)
  SMTP   localhost port {smtps} (TLS)   or {submission} (STARTTLS), authentication required
  the certificate is self-signed: {home}/cert.pem
{accounts}
  metrics   http://127.0.0.1:{metrics}/metrics
Mail to anyone at {far_domain} leaves: through the queue, signed, to the demo's server for that domain, which tells of it here.
  what waits   {binary} -c {home}/rockdove.yaml queue list
Send something from a stranger:  swaks --server 127.0.0.1:{mx} --to {first} --from someone@example.org
The door, as a stranger meets it (the first time there is a wait; nobody@{domain} does not exist):
  swaks --server 127.0.0.1:{mx_proxy} --proxy-version 1 --proxy-family TCP4 --proxy-source 203.0.113.9 --proxy-source-port 40000 \\
        --proxy-dest 127.0.0.1 --proxy-dest-port 25 --to nobody@{domain} --from someone@example.org
  {binary} -c {home}/rockdove.yaml ban explain 203.0.113.9      what is held against it; ban add, ban list, ban remove
  {binary} -c {home}/rockdove.yaml haproxy --backend 127.0.0.1  the configuration for a HAProxy in front
Stop with Ctrl-C; start again with ./dev run (the mail is kept in {home}/data)."""


def prepare(home):
    """Certificate, accounts with random passwords and configuration, unless they are there. The accounts."""
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    accounts = home / "accounts.json"
    if not accounts.exists():
        accounts.touch(0o600)
        accounts.write_text(json.dumps({f"{user}@{DOMAIN}": secrets.token_urlsafe(9) for user in USERS}, indent=2) + "\n")
    if not (home / "key.pem").exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", home / "key.pem", "-out", home / "cert.pem"], check=True, capture_output=True)
    (home / "rockdove.yaml").write_text(CONFIG.format(home=home, domain=DOMAIN, **PORTS))
    return json.loads(accounts.read_text())


def prepare_dkim(binary, home):
    """The key that signs, made once; the record that belongs to it."""
    record = home / "dkim.record"
    if not record.exists():
        (home / "dkim.key").unlink(missing_ok=True)
        made = subprocess.run([binary, "-c", home / "rockdove.yaml", "dkim", "generate", DOMAIN, "--out", home / "dkim.key"], check=True,
                              capture_output=True, text=True, timeout=30).stdout
        record.write_text(re.search(r"^TXT: *(.*)$", made, re.M)[1])
    return record.read_text()


def start_elsewhere(home, record):
    """The demo's DNS and the server of another domain."""
    dns = elsewhere.Dns(PORTS["dns"], {f"mail._domainkey.{DOMAIN}": {"TXT": record}, DOMAIN: {"MX": "localhost"}, FAR: {"MX": f"mx.{FAR}"},
                                       f"mx.{FAR}": {"A": "127.0.0.1"}})
    far = elsewhere.MailServer(PORTS["far"], FAR, (home / "cert.pem", home / "key.pem"), lambda text: print(text, flush=True))
    return dns.start(), far.start()


def taken_ports():
    taken = []
    for name, port in PORTS.items():
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                taken.append(f"{port} ({name})")
    return taken


def start(binary, home):
    """The running server, after its `ready`. Its log lines go to our standard error."""
    # Its own session: Ctrl-C reaches it as the SIGTERM we send, once. It ends when we are killed.
    server = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", binary, "-c", home / "rockdove.yaml", "run"],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    ready = threading.Event()

    def read():
        for line in server.stderr:
            sys.stderr.write(line)
            if line == "ready\n":
                ready.set()
        ready.set()
    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(READY_SECONDS) or server.poll() is not None:
        server.terminate()
        sys.exit("the server did not get ready")
    return server


def first_message(address, password, home):
    """Milliseconds from handing a message in at the MX port to having read it through IMAP."""
    context = ssl.create_default_context(cafile=str(home / "cert.pem"))
    word = secrets.token_hex(8)
    begin = time.monotonic()
    with smtplib.SMTP("localhost", PORTS["mx"], local_hostname="demo.example.org", timeout=10) as smtp:
        smtp.starttls(context=context)
        smtp.sendmail("stranger@example.org", [address],
                      f"From: A stranger <stranger@example.org>\r\nTo: {address}\r\nSubject: A first message {word}\r\n"
                      "\r\nWelcome. This came in through the MX port.\r\n")
    with imaplib.IMAP4_SSL("localhost", PORTS["imaps"], ssl_context=context, timeout=10) as imap:
        imap.login(address, password)
        imap.select("INBOX")
        while not (found := imap.search(None, "SUBJECT", word)[1][0]):
            if time.monotonic() - begin > 10:
                sys.exit("the first message did not arrive")
            imap.noop()
        text = imap.fetch(found.split()[0], "(BODY[])")[1][0][1]
    milliseconds = (time.monotonic() - begin) * 1000
    if word.encode() not in text:
        sys.exit("the message that was read is not the one that was sent")
    return milliseconds


def first_message_out(address, password, home, far):
    """Milliseconds from submitting a message for someone elsewhere to its arrival there."""
    context = ssl.create_default_context(cafile=str(home / "cert.pem"))
    begin = time.monotonic()
    with smtplib.SMTP_SSL("localhost", PORTS["smtps"], context=context, timeout=10) as smtp:
        smtp.login(address, password)
        smtp.sendmail(address, [f"friend@{FAR}"], f"From: {address}\r\nTo: friend@{FAR}\r\nSubject: A first message out\r\n\r\nHello out there.\r\n")
    while not far.kept:
        if time.monotonic() - begin > 15:
            sys.exit(f"the first message out did not arrive; {home}/rockdove.yaml is the configuration")
        time.sleep(0.002)
    return (time.monotonic() - begin) * 1000


def main():
    binary, home = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    accounts = prepare(home)
    if taken := taken_ports():
        sys.exit("these loopback ports are in use (is a demo running already?): " + ", ".join(taken))
    stopping = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    dns, far = start_elsewhere(home, prepare_dkim(binary, home))
    server = start(binary, home)
    try:
        address, password = next(iter(accounts.items()))
        print(f"\nA first message went in through the MX port and was read through IMAP after "
              f"{first_message(address, password, home):.0f} ms.")
        print(f"A message for another server was there after {first_message_out(address, password, home, far):.0f} ms.")
        lines = "\n".join(f"  account {name}   password {word}" for name, word in accounts.items())
        print(TELL.format(home=home, accounts=lines, first=address, binary=binary, far_domain=FAR, domain=DOMAIN, **PORTS), flush=True)
        while not stopping.wait(0.2) and server.poll() is None:
            pass
    finally:
        if server.poll() is None:
            server.terminate()
    status = server.wait(30)
    far.stop()
    dns.stop()
    print("stopped" if status == 0 else f"the server ended with status {status}")
    return status


if __name__ == "__main__":
    sys.exit(main())
