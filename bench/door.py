"""The door: a flood beside honest senders, what a refused connection costs beside Postfix's postscreen, 10,000 strangers that
only stay, one look at 100,000 bans and 100,000 addresses, 200 health checks a second."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import PASSWORD, TOOLS, Row, accounts, cpu_seconds, pss, tool

import peers
from certs import Certs
from peers.dnszone import Dns
from peers.postscreen import Postscreen
from rockdove import Server, free_port

DOMAIN = "bench.test"
BANNED = "198.19.0.0/16"  # where door_flood's banned strangers come from
HONEST = 20
FLOOD = 2000              # connections a second
FLOOD_SECONDS = 10
REFUSED = 1000            # connections a second while their cost is measured
REFUSED_SECONDS = 4
IDLE = int(os.environ.get("BENCH_IDLE", 10000))
CHECKS = 200              # a second
CHECK_SECONDS = int(os.environ.get("BENCH_CHECK_SECONDS", 60))
SETTLE = 2
WAIT = 3                  # before the greeting, both


class Names:
    """A resolver that knows no name, and says so at once, as the world's does of strangers' addresses."""
    dns = None

    @classmethod
    def settings(cls, folder):
        if cls.dns is None:
            cls.dns = Dns(folder, free_port()).start()
        return cls.dns.settings

    @classmethod
    def stop(cls):
        if cls.dns:
            cls.dns.stop()
            cls.dns = None


def server(folder, certs, listeners, **config):
    users = accounts(HONEST)
    if peers.missing_reason() is None:
        config["resolver"] = Names.settings(certs.folder.parent / "dns")
    config.setdefault("before_greeting", {"wait": f"{WAIT}s"})
    sessions = {"smtp_sessions": 20000, "imap_sessions": 20000, "auth_failure_delay": "1s", **config.pop("limits", {})}
    return Server(folder, certs, {user: PASSWORD for user in users}, listeners=listeners, domains=[{"name": DOMAIN}],
                  limits=sessions, log=[{"to": folder / "rockdove.log", "format": "text"}], **config).start()


def ban(one):
    one.command("ban", "add", BANNED)
    deadline = time.monotonic() + 5
    while not any(value > 0 for name, value in one.metrics().items() if name.startswith("rockdove_bans{")):
        if time.monotonic() > deadline:
            raise RuntimeError("the ban is not there")
        time.sleep(0.05)
    time.sleep(0.5)  # and in every role


def honest(port, seconds, users=HONEST):
    words = ["--port", port, "--mode", "honest", "--sessions", HONEST, "--seconds", seconds, "--pause", 100, "--users", users, "--domain", DOMAIN]
    return subprocess.Popen([TOOLS / "door_clients", *map(str, words)], stdout=subprocess.PIPE, text=True)


def result(process):
    import json
    text, _ = process.communicate(timeout=120)
    return json.loads(text)


def flood(port, kind, rate, seconds, nice=0, **more):
    options = [word for name, value in more.items() for word in (f"--{name.replace('_', '-')}", value)]
    return tool("door_flood", "--port", port, "--rate", rate, "--seconds", seconds, "--kind", kind, *options, nice=nice)


# ---- honest senders beside a flood ----

def beside_a_flood(folder, certs, rounds):
    quiet, loud, ratio, rows = [], [], [], []
    one = server(folder, certs, ["mx-proxy", "metrics"])
    port = one.ports["mx-proxy"]
    try:
        ban(one)
        result(honest(port, 5))  # they become known
        roles = one.roles()
        for number in range(rounds):
            before = result(honest(port, FLOOD_SECONDS))
            during = honest(port, FLOOD_SECONDS)
            # what makes the flood shares the cores here, as no real one does: it yields to the server and the honest
            storm = flood(port, "mixed", FLOOD, FLOOD_SECONDS, nice=5, offset=number * FLOOD * FLOOD_SECONDS // 2)
            during = result(during)
            time.sleep(SETTLE)
            if before["failed"] or during["failed"]:
                print(f"honest senders in trouble: {before} {during}", file=sys.stderr)
            print(f"   quiet p50 {before['p50_ms']:.1f} p99 {before['p99_ms']:.1f} ms; in the flood p50 {during['p50_ms']:.1f} p99 {during['p99_ms']:.1f} ms; "
                  f"flood: {storm['started'] / storm['seconds']:.0f}/s, {storm['closed']} closed, {storm['replied']} replied to, {storm['late']} late, "
                  f"{storm['failed']} failed, {storm['open_max']} open at most", flush=True)
            quiet.append(before["p99_ms"])
            loud.append(during["p99_ms"])
            ratio.append(during["p99_ms"] / before["p99_ms"])
        assert one.roles() == roles, "a process was restarted"
    finally:
        one.stop()
    rows.append(Row(f"{HONEST} honest sessions, p99 of a delivery, quiet", "ms", quiet, None, higher=False))
    rows.append(Row(f"  beside {FLOOD} bad connections a second", "ms", loud, None, higher=False))
    rows.append(Row("  times the quiet value", "x", ratio, None, higher=False, limit=2))
    return rows


# ---- what a refusal costs ----

def refusals(folder, certs, rounds):
    one = server(folder / "ours", certs, ["mx-proxy", "metrics"])
    reason = peers.private_reason()
    screen = None
    try:
        if reason:
            print(f"without the peer: {reason}", file=sys.stderr)
        else:
            screen = Postscreen(folder / "postscreen", free_port(), [BANNED], wait=WAIT).start()
        ban(one)
        both = [("ours", one.ports["mx-proxy"], one.process.pid)] + ([("peer", screen.port, screen.process.pid)] if screen else [])
        cost = {}
        for number in range(rounds + 1):  # the first warms up
            for kind in ("banned", "early"):
                for name, port, pid in both:
                    seconds = REFUSED_SECONDS if number else 1
                    before = cpu_seconds(pid)
                    done = flood(port, kind, REFUSED, seconds, offset=number * REFUSED * REFUSED_SECONDS)
                    time.sleep(SETTLE)  # logs are written behind it
                    used = cpu_seconds(pid) - before
                    if done["failed"] or done["late"] or done["behind"]:
                        print(f"   {name} {kind}: {done}", file=sys.stderr)
                    if number:
                        cost.setdefault((kind, name), []).append(used / done["started"] * 1e6)
    finally:
        if screen:
            screen.stop()
        one.stop()
    return [Row(f"CPU of a refused connection, {what}", "µs", cost[kind, "ours"], cost.get((kind, "peer")), higher=False, ratio_target=2)
            for kind, what in (("banned", "banned address"), ("early", "early talker"))]


# ---- strangers that only stay ----

def idle(one, secure):
    words = ["--port", one.ports["mx-proxy"], "--mode", "idle", "--sessions", IDLE, *(["--starttls", "yes"] if secure else [])]
    start = pss(one.process.pid)
    with subprocess.Popen([TOOLS / "door_clients", *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        line = load.stdout.readline()
        time.sleep(6)  # freed memory goes back some seconds after the last arrival
        used = pss(one.process.pid)
        load.stdin.close()
    if f'"ready": {IDLE},' not in line:
        raise RuntimeError(f"not all stay: {line}")
    time.sleep(SETTLE)
    return (used - start) / IDLE / 1000


def strangers(folder, certs):
    each = {}
    for secure in (False, True):
        one = server(folder / f"tls-{secure}", certs, ["mx-proxy", "metrics"], before_greeting={"wait": "1s"})
        try:
            each[secure] = idle(one, secure)
        finally:
            one.stop()
    return [Row(f"{IDLE} idle strangers, each, before TLS", "KB", [each[False]], None, higher=False, limit=8),
            Row("  under TLS", "KB", [each[True]], None, higher=False, limit=30)]


# ---- questions ----

def questions(rounds):
    found = [tool("door_bench") for _ in range(rounds)]
    assert all(one["hits"] == 1 for one in found)

    def row(what, unit, name, limit=None):
        return Row(what, unit, [one[name] for one in found], None, higher=False, limit=limit)
    return [row("is an address banned, 100,000 bans", "ns", "miss_ns", 5000), row("  where it is", "ns", "hit_ns", 5000),
            row("  the image of the bans, made", "ms", "make_ms"), row("  its size, for all processes", "MB", "image_mb"),
            row("one look at the limits, 100,000 addresses", "ns", "take_ns", 5000), row("  their memory", "MB", "limits_mb", 10)]


# ---- health checks ----

def health_checks(folder, certs):
    one = server(folder, certs, ["mx-proxy", "imaps-proxy", "metrics"])
    port = one.ports["mx-proxy"]
    log = folder / "rockdove.log"
    try:
        result(honest(port, 5))
        roles = one.roles()
        size = log.stat().st_size
        during = honest(port, CHECK_SECONDS)
        looks = flood(port, "checks", CHECKS, CHECK_SECONDS, tls_port=one.ports["imaps-proxy"])
        during = result(during)
        time.sleep(1)
        with open(log, encoding="utf-8", errors="replace") as text:
            text.seek(size)
            lines = [line for line in text if "203.0.113." not in line and not any(word in line for word in (" smtp.accepted ", " queue.", " store."))]
        restarts = sum(one.roles().get(role) != pid for role, pid in roles.items())
        print(f"   {looks}\n   honest beside them: {during}", flush=True)
        if lines:
            print("   log: " + "   log: ".join(lines[:5]), file=sys.stderr)
        trouble = during["failed"] + (during["oldest_s"] > 5)
    finally:
        one.stop()
    what = f"{CHECKS} health checks a second for {CHECK_SECONDS} s: "
    return [Row(what + "restarts", "", [restarts], None, higher=False, exactly=0), Row("  checks that failed", "", [looks["failed"] + looks["late"]], None, higher=False, exactly=0),
            Row("  log lines", "", [len(lines)], None, higher=False, exactly=0), Row("  honest connections in trouble", "", [trouble], None, higher=False, exactly=0)]


def run(rounds):
    rows = []
    folder = Path(tempfile.mkdtemp(prefix="rockdove-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp")))
    folder.chmod(0o755)
    certs = Certs(folder / "certs")
    wanted = os.environ.get("BENCH_DOOR", "questions refusals flood idle checks").split()
    try:
        if "questions" in wanted:
            rows += questions(rounds)
        if "refusals" in wanted:
            (folder / "refusals").mkdir()
            (folder / "refusals").chmod(0o755)
            rows += refusals(folder / "refusals", certs, rounds)
        if "flood" in wanted:
            rows += beside_a_flood(folder / "flood", certs, rounds)
        if "idle" in wanted:
            (folder / "idle").mkdir()
            (folder / "idle").chmod(0o755)
            rows += strangers(folder / "idle", certs)
        if "checks" in wanted:
            rows += health_checks(folder / "checks", certs)
    finally:
        Names.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return rows
