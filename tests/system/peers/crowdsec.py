"""A real CrowdSec (engine and local API), offline, with Debian's copy of its hub: everything in one folder."""
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import ROOT, library_env

HUB = ROOT / "usr/share/crowdsec/hub"
BOUNCER_KEY = "0123456789abcdef0123456789abcdef"
MACHINE, PASSWORD = "rockdove", "machine-word"
PARSERS = ("s00-raw/crowdsecurity/syslog-logs", "s01-parse/crowdsecurity/postfix-logs", "s01-parse/crowdsecurity/dovecot-logs",
           "s01-parse/crowdsecurity/postscreen-logs", "s02-enrich/crowdsecurity/dateparse-enrich")
SCENARIOS = ("postfix-spam", "dovecot-spam")
PROCESSING = "Starting processing data"  # only what is written to a log from then on is read

CONFIG = """
common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: {home}}}
config_paths: {{config_dir: {home}/etc/, data_dir: {home}/data/, simulation_path: {home}/etc/simulation.yaml, hub_dir: {hub}/,
  index_path: {hub}/.index.json, notification_dir: {home}/etc/notifications/, plugin_dir: {root}/usr/lib/crowdsec/plugins/}}
crowdsec_service: {{acquisition_path: {home}/etc/acquis.yaml, parser_routines: 1}}
cscli: {{output: json}}
db_config: {{type: sqlite, db_path: {home}/data/crowdsec.db, use_wal: true}}
plugin_config: {{user: nobody, group: nogroup}}
api: {{client: {{credentials_path: {home}/etc/local_api_credentials.yaml}}, server: {{listen_uri: "127.0.0.1:{port}",
  profiles_path: {home}/etc/profiles.yaml, console_path: {home}/etc/console.yaml, trusted_ips: ["127.0.0.1", "::1"]}}}}
prometheus: {{enabled: false}}
"""


def missing_reason():
    """None when CrowdSec can be started here, else a text for pytest.skip."""
    return None if (ROOT / "usr/bin/crowdsec").exists() and HUB.exists() else "no CrowdSec in .peers/root: run ./dev peers"


class CrowdSec:
    """`logs`: [(file, labels)] it follows. No central API: nothing of this leaves the machine."""

    def __init__(self, home, port, logs=()):
        self.home, self.port, self.process = Path(home), port, None
        self._starts = itertools.count()
        self._make_folders()
        self._link_hub()
        (self.home / "config.yaml").write_text(CONFIG.format(home=self.home, hub=HUB, root=ROOT, port=port))
        (self.home / "etc/local_api_credentials.yaml").write_text(f"url: {self.url}\nlogin: engine\npassword: testtesttest\n")
        for file, _ in logs:
            Path(file).touch()
        (self.home / "etc/acquis.yaml").write_text("".join(
            f"---\nfilenames:\n  - {file}\nlabels: {json.dumps(labels)}\n" for file, labels in logs or [(self.home / "none.log", {"type": "syslog"})]))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def _make_folders(self):
        for stage in ("s00-raw", "s01-parse", "s02-enrich"):
            (self.home / "etc/parsers" / stage).mkdir(parents=True)
        for name in ("scenarios", "collections", "notifications", "postoverflows"):
            (self.home / "etc" / name).mkdir()
        (self.home / "data").mkdir()
        (self.home / "none.log").touch()
        shutil.copytree(ROOT / "etc/crowdsec/patterns", self.home / "etc/patterns")
        for name in ("profiles.yaml", "simulation.yaml"):
            shutil.copy(ROOT / "etc/crowdsec" / name, self.home / "etc" / name)

    def _link_hub(self):
        for parser in PARSERS:
            (self.home / "etc/parsers" / parser.split("/")[0] / (parser.split("/")[-1] + ".yaml")).symlink_to(HUB / f"parsers/{parser}.yaml")
        for scenario in SCENARIOS:
            (self.home / f"etc/scenarios/{scenario}.yaml").symlink_to(HUB / f"scenarios/crowdsecurity/{scenario}.yaml")

    def add_parser(self, stage, file):
        """A parser that is not in the hub; before start()."""
        shutil.copy(file, self.home / "etc/parsers" / stage)

    def start(self, timeout=30):
        if next(self._starts) == 0:
            self.cscli("machines", "add", "engine", "-p", "testtesttest", "-f", "/dev/null")
            self.cscli("machines", "add", MACHINE, "-p", PASSWORD, "-f", "/dev/null")
            self.add_bouncer("rockdove", BOUNCER_KEY)
        before = self.log().count(PROCESSING)
        with open(self.home / "crowdsec.log", "ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", ROOT / "usr/bin/crowdsec", "-c", self.home / "config.yaml"],
                                            cwd=self.home, env=library_env(), stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while not (self.log().count(PROCESSING) > before and self.answers()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("CrowdSec did not start: " + self.log()[-3000:])
            time.sleep(0.1)
        return self

    def log(self):
        file = self.home / "crowdsec.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def answers(self):
        """The API is there and knows our key. A question that changes nothing of what the key was told."""
        request = urllib.request.Request(self.url + "v1/decisions?ip=192.0.2.255", headers={"X-Api-Key": BOUNCER_KEY})
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def cscli(self, *words):
        for _ in range(10):
            done = subprocess.run([ROOT / "usr/bin/cscli", "-c", self.home / "config.yaml", *map(str, words)], cwd=self.home,
                                  env=library_env(), capture_output=True, text=True, timeout=30)
            if "database is locked" not in done.stdout + done.stderr:  # for a moment, now and then
                break
            time.sleep(0.2)
        if done.returncode != 0:
            raise RuntimeError(f"cscli {words}: {done.stdout}{done.stderr}")
        return done.stdout

    def add_bouncer(self, name, key):
        self.cscli("bouncers", "add", name, "-k", key)

    def ban(self, value, duration="10m", scope="ip", kind="ban", reason=None):
        self.cscli("decisions", "add", f"--{scope}", value, "--duration", duration, "--type", kind, *(["--reason", reason] if reason else []))

    def unban(self, value, scope="ip"):
        self.cscli("decisions", "delete", f"--{scope}", value)

    def alerts(self):
        return json.loads(self.cscli("alerts", "list", "--limit", "0") or "null") or []

    def decisions(self):
        """{address or network: scenario} of what is decided now."""
        found = json.loads(self.cscli("decisions", "list") or "null") or []
        return {one["value"]: one["scenario"] for alert in found for one in alert["decisions"]}

    def decision_ids(self, value, key):
        """The numbers of all decisions about an address, asked for with a key that nobody else uses."""
        request = urllib.request.Request(self.url + "v1/decisions/stream?startup=true&dedup=false", headers={"X-Api-Key": key})
        with urllib.request.urlopen(request, timeout=5) as reply:
            return [one["id"] for one in json.load(reply)["new"] or [] if one["value"] == value]

    def wait_decision(self, value, timeout=15):
        deadline = time.monotonic() + timeout
        while value not in (found := self.decisions()):
            if time.monotonic() > deadline:
                raise AssertionError(f"no decision about {value}, only {found}")
            time.sleep(0.3)
        return found[value]
