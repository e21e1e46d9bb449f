"""IMAP logins: LOGIN, SELECT INBOX, LOGOUT, each on a connection of its own, with TLS and without."""
from common import Bench, Row, cpu_seconds, tool

USERS = 100
SESSIONS = 1000
CONNECTIONS = 20


def run(rounds):
    rows = []
    with Bench(USERS) as bench:
        for secure in (True, False):
            rate, cpu = {}, {}
            for number in range(rounds + 1):  # the first round warms up
                for server in bench.servers:
                    sessions = SESSIONS if number else SESSIONS // 5
                    before = cpu_seconds(server.pid())
                    result = tool("imap_load", "--port", server.ports["imaps" if secure else "imap"], "--sessions", sessions,
                                  "--connections", CONNECTIONS, "--users", USERS, *(["--tls"] if secure else []))
                    if number:
                        rate.setdefault(server.name, []).append(result["per_second"])
                        cpu.setdefault(server.name, []).append((cpu_seconds(server.pid()) - before) / sessions * 1000)
            names = [server.name for server in bench.servers] + [""]
            what = "IMAP logins with SELECT, " + ("TLS" if secure else "plain")
            rows.append(Row(what, "logins/s", rate[names[0]], rate.get(names[1]), ratio_target=5))
            rows.append(Row("  CPU", "s per 1,000", cpu[names[0]], cpu.get(names[1]), higher=False))
    return rows
