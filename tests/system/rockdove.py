"""The server under test: its configuration, its start and end, its processes and its log."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("ROCKDOVE", TOP / "build" / "rockdove"))
DOMAIN = "example.test"
ROLES = ("smtp", "imap", "http", "auth", "scan", "queue", "relay", "store", "dns")
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:")

# name: (service, tls, more)
LISTENERS = {
    "mx": ("mx", "starttls", {}),
    "mx-proxy": ("mx", "starttls", {"proxy": "required"}),
    "mx-optional": ("mx", "starttls", {"proxy": "optional"}),
    "submission": ("submission", "starttls", {}),
    "submission-plain": ("submission", "starttls", {"insecure_auth": True}),
    "submission-proxy": ("submission", "starttls", {"proxy": "required"}),
    "smtps": ("submission", "implicit", {}),
    "smtps-proxy": ("submission", "implicit", {"proxy": "required"}),
    "imap": ("imap", "starttls", {"insecure_auth": True}),
    "imap-starttls": ("imap", "starttls", {}),
    "imaps": ("imap", "implicit", {}),
    "imaps-proxy": ("imap", "implicit", {"proxy": "required"}),
    "pop3s-proxy": ("pop3", "implicit", {"proxy": "required"}),
    "metrics": ("metrics", "none", {}),
}

# For files that ask for them by name.
POP3 = {
    "pop3": ("pop3", "starttls", {"insecure_auth": True}),
    "pop3-starttls": ("pop3", "starttls", {}),
    "pop3s": ("pop3", "implicit", {}),
}

_handed_out = set()


def free_port():
    """A loopback port nobody listens on, never the same twice in a run."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        if port not in _handed_out:
            _handed_out.add(port)
            return port


def yaml(config):
    """The configuration as YAML: top-level keys and list items on lines of their own, flow style below."""
    lines = []
    for key, value in config.items():
        if isinstance(value, list) and value:
            lines += [f"{key}:", *(f"  - {_flow(item)}" for item in value)]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[ " + ", ".join(map(_flow, value)) + " ]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def children(pid):
    """All descendants of a process, by pid."""
    parent_of = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent_of[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, wanted = [], {pid}
    while wanted:
        wanted = {child for child, parent in parent_of.items() if parent in wanted}
        found += wanted
    return found


class Server:
    """One server with its folder. Options go into the configuration over the defaults (None removes a key)."""

    def __init__(self, home, certs, accounts, listeners=None, aliases="", env=None, binary=None, hostname="mail.example.test",
                 **config):
        self.home, self.accounts = Path(home), dict(accounts)
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o755)
        self.binary = binary or BINARY
        self.env = {**os.environ, "TZ": "UTC0", **(env or {})}
        self.process = None
        self.lines = []
        self._ready = threading.Event()
        names = LISTENERS if listeners is None else {name: {**LISTENERS, **POP3}[name] for name in listeners}
        self.ports = {name: free_port() for name in names}
        cert, key = certs.make("localhost", hostname, stem="default")
        (self.home / "accounts.json").write_text(json.dumps(self.accounts))
        (self.home / "accounts.json").chmod(0o600)
        (self.home / "virtual.cf").write_text(aliases)
        self.config = {
            "hostname": hostname,
            "data": self.home / "data",
            "tls": [{"cert": cert, "key": key}],
            "listeners": [{"name": name, "service": service, "address": f"127.0.0.1:{self.ports[name]}", "tls": tls, **more}
                          for name, (service, tls, more) in names.items()],
            "proxy_trusted_networks": ["127.0.0.0/8"],
            "domains": [{"name": DOMAIN}],
            "accounts": [{"file": self.home / "accounts.json", "format": "json"}],
            "aliases": [{"file": self.home / "virtual.cf"}],
            "limits": {"mx": {"connections_per_minute": 1000000, "messages_per_minute": 1000000},
                       "imap": {"connections_per_user_and_address": 5000}, "auth_failure_delay": "1s"},
            "before_greeting": {"wait": "0s"},  # test_greeting.py and others who want strangers to wait say so
            "log": [{"to": "stderr", "format": "text"}, {"to": self.home / "mail.log", "format": "postfix"}],
        }
        self.config.update(config)
        self.config = {name: value for name, value in self.config.items() if value is not None}
        self.write_config()

    @property
    def file(self):
        return self.home / "rockdove.yaml"

    def write_config(self):
        self.file.write_text(yaml(self.config))

    def command(self, *words, timeout=30, check=True, input=None):
        """Runs `rockdove -c FILE words…`; the finished process."""
        done = subprocess.run([self.binary, "-c", self.file, *map(str, words)], capture_output=True, text=True,
                              timeout=timeout, env=self.env, input=input)
        if check:
            assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done

    def start(self, timeout=10):
        assert self.process is None
        self._ready.clear()
        self.started = time.monotonic()
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", self.binary, "-c", self.file, "run"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        if not self._ready.wait(timeout) or self.process.poll() is not None:
            log = self.log()
            self.kill()
            raise AssertionError(f"the server did not get ready in {timeout} s:\n{log}\n{self.file.read_text()}")
        return self

    def _read(self, pipe):
        for raw in pipe:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(line)
            if line == "ready":
                self.ready_after = time.monotonic() - self.started
                self._ready.set()
        self._ready.set()  # ended: whoever waits looks at the process

    def log(self):
        return "\n".join(self.lines)

    def mark(self):
        """A place in the log; see since()."""
        return len(self.lines)

    def since(self, mark):
        return self.lines[mark:]

    def wait_log(self, pattern, mark=0, timeout=5):
        """The first log line from `mark` on that matches."""
        deadline = time.monotonic() + timeout
        while True:
            for line in self.lines[mark:]:
                if re.search(pattern, line):
                    return line
            if time.monotonic() > deadline:
                raise AssertionError(f"no line like {pattern!r} in the log:\n" + "\n".join(self.lines[mark:]))
            time.sleep(0.02)

    def roles(self):
        """{role: pid} of the processes running now, the supervisor included."""
        found = {}
        for pid in [self.process.pid, *children(self.process.pid)]:
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
            except OSError:
                continue
            if title.startswith("rockdove: "):
                found[title[len("rockdove: "):].split()[0]] = pid
        return found

    def pids(self):
        return [self.process.pid, *children(self.process.pid)]

    def stop(self, timeout=15):
        """SIGTERM; every process gone, exit status 0, no sanitizer report."""
        if self.process is None:
            return
        pids = self.pids()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("SIGTERM did not end the server\n" + self.log()) from None
        self._reader.join(5)
        self.process = None
        assert status == 0, f"exit status {status}\n" + self.log()
        left = _still_there(pids)
        assert not left, f"processes left behind: {left}\n" + self.log()
        assert not SANITIZER.search(self.log()), self.log()

    def kill(self):
        """SIGKILL for the whole tree."""
        if self.process is None:
            return
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        self._reader.join(5)
        self.process = None

    def get(self, path, timeout=5):
        """(status, body) of a page on the metrics listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}{path}", timeout=timeout) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """{name with labels: value}"""
        status, text = self.get("/metrics")
        assert status == 200, text
        return {name: float(value) for name, value in
                (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))}


def _still_there(pids, seconds=2):
    deadline = time.monotonic() + seconds
    while True:
        left = [pid for pid in pids if _alive(pid)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _alive(pid):
    try:
        return not re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.M)
    except OSError:
        return False
