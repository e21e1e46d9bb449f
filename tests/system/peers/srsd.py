"""postsrsd: rewrites addresses and takes them back, to compare ours with."""
import socket
import subprocess
import time
from pathlib import Path

from . import ROOT, library_env


class Srsd:
    def __init__(self, home, domain, secrets, forward, reverse):
        self.home, self.domain, self.ports, self.process = Path(home), domain, {"forward": forward, "reverse": reverse}, None
        self.home.mkdir(parents=True)
        (self.home / "secret").write_text("".join(f"{secret}\n" for secret in secrets))

    def start(self):
        with open(self.home / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", ROOT / "usr/sbin/postsrsd", "-4", "-l", "127.0.0.1", "-s", self.home / "secret", "-d", self.domain,
                 "-f", str(self.ports["forward"]), "-r", str(self.ports["reverse"])],
                env=library_env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.forward("a@b.test")
                return self
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError("postsrsd does not answer: " + (self.home / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(5)

    def _ask(self, which, address):
        """(code, text) of the TCP table."""
        with socket.create_connection(("127.0.0.1", self.ports[which]), 5) as s:
            s.sendall(f"get {address}\n".encode())
            code, _, text = s.makefile().readline().rstrip("\n").partition(" ")
            return int(code), text

    def forward(self, address):
        return self._ask("forward", address)

    def reverse(self, address):
        return self._ask("reverse", address)
