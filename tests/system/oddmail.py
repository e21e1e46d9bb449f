"""Odd MIME messages: what broken senders, old archives and hostile people write. (name, octets)"""


def _crlf(text):
    return (text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")).replace(b"\n", b"\r\n")


def _mixed(body, boundary="b", more="", subtype="mixed"):
    return f'From: a@x.test\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/{subtype}; boundary="{boundary}"{more}\n\n{body}'


_PART = "--b\nContent-Type: text/plain\n\none\n"

TEXTS = {
    # headers
    "empty body": "From: a@x.test\nSubject: s\n\n",
    "no blank line": "From: a@x.test\nSubject: s\n",
    "body only": "\njust a body\n",
    "one line": "hello\n",
    "no line end": "From: a@x.test\n\nbody without end",
    "header without colon": "From: a@x.test\nthis is no field\nSubject: s\n\nbody\n",
    "header without colon first": "nonsense\nFrom: a@x.test\nSubject: s\n\nbody\n",
    "mbox from line": "From a@x.test Sat Nov 21 10:00:00 2026\nFrom: a@x.test\nSubject: s\n\nbody\n",
    "space before colon": "From : a@x.test\nSubject : spaced\nTo\t: b@x.test\n\nbody\n",
    "folded subject": "From: a@x.test\nSubject: one\n two\n\tthree\n\nbody\n",
    "folded empty": "From: a@x.test\nSubject:\n \n\t\n two\nTo: b@x.test\n\nbody\n",
    "blank line with space": "From: a@x.test\nSubject: s\n \nbody\n",
    "two subjects": "From: a@x.test\nSubject: one\nSubject: two\n\nbody\n",
    "two from": "From: a@x.test\nFrom: b@x.test\nTo: c@x.test\nTo: d@x.test\n\nbody\n",
    "long field": "From: a@x.test\nSubject: " + "long " * 3000 + "\n\nbody\n",
    "quotes and backslashes": 'From: "a \\"q\\" \\\\ b" <a@x.test>\nSubject: "quoted" \\back\n\nbody\n',
    "eight bit header": "From: Jürgen <a@x.test>\nSubject: Grüße\n\nbody\n",
    "latin1 header": b"From: J\xfcrgen <a@x.test>\nSubject: Gr\xfc\xdfe\n\nbody\n",
    "encoded words": "From: =?utf-8?q?J=C3=BCrgen?= <a@x.test>\nSubject: =?utf-8?b?R3LDvMOfZQ==?= x\n\nbody\n",
    "empty fields": "From:\nTo:\nSubject:\nDate:\nMessage-ID:\nIn-Reply-To:\n\nbody\n",
    # addresses
    "groups": "From: a@x.test\nTo: friends: b@x.test, C <c@x.test>;, d@x.test\nCc: undisclosed-recipients:;\n\nbody\n",
    "unfinished group": "From: a@x.test\nTo: friends: b@x.test, c@x.test\n\nbody\n",
    "route": "From: <@r1.test,@r2.test:a@x.test>\nTo: Name <@r.test:b@x.test>\n\nbody\n",
    "comments": "From: a@x.test (Ann (the) A)\nTo: (c) b(d)@(e)x.test(f)\n\nbody\n",
    "no domain": "From: root\nTo: postmaster, Ann <ann>\n\nbody\n",
    "broken addresses": "From: <>\nTo: @, a@, @b, <a@b, c@d>, ,;\nSender: Nobody\n\nbody\n",
    "quoted local": 'From: "a b"@x.test\nTo: "x\\"y"@x.test\n\nbody\n',
    "dots in the name": "From: Dr. A. B. <a@x.test>\nTo: a.@x.test, .b@x.test, c..d@x.test\n\nbody\n",
    "domain literal": "From: a@[192.0.2.1]\nTo: b@[IPv6:2001:db8::1]\n\nbody\n",
    "reply and sender": "From: a@x.test\nSender: s@x.test\nReply-To: r@x.test, q@x.test\nBcc: z@x.test\n\nbody\n",
    "many addresses": "From: a@x.test\nTo: " + ",\n ".join(f"u{n}@x.test" for n in range(300)) + "\n\nbody\n",
    # content types
    "no subtype": "From: a@x.test\nContent-Type: text\n\nbody\n",
    "empty type": "From: a@x.test\nContent-Type:\n\nbody\n",
    "broken type": "From: a@x.test\nContent-Type: /plain; ;;charset\n\nbody\n",
    "type in capitals": "From: a@x.test\nContent-Type: TEXT/HTML; CHARSET=UTF-8\nContent-Transfer-Encoding: 8BIT\n\nbody\n",
    "two types": "From: a@x.test\nContent-Type: text/html\nContent-Type: text/plain\n\nbody\n",
    "parameters": 'From: a@x.test\nContent-Type: text/plain; a=b; c="d e"; f="g\\"h"; i=; =j; k\n\nbody\n',
    "rfc2231": "From: a@x.test\nContent-Type: application/x; name*0*=utf-8''a%20; name*1=b; title*=utf-8'en'%C3%A9\n"
               "Content-Disposition: attachment; filename*=utf-8''%C3%A9.txt\n\nbody\n",
    "comment in type": "From: a@x.test\nContent-Type: text/plain (comment); charset=(x)utf-8 (y)\n\nbody\n",
    "disposition": "From: a@x.test\nContent-Disposition: ATTACHMENT; FileName=x.txt; size=5\nContent-Language: de, en\n"
                   "Content-Location: http://x.test/\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-ID: <id@x>\nContent-Description: d d\n\nbody\n",
    "encodings": "From: a@x.test\nContent-Transfer-Encoding: x-uuencode\n\nbody\n",
    "encoding with comment": "From: a@x.test\nContent-Transfer-Encoding: (c) base64 (d)\n\nYm9keQ==\n",
    # multiparts
    "multipart": _mixed(_PART + "--b\nContent-Type: text/html\n\n<p>two\n--b--\nepilogue\n"),
    "no end boundary": _mixed(_PART),
    "no parts": _mixed("no boundary here\n"),
    "no boundary parameter": "From: a@x.test\nContent-Type: multipart/mixed\n\n--b\n\none\n--b--\n",
    "empty boundary": "From: a@x.test\nContent-Type: multipart/mixed; boundary=\"\"\n\n--\n\none\n----\n",
    "only the end": _mixed("--b--\n"),
    "empty part": _mixed("--b\n--b\n\n--b--\n"),
    "part without blank line": _mixed("--b\nContent-Type: text/html\n--b\n\ntwo\n--b--\n"),
    "boundary with blanks": _mixed("--b  \n\none\n--b \t\n\ntwo\n--b-- \n"),
    "boundary in text": _mixed("--b\n\none --b\n --b\n--bc\n--b--\n"),
    "prefix boundaries": _mixed('--b\nContent-Type: multipart/mixed; boundary="bb"\n\n--bb\n\ninner\n--bb--\n--b\n\nouter\n--b--\n'),
    "same boundary inside": _mixed('--b\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n\ninner\n--b--\n--b--\n'),
    "outer ends the inner": _mixed('--b\nContent-Type: multipart/mixed; boundary="c"\n\n--c\n\ninner\n--b\n\nouter\n--b--\n'),
    "text behind the end": _mixed(_PART + "--b--\n--b\n\nmore\n--b--\n"),
    "prologue and epilogue": _mixed("prologue\n" + _PART + "--b--\nepilogue\n"),
    "no crlf at the end": _mixed(_PART + "--b--").rstrip("\n"),
    "alternative in mixed": _mixed('--b\nContent-Type: multipart/alternative; boundary="c"\n\n--c\n\nt\n--c\nContent-Type: text/html\n\nh\n'
                                   "--c--\n--b\nContent-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\n"),
    "digest": _mixed("--b\n\nFrom: i@x.test\nSubject: inner\n\nbody\n--b\nContent-Type: text/plain\n\nplain\n--b--\n", subtype="digest"),
    "encoded multipart": _mixed(_PART + "--b--\n", more="\nContent-Transfer-Encoding: base64"),
    "deep": "From: a@x.test\n" + "".join(f'Content-Type: multipart/mixed; boundary="d{n}"\n\n--d{n}\n' for n in range(12)) + "\nbottom\n"
            + "".join(f"--d{n}--\n" for n in reversed(range(12))),
    "many parts": _mixed("".join(f"--b\n\npart {n}\n" for n in range(90)) + "--b--\n"),
    # messages in messages
    "message": "From: a@x.test\nContent-Type: message/rfc822\n\nFrom: i@x.test\nSubject: inner\n\ninner body\n",
    "message of a multipart": "From: a@x.test\nContent-Type: message/rfc822\n\n" + _mixed(_PART + "--b--\n"),
    "message in a multipart": _mixed("--b\nContent-Type: message/rfc822\n\nFrom: i@x.test\nSubject: inner\nContent-Type: text/html\n\n<p>\n--b--\n"),
    "message in message in multipart": _mixed("--b\nContent-Type: message/rfc822\n\nSubject: 1\nContent-Type: message/rfc822\n\n"
                                              "Subject: 2\n\ndeepest\n--b--\n"),
    "multipart in message in multipart": _mixed("--b\nContent-Type: message/rfc822\n\n" + _mixed("--c\n\nx\n--c\n\ny\n--c--\n", "c") + "--b\n\nz\n--b--\n"),
    "empty message": _mixed("--b\nContent-Type: message/rfc822\n\n--b--\n"),
    "message without body": _mixed("--b\nContent-Type: message/rfc822\n\nSubject: only\n--b--\n"),
    "encoded message": _mixed("--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA0KDQp5DQo=\n--b--\n"),
    "delivery status": _mixed("--b\n\ntext\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.test\n\nAction: failed\n"
                              "--b\nContent-Type: text/rfc822-headers\n\nSubject: old\n--b--\n", subtype="report", more="; report-type=delivery-status"),
    "partial message": "From: a@x.test\nContent-Type: message/partial; id=x; number=1; total=2\n\nSubject: s\n\nhalf\n",
    "external body": "From: a@x.test\nContent-Type: message/external-body; access-type=URL; URL=\"http://x.test\"\n\nContent-Type: text/html\n\n\n",
}

MESSAGES = [(name, _crlf(text)) for name, text in TEXTS.items()]

SECTIONS = ("HEADER", "TEXT", "1", "1.MIME", "1.HEADER", "1.TEXT", "2", "2.MIME", "1.1", "1.1.MIME", "1.2", "1.1.HEADER", "1.1.TEXT", "1.1.1",
            "1.2.1", "2.1", "3", "HEADER.FIELDS (SUBJECT TO)", "HEADER.FIELDS.NOT (FROM SUBJECT)", "HEADER.FIELDS (X-ABSENT)",
            "1.HEADER.FIELDS (SUBJECT)", "1.HEADER.FIELDS.NOT (SUBJECT)", "1.1.HEADER.FIELDS (SUBJECT)")
ITEMS = ("ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822.SIZE", "BODY.PEEK[]", "RFC822.HEADER", "RFC822.TEXT", "BODY.PEEK[]<0.20>", "BODY.PEEK[]<10.10>",
         "BODY.PEEK[TEXT]<0.4>", "BODY.PEEK[]<100000.5>", *(f"BODY.PEEK[{section}]" for section in SECTIONS), "BODY.PEEK[1]<1.3>")
