"""A server's pages, a few bytes at a time: what a slow machine or a slow line shows before a page is whole."""

import contextlib
import http.server
import threading
import time
import urllib.request

PIECE = 150
# About what a browser takes to paint once.
PAUSE = 0.016


@contextlib.contextmanager
def dripping(address):
    """The address of a server that answers what the one at `address` does, its HTML in pieces."""

    class Passing(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *said):
            pass

        def do_GET(self):
            with urllib.request.urlopen(address + self.path, timeout=60) as answer:
                body, headers = answer.read(), answer.headers
            self.send_response(200)
            for name in ["content-type", "content-security-policy"]:
                if headers[name]:
                    self.send_header(name, headers[name])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            piece = PIECE if "html" in headers["content-type"] else len(body)
            for start in range(0, len(body), piece):
                self.wfile.write(body[start:start + piece])
                time.sleep(PAUSE)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
