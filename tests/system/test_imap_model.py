"""Random sessions against a model of what each may see (imap_model.py)."""
import argparse

import imap_model
import pytest


@pytest.mark.parametrize("seed,sessions", [(1, 2), (2, 3), (3, 6)])
def test_sessions_see_what_they_may(server, new_user, seed, sessions):
    user = new_user()
    args = argparse.Namespace(host="127.0.0.1", port=server.ports["imap"], user=user.address, password=user.password,
                              sessions=sessions, steps=700, seed=seed, context=100)
    imap_model.Story(args).play()
