"""A POP3 client that sends exactly the bytes a test says."""
from wire import Wire


class Pop3(Wire):
    def __init__(self, port, greet=True, **options):
        super().__init__(port, **options)
        self.greeting = self.line() if greet else None

    def cmd(self, command):
        """The first line of the answer."""
        self.send((command if isinstance(command, bytes) else command.encode()) + b"\r\n")
        return self.line()

    def ok(self, command):
        answer = self.cmd(command)
        assert answer.startswith(b"+OK"), (command, answer)
        return answer

    def err(self, command, holds=b""):
        answer = self.cmd(command)
        assert answer.startswith(b"-ERR") and holds in answer, (command, answer)
        return answer

    def rest(self):
        """The lines behind +OK, dots undone."""
        lines = []
        while (line := self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        return lines

    def many(self, command):
        self.ok(command)
        return self.rest()

    def message(self, number):
        return b"".join(line + b"\r\n" for line in self.many(f"RETR {number}"))

    def login(self, user):
        self.ok(f"USER {user.address}")
        return self.ok(f"PASS {user.password}")

    def starttls(self):
        self.ok("STLS")
        self.wrap()
