"""Clients that send exactly the bytes a test says: a buffered socket with TLS, and SMTP and IMAP on top of it."""
import base64
import re
import socket
import ssl
import time


def tls_context(**options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context


class Wire:
    """A connection; every read is bounded by `timeout` seconds."""

    def __init__(self, port, tls=False, proxy=b"", timeout=10, server_name="localhost", host="127.0.0.1", context=None,
                 source=None):
        self.sock = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.buffer = b""
        self.context = context or tls_context()
        self.server_name = server_name
        if proxy:
            self.sock.sendall(proxy)
        if tls:
            self.wrap()

    def wrap(self):
        self.sock = self.context.wrap_socket(self.sock, server_hostname=self.server_name)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the server closed the connection; unread: %r" % self.buffer[:200])
        self.buffer += data

    def line(self):
        """One line without its CRLF."""
        while b"\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), b"a bare LF from the server: " + line
        return line[:-1]

    def exactly(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def at_end(self, seconds=10):
        """Reads until the server closes; the bytes that came before. TimeoutError when it does not."""
        self.sock.settimeout(seconds)
        try:
            while True:
                self._more()
        except (EOFError, ConnectionResetError, ssl.SSLError):
            data, self.buffer = self.buffer, b""
            return data

    def quiet(self, seconds=0.3):
        """True when nothing arrives for that long."""
        if self.buffer:
            return False
        old = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self._more()
            return False
        except (TimeoutError, socket.timeout):
            return True
        finally:
            self.sock.settimeout(old)

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Reply:
    """An SMTP reply: .code, .lines (text after the code), .text (joined)."""

    def __init__(self, code, lines):
        self.code, self.lines = code, lines
        self.text = "\n".join(lines)

    def __repr__(self):
        return f"<{self.code} {self.text!r}>"


class Smtp(Wire):
    def __init__(self, port, greet=True, **options):
        super().__init__(port, **options)
        self.greeting = self.reply() if greet else None

    def reply(self):
        lines = []
        while True:
            line = self.line().decode("utf-8", "replace")
            assert re.match(r"[2-5]\d\d[ -]", line), f"not an SMTP reply: {line!r}"
            assert len(line) <= 510, "reply line too long"
            lines.append(line[4:])
            if line[3] == " ":
                return Reply(int(line[:3]), lines)

    def cmd(self, text):
        self.send((text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.reply()

    def ehlo(self, name="client.test"):
        """The set of extension lines, upper case."""
        reply = self.cmd(f"EHLO {name}")
        assert reply.code == 250, reply
        return {line.upper() for line in reply.lines[1:]}

    def starttls(self):
        reply = self.cmd("STARTTLS")
        assert reply.code == 220, reply
        self.wrap()
        return self.ehlo()

    def auth_plain(self, user, password, authzid=""):
        blob = base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()
        return self.cmd(f"AUTH PLAIN {blob}")

    def envelope(self, sender, recipients, parameters=""):
        reply = self.cmd(f"MAIL FROM:<{sender}>{parameters}")
        assert reply.code == 250, reply
        return [self.cmd(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def data(self, message):
        """DATA with dot stuffing; the final reply."""
        reply = self.cmd("DATA")
        if reply.code != 354:
            return reply
        message = message if isinstance(message, bytes) else message.encode()
        if not message.endswith(b"\r\n"):
            message += b"\r\n"
        self.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        return self.reply()

    def deliver(self, sender, recipients, message):
        for reply in self.envelope(sender, recipients):
            assert reply.code in (250, 251), reply
        return self.data(message)


class Answer:
    """A tagged IMAP answer: .status ("OK", "NO", "BAD"), .text, .untagged (list of bytes, literals inline)."""

    def __init__(self, status, text, untagged):
        self.status, self.text, self.untagged = status, text, untagged

    def find(self, pattern):
        """First match of a bytes pattern in the untagged answers, or None."""
        return next((m for m in (re.search(pattern, line, re.S | re.I) for line in self.untagged) if m), None)

    def all(self, pattern):
        return [m for m in (re.search(pattern, line, re.S | re.I) for line in self.untagged) if m]

    def __repr__(self):
        return f"<{self.status} {self.text!r} {self.untagged!r}>"


class Imap(Wire):
    def __init__(self, port, greet=True, **options):
        super().__init__(port, **options)
        self.count = 0
        self.greeting = self.response() if greet else None

    def response(self):
        """One response line with the literals in it."""
        whole = b""
        while True:
            line = self.line()
            whole += line
            literal = re.search(rb"\{(\d+)\}$", line)
            if not literal:
                return whole
            whole += b"\r\n" + self.exactly(int(literal[1]))

    def tag(self):
        self.count += 1
        return f"t{self.count}".encode()

    def until(self, tag):
        untagged = []
        while True:
            line = self.response()
            if line.startswith(tag + b" "):
                status, _, text = line[len(tag) + 1:].partition(b" ")
                return Answer(status.decode(), text.decode("utf-8", "replace"), untagged)
            untagged.append(line)

    def cmd(self, text, *literals):
        """Sends `text`; every literal is a synchronising one, announced behind the text before it."""
        tag = self.tag()
        line = tag + b" " + (text if isinstance(text, bytes) else text.encode())
        for literal in literals:
            self.send(line + b"{%d}\r\n" % len(literal))
            first = self.response()
            if not first.startswith(b"+"):  # refused before it was sent
                status, _, rest = first[len(tag) + 1:].partition(b" ")
                return Answer(status.decode(), rest.decode("utf-8", "replace"), [])
            line = literal
        self.send(line + b"\r\n")
        return self.until(tag)

    def ok(self, text, *literals):
        answer = self.cmd(text, *literals)
        assert answer.status == "OK", (text, answer)
        return answer

    def login(self, user, password):
        return self.cmd(f'LOGIN "{user}" "{password}"')

    def starttls(self):
        answer = self.ok("STARTTLS")
        self.wrap()
        return answer

    def append(self, mailbox, message, flags="", date=""):
        message = message if isinstance(message, bytes) else message.encode()
        date = f'"{date}" ' if date else ""
        flags = f"({flags}) " if flags else ""
        return self.cmd(f'APPEND "{mailbox}" {flags}{date}', message)

    def wait_messages(self, count, timeout=10, mailbox="INBOX"):
        """Waits until STATUS counts that many messages."""
        deadline = time.monotonic() + timeout
        while True:
            found = int(self.ok(f'STATUS "{mailbox}" (MESSAGES)').find(rb"MESSAGES (\d+)")[1])
            if found >= count or time.monotonic() > deadline:
                assert found == count, f"{found} messages instead of {count}"
                return
            time.sleep(0.02)
