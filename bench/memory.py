"""Memory: the idle server, and each idle authenticated IMAP connection under TLS. PSS of all processes."""
import subprocess
import time

from common import TOOLS, Bench, Row, pss

USERS = 500
SESSIONS = 2000
SETTLE = 2  # seconds after which a server counts as idle


def with_sessions(server):
    """Bytes of the whole server while SESSIONS clients IDLE."""
    words = ["--port", server.ports["imaps"], "--tls", "--sessions", SESSIONS, "--users", USERS, "--hold"]
    with subprocess.Popen([TOOLS / "imap_load", *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as load:
        line = load.stdout.readline()
        time.sleep(SETTLE)
        used = pss(server.pid())
        load.stdin.close()
    if f"holding {SESSIONS}," not in line:
        raise RuntimeError(f"{server.name}: {line}")
    return used


def run(rounds):
    idle, each = {}, {}
    with Bench(USERS) as bench:
        time.sleep(SETTLE)
        for server in bench.servers:
            start = pss(server.pid())
            idle[server.name] = [start / 1e6]
            each[server.name] = [(with_sessions(server) - start) / SESSIONS / 1000]
        names = [server.name for server in bench.servers] + [""]
    return [Row("idle server", "MB", idle[names[0]], idle.get(names[1]), higher=False, limit=40),
            Row("idle IMAP connection, TLS", "KB", each[names[0]], each.get(names[1]), higher=False, limit=40)]
