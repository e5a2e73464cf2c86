"""A proxy that sends the HTML of a server a few bytes at a time, to test what a browser shows of an incomplete page."""

import contextlib
import http.server
import threading
import time
import urllib.request

CHUNK_BYTES = 150
# Seconds between chunks: about the time in which a browser paints a frame.
PAUSE = 0.016


@contextlib.contextmanager
def slow_server(address):
    """Yields the address of a proxy for the server at `address`. The proxy sends HTML in chunks."""

    class SlowHandler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            with urllib.request.urlopen(address + self.path, timeout=60) as response:
                body, headers = response.read(), response.headers
            self.send_response(200)
            for name in ["content-type", "content-security-policy"]:
                if headers[name]:
                    self.send_header(name, headers[name])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            size = CHUNK_BYTES if "html" in headers["content-type"] else len(body)
            for start in range(0, len(body), size):
                self.wfile.write(body[start:start + size])
                time.sleep(PAUSE)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
