"""A scripted SMTP server: a correct one unless told otherwise, and then as bad as the script says. It keeps what it was sent.

A script is a dictionary {stage: what} or a list of them, one for each connection in turn (the last one for all others).
Stages: connect, ehlo, starttls, auth, mail, rcpt, data, chunk (each BDAT), body (the answer to the whole message), rset, quit.
`what` is one of
    None                    the usual answer
    "450 4.2.0 later"       this reply, and what was asked for does not happen when it is no 2xx or 3xx
    Raw(bytes)              exactly these bytes instead of a reply
    Drop()                  closes without a word; Drop(reset=True): with RST
    Silence()               never answers, until the client goes
    Endless(bytes)          these bytes again and again until the client goes
    Slow(seconds, what)     waits before
    Drip(seconds, text)     sends the reply byte by byte with that pause
    [what, what, …]         one for each time the stage comes in the server's life, the last one for all others
    callable(session, argument)  decides; answers any of the above
"""
import base64
import hashlib
import hmac
import itertools
import os
import re
import socket
import ssl
import threading
import time

IDLE_SECONDS = 60  # a connection never lives longer without a word
ENDLESS_MAX = 64 << 20  # bytes after which a client that still reads has failed
EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES")


class Raw:
    def __init__(self, data):
        self.data = data


class Drop:
    def __init__(self, reset=False):
        self.reset = reset


class Silence:
    pass


class Endless:
    def __init__(self, data):
        self.data = data


class Slow:
    def __init__(self, seconds, what=None):
        self.seconds, self.what = seconds, what


class Drip:
    def __init__(self, seconds, text):
        self.seconds, self.text = seconds, text


class Message:
    """One accepted message: sender, parameters of MAIL, recipients [(address, parameters)], data, and how it came."""

    def __init__(self, session):
        self.session, self.sender, self.parameters, self.recipients = session, None, {}, []
        self.data, self.chunked, self.at = b"", False, time.monotonic()

    @property
    def to(self):
        return [address for address, _ in self.recipients]

    def header(self, name):
        """The first field of that name, unfolded, or None."""
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":((?:.*\r\n[ \t])*.*)\r\n", self.data.partition(b"\r\n\r\n")[0] + b"\r\n")
        return re.sub(rb"\r\n(?=[ \t])", b"", found[1]).strip().decode("utf-8", "replace") if found else None

    @property
    def body(self):
        return self.data.partition(b"\r\n\r\n")[2]

    def __repr__(self):
        return f"<from {self.sender} to {self.to} {len(self.data)} bytes>"


class Closed(Exception):
    pass


class Session:
    """One connection: .commands as received, .tls (protocol version or None), .user, .mechanism, .pipelined (commands that
    came before the reply to the one before), .blobs (what came in AUTH, decoded)."""

    def __init__(self, server, sock, number, script):
        self.server, self.sock, self.number, self.script = server, sock, number, script
        self.buffer, self.commands, self.blobs = b"", [], []
        self.tls = self.user = self.mechanism = self.ehlo_name = self.server_name = None
        self.pipelined, self.opened, self.ended = 0, time.monotonic(), None
        self.message = None
        self.peer = sock.getpeername()

    # ---- bytes ----

    def send(self, data):
        self.sock.sendall(data)

    def reply(self, text):
        self.send(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Closed
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), b"a bare LF from the client: " + line
        return line[:-1].decode("utf-8", "surrogateescape")

    def exactly(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    # ---- the script ----

    def does(self, stage, argument, usual):
        """Acts on the stage; True when the usual answer was given (or another positive one)."""
        what = self.script.get(stage)
        if isinstance(what, list):
            what = self.server.next_of(what)
        if callable(what):
            what = what(self, argument)
        return self._act(what, usual)

    def _act(self, what, usual):
        if what is None:
            what = usual
        if isinstance(what, Slow):
            if self.server.stopping.wait(what.seconds):
                raise Closed
            return self._act(what.what, usual)
        if isinstance(what, Drop):
            if what.reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raise Closed
        if isinstance(what, Silence):
            while True:
                self._more()
        if isinstance(what, Endless):
            for _ in range(ENDLESS_MAX // len(what.data)):
                self.send(what.data)
            self.server.trouble.append("the client read an endless reply to its end")
            raise Closed
        if isinstance(what, Drip):
            for byte in what.text.encode() + b"\r\n":
                self.send(bytes([byte]))
                if self.server.stopping.wait(what.seconds):
                    raise Closed
            return what.text[:1] in "23"
        if isinstance(what, Raw):
            self.send(what.data)
            return what.data[:1] in (b"2", b"3")
        if what:
            self.reply(what)
        return what[:1] in "23"

    # ---- the dialogue ----

    def run(self):
        if self.server.implicit:
            self._handshake()
        if not self.does("connect", None, f"220 {self.server.name} ESMTP"):
            pass  # a server that refuses may still be asked: RFC 5321 4.3.2
        while True:
            line = self.line()
            if self.buffer and not line.upper().startswith("BDAT"):
                self.pipelined += 1
            self.commands.append(line)
            verb, _, argument = line.partition(" ")
            handler = getattr(self, "on_" + verb.lower(), None)
            if handler is None:
                self.reply("500 5.5.2 what?")
            elif handler(argument) == "end":
                return

    def _handshake(self):
        self.sock = self.server.context.wrap_socket(self.sock, server_side=True)
        self.tls = self.sock.version()
        self.server_name = getattr(self.sock, "rockdove_name", None)

    def on_ehlo(self, argument):
        self.ehlo_name = argument
        # A client that can send chunks would never come to the stage `data`.
        lines = [self.server.name, *(line for line in self.server.extensions if line != "CHUNKING" or "data" not in self.script)]
        if self.server.context and not self.tls and self.server.starttls:
            lines.append("STARTTLS")
        if self.server.users and (self.tls or not self.server.auth_needs_tls):
            lines.append("AUTH " + " ".join(self.server.mechanisms))
        text = "".join(f"250{' ' if line is lines[-1] else '-'}{line}\r\n" for line in lines)
        self.does("ehlo", argument, text[:-2])

    def on_helo(self, argument):
        self.ehlo_name = argument
        self.does("helo", argument, f"250 {self.server.name}")

    def on_starttls(self, _):
        if self.does("starttls", None, "220 2.0.0 go"):
            self.buffer = b""
            self._handshake()

    def on_noop(self, _):
        self.reply("250 2.0.0 ok")

    def on_rset(self, _):
        self.message = None
        self.does("rset", None, "250 2.0.0 ok")

    def on_quit(self, _):
        self.does("quit", None, "221 2.0.0 bye")
        return "end"

    def on_mail(self, argument):
        if self.server.require_auth and not self.user:
            self.reply("530 5.7.0 Authentication required")
            return
        address, parameters = _path(argument)
        if self.does("mail", argument, "250 2.1.0 ok"):
            self.message = Message(self)
            self.message.sender, self.message.parameters = address, parameters

    def on_rcpt(self, argument):
        if self.message is None:
            self.reply("503 5.5.1 MAIL first")
        elif self.does("rcpt", argument, "250 2.1.5 ok"):
            self.message.recipients.append(_path(argument))

    def on_data(self, _):
        if self.message is None or not self.message.recipients:
            self.reply("554 5.5.1 no valid recipients")
        elif self.does("data", None, "354 go on"):
            while True:
                end = 0 if self.buffer.startswith(b".\r\n") else self.buffer.find(b"\r\n.\r\n") + 2
                if end == 0 and self.buffer.startswith(b".\r\n") or end >= 2:
                    break
                self._more()
            data, self.buffer = self.buffer[:end], self.buffer[end + 3:]
            assert not re.search(rb"(?<!\r)\n|\r(?!\n)", data), "a bare CR or LF in the message"
            self.message.data = re.sub(rb"(?m)^\.", b"", data)
            self._whole()

    def on_bdat(self, argument):
        size, _, last = argument.partition(" ")
        chunk = self.exactly(int(size))
        if self.message is None or not self.message.recipients:
            self.reply("503 5.5.1 no valid recipients")
            return
        self.message.data += chunk
        self.message.chunked = True
        if last.upper() == "LAST":
            self._whole()
        elif not self.does("chunk", argument, "250 2.0.0 ok"):
            self.message = None

    def _whole(self):
        message, self.message = self.message, None
        self.server.offered.append(message)
        # Kept before the answer is sent: a client that is told 250 may be asked about at once.
        self.server.kept.append(message)
        try:
            if not self.does("body", message, f"250 2.0.0 ok {len(self.server.kept)}"):
                self.server.kept.remove(message)
        except BaseException:
            self.server.kept.remove(message)
            raise

    # ---- AUTH ----

    def on_auth(self, argument):
        self.mechanism, _, initial = argument.partition(" ")
        self.mechanism = self.mechanism.upper()
        try:
            user = getattr(self, "_auth_" + self.mechanism.lower().replace("-", "_"))(initial or None)
        except (ValueError, AttributeError, KeyError):
            user = None
        if user is None:
            self.does("auth_bad", argument, "535 5.7.8 authentication failed")
        elif self.does("auth", user, "235 2.7.0 welcome"):
            self.user = user

    def _ask(self, challenge):
        self.reply("334 " + base64.b64encode(challenge).decode())
        return self._blob(self.line())

    def _blob(self, text):
        data = b"" if text == "=" else base64.b64decode(text, validate=True)
        self.blobs.append(data)
        return data

    def _checked(self, user, password):
        return user if self.server.users.get(user) == password else None

    def _auth_plain(self, initial):
        blob = self._ask(b"") if initial is None else self._blob(initial)
        _, user, password = blob.split(b"\0")
        return self._checked(user.decode(), password.decode())

    def _auth_login(self, initial):
        user = self._ask(b"Username:") if initial is None else self._blob(initial)
        return self._checked(user.decode(), self._ask(b"Password:").decode())

    def _auth_xoauth2(self, initial):
        blob = self._ask(b"") if initial is None else self._blob(initial)
        found = re.fullmatch(rb"user=([^\1]*)\1auth=Bearer ([^\1]*)\1\1".replace(rb"\1", b"\x01"), blob)
        user = found and self._checked(found[1].decode(), found[2].decode())
        if user is None:  # the error goes out as a challenge, answered by an empty line
            self.reply("334 " + base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"mail"}').decode())
            self.line()
        return user

    def _auth_scram_sha_256(self, initial):
        first = (self._ask(b"") if initial is None else self._blob(initial)).decode()
        assert first.startswith("n,,"), first
        bare = first[3:]
        words = dict(word.split("=", 1) for word in bare.split(","))
        user = words["n"].replace("=2C", ",").replace("=3D", "=")
        password, salt, rounds = self.server.users.get(user, os.urandom(8).hex()), os.urandom(16), 4096
        nonce = words["r"] + base64.b64encode(os.urandom(18)).decode()
        server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={rounds}"
        final = self._ask(server_first.encode()).decode()
        without, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
        key = hmac.digest(salted, b"Client Key", "sha256")
        signed = ",".join((bare, server_first, without)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        if f"c=biws,r={nonce}" != without or bytes(a ^ b for a, b in zip(key, signature)) != base64.b64decode(proof):
            return None
        verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        if self.server.scram_lies:
            verifier = bytes(32)
        self._ask(b"v=" + base64.b64encode(verifier))
        return user


def _path(argument):
    """(address, {parameter: value}) of what stands behind MAIL or RCPT."""
    found = re.fullmatch(r"(?i)(?:FROM|TO):<([^>]*)>(.*)", argument)
    assert found, f"ill-formed: {argument!r}"
    words = (word.partition("=") for word in found[2].split())
    return found[1], {name.upper(): value for name, _, value in words}


class SmtpServer:
    """SmtpServer(port=…, host="127.0.0.2", script={…}).start(). Servers of one test share a port and differ in their host.

    cert: (certificate, key) for STARTTLS, or for TLS at once with implicit=True. users: {name: password or token}.
    kept: messages that were accepted; offered: those whose data came in, whatever was answered."""

    def __init__(self, port, host="127.0.0.1", script=None, cert=None, implicit=False, starttls=True, users=None,
                 mechanisms=("PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2"), extensions=EXTENSIONS, name="remote.test",
                 require_auth=None, auth_needs_tls=True, scram_lies=False, maximum_tls=None):
        self.port, self.host, self.name = port, host, name
        self.implicit, self.starttls, self.users = implicit, starttls, users or {}
        self.mechanisms, self.extensions = mechanisms, tuple(extensions)
        self.require_auth = bool(users) if require_auth is None else require_auth
        self.auth_needs_tls, self.scram_lies = auth_needs_tls, scram_lies
        self.set_script(script or {})
        self.sessions, self.kept, self.offered, self.trouble = [], [], [], []
        self.stopping, self._numbers, self._used = threading.Event(), itertools.count(), {}
        self._lock, self._listener = threading.Lock(), None
        self.context = None
        if cert:
            self.use_cert(cert, maximum_tls)

    def use_cert(self, cert, maximum_tls=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*cert)
        if maximum_tls:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = maximum_tls
            context.set_ciphers("ALL:@SECLEVEL=0")
        context.sni_callback = lambda sock, name, _: setattr(sock, "rockdove_name", name)
        self.context = context

    def set_script(self, script):
        self.scripts, self._script_used = (script if isinstance(script, list) else [script]), 0

    def next_of(self, choices):
        with self._lock:
            number = self._used.get(id(choices), 0)
            self._used[id(choices)] = number + 1
        return choices[min(number, len(choices) - 1)]

    def start(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=512)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def _accept(self, listener):
        while not self.stopping.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(IDLE_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                script = self.scripts[min(self._script_used, len(self.scripts) - 1)]
                self._script_used += 1
            try:
                session = Session(self, sock, next(self._numbers), script)
            except OSError:
                sock.close()
                continue
            self.sessions.append(session)
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    def _serve(self, session):
        try:
            session.run()
        except (Closed, OSError, ssl.SSLError):
            pass
        except Exception as error:  # a client that does what no client may
            self.trouble.append(f"{error!r} after {session.commands[-3:]}")
        finally:
            session.ended = time.monotonic()
            try:
                session.sock.close()
            except OSError:
                pass

    def stop(self):
        self.stopping.set()
        if self._listener:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listener.close()
        for session in self.sessions:
            try:
                session.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # ---- waiting ----

    def wait_messages(self, count, timeout=20):
        """The messages accepted, once there are that many (and no more)."""
        self.wait(lambda: len(self.kept) >= count, timeout, f"{count} messages")
        assert len(self.kept) == count, self.kept
        assert not self.trouble, self.trouble
        return list(self.kept)

    def wait_sessions(self, count, timeout=20):
        self.wait(lambda: len(self.sessions) >= count, timeout, f"{count} connections")
        return list(self.sessions)

    def wait(self, condition, timeout=20, what="something"):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout} s for {what} at {self.host}; kept {self.kept}, sessions "
                                     f"{[session.commands[-6:] for session in self.sessions[-5:]]}, trouble {self.trouble}")
            time.sleep(0.02)

    def seen(self, text):
        """How many messages that were accepted hold this text."""
        word = text if isinstance(text, bytes) else text.encode()
        return sum(word in message.data for message in self.kept)


def greylist(seconds=0.0):
    """An rcpt stage: the first attempt of each (sender, recipient) is told to come again, until `seconds` have passed."""
    first = {}

    def decide(session, argument):
        key = (session.message.sender, argument)
        if time.monotonic() - first.setdefault(key, time.monotonic()) > seconds and key in decide.seen:
            return None
        decide.seen.add(key)
        return "450 4.2.0 greylisted, come again"
    decide.seen = set()
    return decide
