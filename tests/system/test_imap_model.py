"""Random sessions against a model of what each may see (imap_model.py)."""
import argparse
import os
import signal
import time

import imap_model
import pytest


def restart_store(server):
    """Kills store and waits until the next one is there."""
    old = server.roles()["store"]
    os.kill(old, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server.roles().get("store") in (None, old):
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.02)


def play(server, user, seed, sessions, **more):
    args = argparse.Namespace(host="127.0.0.1", port=server.ports["imap"], mx=server.ports["mx"], user=user.address,
                              password=user.password, sessions=sessions, steps=int(os.environ.get("MODEL_STEPS", 700)),
                              seed=int(os.environ.get("MODEL_SEED", seed)), context=int(os.environ.get("MODEL_CONTEXT", 100)), restart=None)
    vars(args).update(more)
    imap_model.Story(args).play()


@pytest.mark.parametrize("seed,sessions", [(1, 2), (2, 3), (3, 6)])
def test_sessions_see_what_they_may(server, new_user, seed, sessions):
    play(server, new_user(), seed, sessions)


def test_sessions_go_on_when_store_dies(server, new_user):
    play(server, new_user(), 4, 4, steps=130, restart=lambda: restart_store(server), often="restart")
