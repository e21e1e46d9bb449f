"""An HTTPS server for MTA-STS policies: https://mta-sts.DOMAIN/.well-known/mta-sts.txt. Keeps what was asked for."""
import http.server
import socket
import ssl
import threading
import time


class PolicyServer:
    """policies: {domain: text, bytes, number (an HTTP status), ("redirect", where) or callable(handler)}. cert: for all the hosts
    at once. Several may share a port on addresses of their own."""

    def __init__(self, port, cert, host="127.0.0.1", policies=None):
        self.port, self.host, self.policies, self.asked = port, host, dict(policies or {}), []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 20
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                name = self.headers.get("Host", "").partition(":")[0].lower()
                outer.asked.append((name, self.path))
                what = outer.policies.get(name.removeprefix("mta-sts."), 404)
                if self.path != "/.well-known/mta-sts.txt":
                    what = 404
                outer.answer(self, what)

            def log_message(self, *_):
                pass

        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*cert)
        self._handler, self._server = Handler, None

    def answer(self, handler, what):
        if callable(what):
            what(handler)
            return
        status, place = 200, None
        if isinstance(what, tuple):
            status, place, what = 302, what[1], b""
        elif isinstance(what, int):
            status, what = what, b"no policy\n"
        body = what.encode() if isinstance(what, str) else what
        handler.send_response(status)
        if place:
            handler.send_header("Location", place)
        handler.send_header("Content-Type", "text/plain")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def start(self):
        context = self.context

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64
            address_family = socket.AF_INET

            def finish_request(self, request, address):
                request.settimeout(20)
                try:
                    wrapped = context.wrap_socket(request, server_side=True)
                except (OSError, ssl.SSLError):
                    return
                super().finish_request(wrapped, address)

            def handle_error(self, *_):
                pass

        self._server = Server((self.host, self.port), self._handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def wait_asked(self, count, timeout=20):
        deadline = time.monotonic() + timeout
        while len(self.asked) < count:
            assert time.monotonic() < deadline, f"{len(self.asked)} policies asked for instead of {count}"
            time.sleep(0.02)


def policy(mode="enforce", *mx, max_age=86400):
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {name}" for name in mx), f"max_age: {max_age}"]
    return "\r\n".join(lines) + "\r\n"
