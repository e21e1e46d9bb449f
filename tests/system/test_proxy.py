"""PROXY protocol: every form of header, and what is not one."""
import struct
import time

import mail
import proxyheader as proxy
import pytest

GOOD = {
    "v1 tcp4": (proxy.v1(), "203.0.113.7"),
    "v1 tcp6": (proxy.v1("2001:db8::7", "2001:db8::1"), "2001:db8::7"),
    "v1 unknown": (proxy.V1_UNKNOWN, "127.0.0.1"),
    "v1 unknown with text": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "127.0.0.1"),
    "v2 tcp4": (proxy.v2(), "203.0.113.7"),
    "v2 tcp6": (proxy.v2("2001:db8::8", "2001:db8::1"), "2001:db8::8"),
    "v2 mapped ipv4": (proxy.v2("::ffff:203.0.113.9", "::ffff:198.51.100.1"), "203.0.113.9"),
    "v2 udp4": (proxy.header(1, proxy.UDP4, proxy.addresses("203.0.113.7", "198.51.100.1", 1, 2)), None),
    "v2 unix": (proxy.header(1, proxy.UNIX, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")), "127.0.0.1"),
    "v2 unspec": (proxy.header(1, proxy.UNSPEC, b""), "127.0.0.1"),
    "v2 unspec with payload": (proxy.header(1, proxy.UNSPEC, b"x" * 40), "127.0.0.1"),
    "v2 tlvs": (proxy.v2(tlvs=proxy.tlv(0x05, b"unique") + proxy.tlv(0x20, b"\0" * 5) + proxy.tlv(0xEE, b"")), "203.0.113.7"),
    "v2 crc32c": (proxy.v2(crc=True), "203.0.113.7"),
    "v2 crc32c behind others": (proxy.v2(tlvs=proxy.tlv(0x04, b"\0" * 30), crc=True), "203.0.113.7"),
    "v2 long tlv": (proxy.v2(tlvs=proxy.tlv(0x04, b"\0" * 1500)), "203.0.113.7"),
}

BAD = {
    "no header": b"EHLO client.test\r\n",
    "wrong crc": proxy.v2(crc=True, crc_error=1),
    "version 3": proxy.header(1, proxy.TCP4, b"\0" * 12, version=3),
    "unknown command": proxy.header(5, proxy.TCP4, b"\0" * 12),
    "too short for its family": proxy.header(1, proxy.TCP4, b"\0" * 11),
    "tlv longer than the header": proxy.header(1, proxy.TCP4, b"\0" * 12 + b"\x04\xff\xff"),
    "half a signature": b"\r\n\r\n\0\r\nQUOT\n" + b"\0" * 20,
    "v1 without ports": b"PROXY TCP4 203.0.113.7 198.51.100.1\r\n",
    "v1 port too large": b"PROXY TCP4 203.0.113.7 198.51.100.1 70000 25\r\n",
    "v1 bad address": b"PROXY TCP4 203.0.113.777 198.51.100.1 1 25\r\n",
    "v1 wrong family": b"PROXY TCP6 203.0.113.7 198.51.100.1 1 25\r\n",
    "v1 bare lf": b"PROXY TCP4 203.0.113.7 198.51.100.1 1 25\n",
    "v1 too long": b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
    "v1 with nul": b"PROXY TCP4 203.0.113.7\0 198.51.100.1 1 25\r\n",
    "huge length": proxy.SIGNATURE + b"\x21\x11\xff\xff" + b"\0" * 3000,
    "random": bytes(range(1, 200)),
}


def received_from(imap, user):
    client = imap(user)
    client.wait_messages(1)
    client.ok("SELECT INBOX")
    return client.ok("FETCH 1 BODY[HEADER.FIELDS (RECEIVED)]").untagged[0].decode()


@pytest.mark.parametrize("name", GOOD)
def test_good_header(smtp, imap, server, user, name):
    header, address = GOOD[name]
    mark = server.mark()
    client = smtp("mx-proxy", proxy=header)
    assert client.greeting.code == 220
    client.ehlo()
    assert client.deliver("a@remote.test", [user.address], mail.plain()).code == 250
    if address:
        text = received_from(imap, user)
        assert f"[{address}]" in text or f"[IPv6:{address}]" in text, text
        server.wait_log(address.replace(".", r"\."), mark)


@pytest.mark.parametrize("name", GOOD)
def test_header_byte_by_byte(smtp, name):
    header, _ = GOOD[name]
    if len(header) > 300:
        pytest.skip("long enough")
    client = smtp("mx-proxy", greet=False)
    for byte in header:
        client.send(bytes([byte]))
        time.sleep(0.002)
    assert client.reply().code == 220


@pytest.mark.parametrize("name", BAD)
def test_bad_header_is_closed_quietly(smtp, server, name):
    mark = server.mark()
    client = smtp("mx-proxy", greet=False)
    client.send(BAD[name])
    data = client.at_end(8)
    assert data == b"", "nothing is said to one who sent no header"
    time.sleep(0.1)
    lines = [line for line in server.since(mark) if "listener=mx-proxy" in line and "client=127.0.0.1" in line]
    assert len(lines) <= 1 and not any("error" in line.lower() for line in lines), lines


def test_no_header_at_all_times_out(smtp):
    client = smtp("mx-proxy", greet=False)
    started = time.monotonic()
    assert client.at_end(12) == b""
    assert 3 < time.monotonic() - started < 8


def test_half_a_header_times_out(smtp):
    client = smtp("mx-proxy", greet=False)
    client.send(proxy.v2()[:20])
    started = time.monotonic()
    assert client.at_end(12) == b""
    assert time.monotonic() - started < 8


def test_header_and_client_hello_in_one_segment(server, user):
    """As HAProxy delivers it: the ClientHello right behind the header."""
    import socket
    import ssl
    from wire import tls_context
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection(("127.0.0.1", server.ports["imaps-proxy"]), 10) as sock:
        sock.sendall(proxy.v2() + outgoing.read())

        def pump(step):
            while True:
                try:
                    result = step()
                    sock.sendall(outgoing.read())
                    return result
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    data = sock.recv(65536)
                    assert data, "closed"
                    incoming.write(data)
        pump(tls.do_handshake)
        assert pump(lambda: tls.read(4096)).startswith(b"* OK")


def test_header_and_first_command_in_one_segment(smtp):
    client = smtp("mx-proxy", greet=False)
    client.send(proxy.v2() + b"NOOP\r\n")
    first = client.reply()
    assert first.code in (220, 554, 421)  # early talkers may be turned away, but never confused with the header


def test_local_is_a_quiet_probe(smtp, server):
    before = server.metrics()
    mark = server.mark()
    for payload in (b"", b"x" * 20, proxy.tlv(4, b"abc")):
        client = smtp("mx-proxy", proxy=proxy.local(payload))
        assert client.greeting.code == 220
        client.ehlo()
        assert client.cmd("QUIT").code == 221
        client = smtp("mx-proxy", greet=False)
        client.send(proxy.local(payload))
        client.reset()
    time.sleep(0.3)
    assert server.since(mark) == []
    after = server.metrics()
    grown = {name for name in after if after[name] != before.get(name) and "health" in name}
    assert grown, "one counter counts health checks"


@pytest.mark.parametrize("header", [b"", proxy.v2(), proxy.v1()])
def test_optional_serves_both(smtp, header):
    started = time.monotonic()
    client = smtp("mx-optional", proxy=header)
    assert client.greeting.code == 220
    assert time.monotonic() - started < 1, "waits 200 ms at most"
    client.ehlo()


def test_optional_takes_no_header_from_strangers(make_server, certs):
    from wire import Smtp
    server = make_server(listeners=["mx-optional"], proxy_trusted_networks=["192.0.2.0/24"]).start()
    client = Smtp(server.ports["mx-optional"])
    reply = client.cmd(b"PROXY TCP4 203.0.113.7 198.51.100.1 1 25")
    assert reply.code == 500


def test_required_refuses_untrusted_proxies(make_server):
    from wire import Smtp
    server = make_server(listeners=["mx-proxy"], proxy_trusted_networks=["192.0.2.0/24"]).start()
    client = Smtp(server.ports["mx-proxy"], greet=False, proxy=proxy.v2())
    assert client.at_end(8) == b""


def test_off_does_not_look_for_a_header(smtp):
    client = smtp("mx")
    assert client.cmd(proxy.v1().rstrip()).code == 500


def test_lengths_at_the_edge(smtp):
    """Every length of a v2 header around the address block: an answer or a close, never a hang."""
    addresses = proxy.addresses("203.0.113.7", "198.51.100.1", 1, 25)
    for length in (0, 1, 11, 12, 13, 14, 15):
        client = smtp("mx-proxy", greet=False)
        client.send(proxy.SIGNATURE + b"\x21\x11" + struct.pack("!H", length) + (addresses + b"\0" * 8)[:length])
        if length in (12, 15):  # the address alone, and with an empty TLV
            assert client.reply().code == 220
        else:
            assert client.at_end(8) == b""
