"""Inbound mail: messages per second, counted when they are readable in the mailbox, and CPU for them."""
import os
import threading
import time

from common import Bench, Row, cpu_seconds, tool, wait_count

USERS = 100
SIZE = 10240
# connections, messages per connection, messages for us, for the peer, ratio wanted
SHAPES = [
    (20, 100, 6000, 1500, 8),
    (20, 1, 3000, 1000, 1),
    (1, 100, 1000, 300, 1),
    (200, 100, 6000, 1500, 1),
]


def one_run(server, connections, per_connection, messages):
    """(messages per second, CPU seconds per 1,000 messages, milliseconds until half were accepted)"""
    before, cpu = server.count_messages(), cpu_seconds(server.pid())
    start = time.monotonic()
    result = tool("smtp_load", "--port", server.ports["smtp"], "--connections", connections, "--messages", messages,
                  "--size", SIZE, "--per-connection", per_connection, "--users", USERS)
    wait_count(server, before + messages)
    seconds = time.monotonic() - start
    return messages / seconds, (cpu_seconds(server.pid()) - cpu) / messages * 1000, result["p50_ms"]


def disk_limit(folder, threads, seconds=1.0):
    """How many 10 KB files a second this disk takes durably, from that many threads: write, fsync, fsync of the folder."""
    counts, end = [0] * threads, time.monotonic() + seconds
    body = b"x" * SIZE

    def work(number):
        home = folder / f"disk{number}"
        home.mkdir()
        directory = os.open(home, os.O_RDONLY)
        while time.monotonic() < end:
            fd = os.open(home / str(counts[number]), os.O_CREAT | os.O_WRONLY)
            os.write(fd, body)
            os.fsync(fd)
            os.close(fd)
            os.fsync(directory)
            counts[number] += 1
        os.close(directory)
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / seconds


def run(rounds):
    rows = []
    with Bench(USERS) as bench:
        for threads in (1, 16):
            folder = bench.folder / f"disk-{threads}"
            folder.mkdir()
            rate = disk_limit(folder, threads)
            print(f"the disk alone: {rate:.0f} files of 10 KB a second, fsynced, from {threads} thread(s)")
        for connections, per_connection, messages, peer_messages, wanted in SHAPES:
            rate, cpu = {}, {}
            for number in range(rounds + 1):  # the first round warms up and is not counted
                for server in bench.servers:
                    count = messages if server is bench.servers[0] else peer_messages
                    if number == 0:
                        count //= 5
                    result = one_run(server, connections, per_connection, count)
                    if number:
                        rate.setdefault(server.name, []).append(result[0])
                        cpu.setdefault(server.name, []).append(result[1])
            what = f"inbound, {connections} connection(s), {per_connection} message(s) each"
            ours, peer = (server.name for server in bench.servers) if not bench.missing else (bench.servers[0].name, "")
            rows.append(Row(what, "messages/s", rate[ours], rate.get(peer), ratio_target=wanted))
            rows.append(Row("  CPU", "s per 1,000", cpu[ours], cpu.get(peer), higher=False,
                            ratio_target=6 if connections == 20 and per_connection > 1 else None))
    return rows
