"""PROXY protocol headers, version 1 and 2, well-formed or not, as a test asks."""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP4, TCP6, UDP4, UNIX, UNSPEC = 0x11, 0x21, 0x12, 0x31, 0x00


def v1(source="203.0.113.7", destination="198.51.100.1", source_port=40001, destination_port=25):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {destination_port}\r\n".encode()


V1_UNKNOWN = b"PROXY UNKNOWN\r\n"


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def addresses(source, destination, source_port, destination_port):
    return (ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
            + struct.pack("!HH", source_port, destination_port))


def header(command, family, payload, version=2):
    """command: 0 LOCAL, 1 PROXY."""
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack("!H", len(payload)) + payload


def v2(source="203.0.113.7", destination="198.51.100.1", source_port=40001, destination_port=25, tlvs=b"", crc=False,
       crc_error=0):
    family = TCP6 if ":" in source else TCP4
    payload = addresses(source, destination, source_port, destination_port) + tlvs
    if not crc:
        return header(1, family, payload)
    blank = header(1, family, payload + tlv(3, b"\0\0\0\0"))
    return blank[:-4] + struct.pack("!I", crc32c(blank) ^ crc_error)


def local(payload=b""):
    return header(0, UNSPEC, payload)


def crc32c(data):
    """CRC-32C (Castagnoli), bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
