"""Runs the protocol scripts of tests/dialog. A script is a talk between client and server, one line each:

    @ LISTENER [tls]     connects (several in one script: each starts a new connection)
    C: text              sends the text and CRLF; \\r \\n \\0 \\t \\\\ and \\xHH are understood
    C- text              sends it without CRLF
    S: regex             the next line matches as a whole
    S+ regex             lines are skipped up to one that matches
    S.                   the server closes
    @starttls            TLS from here on (behind a 220 or OK)
    # anything           a comment

{user}, {password} and {plain} (base64 for AUTH PLAIN) stand for an account nobody else uses.
"""
import base64
import re
from pathlib import Path

import pytest
from wire import Wire

SCRIPTS = sorted((Path(__file__).parents[1] / "dialog").glob("*.txt"))


def unescape(text):
    return text.encode().decode("unicode_escape").encode("latin-1") if "\\" in text else text.encode()


class Talk:
    def __init__(self, server, user):
        self.server, self.wire = server, None
        plain = base64.b64encode(f"\0{user.address}\0{user.password}".encode()).decode()
        self.words = {"{user}": user.address, "{password}": user.password, "{plain}": plain}

    def fill(self, text):
        for name, value in self.words.items():
            text = text.replace(name, value)
        return text

    def step(self, line):
        kind, _, rest = line.partition(" ")
        if kind == "@":
            name, *more = rest.split()
            self.close()
            self.wire = Wire(self.server.ports[name], tls="tls" in more)
        elif kind == "@starttls":
            self.wire.wrap()
        elif kind in ("C:", "C-"):
            self.wire.send(unescape(self.fill(rest)) + (b"\r\n" if kind == "C:" else b""))
        elif kind == "S:":
            self.expect(self.wire.line(), rest)
        elif kind == "S+":
            while not self.matches(self.wire.line(), rest):
                pass
        elif kind == "S.":
            assert self.wire.at_end(5) == b""
        else:
            raise ValueError(f"what is {line!r}?")

    def matches(self, line, pattern):
        return re.fullmatch(re.sub(r"\{(user|password|plain)\}", lambda m: re.escape(self.fill(m[0])), pattern),
                            line.decode("utf-8", "replace"))

    def expect(self, line, pattern):
        assert self.matches(line, pattern), f"got {line!r}"

    def close(self):
        if self.wire:
            self.wire.close()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_dialog(server, user, script):
    talk = Talk(server, user)
    try:
        for number, line in enumerate(script.read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                try:
                    talk.step(line)
                except (AssertionError, EOFError, TimeoutError) as problem:
                    pytest.fail(f"{script.name}:{number}: {line}\n{problem}", pytrace=False)
    finally:
        talk.close()
