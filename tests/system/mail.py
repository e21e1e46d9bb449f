"""Messages for tests."""
import email.message
import email.policy
import itertools

_numbers = itertools.count(1)


def marker():
    """A word no other message of this run holds."""
    return f"marker{next(_numbers):05d}x"


def plain(subject="hello", body="text\r\n", sender="stranger@remote.test", to="someone@example.test", **headers):
    """A small text message as bytes with CRLF."""
    lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}", "Date: Sat, 21 Nov 2026 03:42:49 +0000",
             f"Message-ID: <{next(_numbers)}@remote.test>"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def multipart(subject="parts"):
    """Text and HTML alternatives and an attachment, as bytes with CRLF."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = "stranger@remote.test", "someone@example.test", subject
    message["Date"], message["Message-ID"] = "Sat, 21 Nov 2026 03:42:49 +0000", f"<{next(_numbers)}@remote.test>"
    message.set_content("plain text, größer\n")
    message.add_alternative("<p>html</p>\n", subtype="html")
    message.add_attachment(bytes(range(256)) * 8, maintype="application", subtype="octet-stream", filename="data.bin")
    return message.as_bytes()
