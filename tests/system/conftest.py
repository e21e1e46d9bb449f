"""Fixtures of the system tests. A server is started once per test file; each test takes accounts of its own."""
import faulthandler
import itertools
import shutil
import tempfile
from pathlib import Path

import pytest

import peers
from certs import Certs
from world import World
from rockdove import BINARY, DOMAIN, Server
from wire import Imap, Smtp

ACCOUNTS = {f"t{number}@{DOMAIN}": f"pw-{number}" for number in range(200)}  # for tests that name them
FREE = {f"free{number}@{DOMAIN}": f"word-{number}" for number in range(400)}  # handed out by new_user
SECONDS_PER_TEST = 120  # then every thread's stack is printed and the run ends: nothing here may hang


class User:
    def __init__(self, address, password):
        self.address, self.password = address, password


def pytest_collection_modifyitems(items):
    if not BINARY.exists():
        for item in items:
            item.add_marker(pytest.mark.skip(reason=f"{BINARY} is not built"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    faulthandler.dump_traceback_later(SECONDS_PER_TEST, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def scratch(request):
    """A folder every user may enter (roles may run under users of their own); kept when a test failed."""
    folder = Path(tempfile.mkdtemp(prefix="rockdove-test-"))
    folder.chmod(0o755)
    yield folder
    if request.session.testsfailed:
        print(f"\nthe servers' folders are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def certs(scratch):
    return Certs(scratch / "certs")


_homes = itertools.count(1)


@pytest.fixture
def make_server(scratch, certs):
    """make_server(**options): a server for one test, started and stopped by it or at its end."""
    made = []

    def make(accounts=None, **options):
        server = Server(scratch / f"own{next(_homes)}", certs, accounts or {**ACCOUNTS, **FREE}, **options)
        made.append(server)
        return server

    yield make
    try:
        for server in made:
            server.stop()
    finally:
        for server in made:
            server.kill()


@pytest.fixture(scope="module")
def server(scratch, certs, request):
    """The server of a test file. A file may set SERVER = {options}."""
    options = getattr(request.module, "SERVER", {})
    server = Server(scratch / f"{request.module.__name__}{next(_homes)}", certs, {**ACCOUNTS, **FREE}, **options)
    server.start()
    yield server
    server.stop()


_users = itertools.count()


@pytest.fixture
def user(new_user):
    return new_user()


@pytest.fixture
def new_user():
    """new_user(): an account no other test of this file has used."""
    def make():
        address = f"free{next(_users) % len(FREE)}@{DOMAIN}"
        return User(address, FREE[address])
    return make


@pytest.fixture
def smtp(server):
    """smtp(listener="mx", **options): a connected raw client, closed at the end."""
    with_closing = []

    def connect(listener="mx", **options):
        client = Smtp(server.ports[listener], **options)
        with_closing.append(client)
        return client

    yield connect
    for client in with_closing:
        client.close()


@pytest.fixture
def imap(server):
    """imap(user=None, listener="imap", **options): a raw client, logged in when a user is given."""
    with_closing = []

    def connect(user=None, listener="imap", **options):
        client = Imap(server.ports[listener], **options)
        with_closing.append(client)
        if user:
            answer = client.login(user.address, user.password)
            assert answer.status == "OK", answer
        return client

    yield connect
    for client in with_closing:
        client.close()


@pytest.fixture(scope="module")
def module_world(scratch, certs, request, need_peers):
    """The world of a test file with outgoing mail. A file may set WORLD = {options}, or a function of (certs, folder)."""
    options = getattr(request.module, "WORLD", {})
    folder = scratch / f"{request.module.__name__}{next(_homes)}"
    if callable(options):
        (scratch / f"{folder.name}-files").mkdir()
        (scratch / f"{folder.name}-files").chmod(0o755)
        options = options(certs, scratch / f"{folder.name}-files")
    world = World(folder, certs, {**ACCOUNTS, **FREE}, **options)
    try:
        yield world.start()
    finally:
        world.stop()


@pytest.fixture
def world(module_world):
    """module_world, its remote servers ended and its queue emptied behind each test."""
    yield module_world
    module_world.close_remotes()
    module_world.server.command("queue", "delete", "--all", check=False)


@pytest.fixture
def make_world(scratch, certs, need_peers):
    """make_world(**options): a world for one test, not started."""
    made = []

    def make(accounts=None, **options):
        world = World(scratch / f"world{next(_homes)}", certs, accounts or {**ACCOUNTS, **FREE}, **options)
        made.append(world)
        return world

    yield make
    for world in made:
        world.stop()


@pytest.fixture(scope="session")
def need_peers():
    """Skips where the unpacked peers are missing."""
    reason = peers.missing_reason()
    if reason:
        pytest.skip(reason)
