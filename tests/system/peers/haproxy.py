"""A real HAProxy in front: one frontend per pool, each with its server line chosen by the test, or a configuration as it stands."""
import csv
import io
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import ROOT, library_env

HEAD = """
global
    stats socket unix@./hap.sock mode 600 level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout check 5s
"""

POOL = """
frontend mail_{name}
    bind {bind}
    default_backend pool_{name}
backend pool_{name}
{options}    server n1 127.0.0.1:{port} {words}
"""


class Pool:
    """`words` is what stands behind the address on the server line; `options` are whole backend lines."""

    def __init__(self, name, port, words="send-proxy-v2 check inter 1s fall 3 rise 1", options=(), bind=None):
        self.name, self.port, self.words, self.options, self.bind = name, port, words, options, bind


class HAProxy:
    def __init__(self, home, pools, free_port):
        self.home, self.pools, self.process = Path(home), pools, None
        self.home.mkdir(parents=True, exist_ok=True)
        if isinstance(pools, str):  # a whole configuration; only the stats socket is put before it
            (self.home / "mail.cfg").write_text("global\n    stats socket unix@./hap.sock mode 600 level admin\n" + pools)
            return
        self.ports = {}
        text = HEAD
        for pool in pools:
            self.ports[pool.name] = free_port()
            bind = (pool.bind or "127.0.0.1:{}").format(self.ports[pool.name])
            text += POOL.format(name=pool.name, bind=bind, port=pool.port, words=pool.words,
                                options="".join(f"    {line}\n" for line in pool.options))
        (self.home / "mail.cfg").write_text(text)

    def start(self):
        program = [str(ROOT / "usr/sbin/haproxy"), "-f", "mail.cfg"]
        checked = subprocess.run([*program, "-c"], cwd=self.home, env=library_env(), capture_output=True, text=True)
        if checked.returncode != 0:
            raise RuntimeError("haproxy refuses its configuration:\n" + checked.stdout + checked.stderr)
        with open(self.home / "haproxy.log", "wb") as log:
            self.process = subprocess.Popen([*program, "-db"], cwd=self.home, env=library_env(), stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not (self.home / "hap.sock").exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("haproxy did not start: " + (self.home / "haproxy.log").read_text())
            time.sleep(0.02)
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def ask(self, command):
        """One command on the stats socket."""
        here = os.getcwd()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            os.chdir(self.home)  # a long scratch path would not fit into sun_path
            try:
                s.connect("hap.sock")
            finally:
                os.chdir(here)
            s.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    def servers(self):
        """{pool: {"status": "UP", "check_status": "L4OK", ...}} of the server lines."""
        text = self.ask("show stat").lstrip("# ")
        return {row["pxname"][5:]: row for row in csv.DictReader(io.StringIO(text)) if row["svname"] == "n1"}

    def wait_status(self, wanted, timeout=10):
        """Waits until every checked server has exactly this status ("UP 1/3" is one not yet checked)."""
        deadline = time.monotonic() + timeout
        while True:
            rows = self.servers()
            if all(row["status"] in (wanted, "no check") for row in rows.values()):
                return rows
            if time.monotonic() > deadline:
                raise AssertionError({name: (row["status"], row["check_status"]) for name, row in rows.items()})
            time.sleep(0.1)
