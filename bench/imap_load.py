"""A mixed random IMAP load: 100 and 1,000 sessions that list, read, flag, search, append, copy and expunge."""
from common import PASSWORD, Row, tool
from imap import Client, World

USERS = 20
MESSAGES = 100
SESSIONS = (100, 1000)
SECONDS = 10


def fill(server, kind):
    for number in range(USERS):
        user = server.user(f"user{number}", kind)
        with Client(server.ports["imap"], user if kind == "ours" else user.replace("@", "-never@")) as client:
            client.do(f"append {MESSAGES} {number * MESSAGES} 20 INBOX")
            client.run('LIST "" Trash')
            if not client.last["untagged"]:
                client.run("CREATE Trash")


def run(rounds):
    rate, slow = {}, {}
    with World([f"user{number}" for number in range(USERS)]) as world:
        kinds = [(server, kind) for server in world.servers for kind in server.kinds]
        for server, kind in kinds:
            fill(server, kind)
        for sessions in SESSIONS:
            for _ in range(rounds):
                for server, kind in kinds:
                    tail = server.user("", kind)
                    found = tool("imap_mix", "--port", server.ports["imap"], "--sessions", sessions, "--seconds", SECONDS, "--users", USERS,
                                 "--tail", tail, "--password", PASSWORD)
                    print(f"  {sessions} sessions, {kind}: {found}", flush=True)
                    rate.setdefault((sessions, kind), []).append(found["per_second"])
                    slow.setdefault((sessions, kind), []).append(found["p99_ms"])
    rows = []
    for sessions in SESSIONS:
        for values, what, unit, higher in ((rate, "mixed load", "commands/s", True), (slow, "mixed load, p99", "ms", False)):
            peers = [kind for _, kind in kinds if kind != "ours"]
            medians = {kind: sorted(values[sessions, kind])[len(values[sessions, kind]) // 2] for kind in peers}
            best = (max if higher else min)(peers, key=medians.get) if peers else None
            row = Row(f"{what}, {sessions} sessions", unit, values[sessions, "ours"], values.get((sessions, best)), higher=higher, ratio_target=2)
            row.beside = "  ".join(f"{kind} {number:.4g}" for kind, number in medians.items())
            rows.append(row)
    return rows
