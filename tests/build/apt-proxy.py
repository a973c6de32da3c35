#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# usage: apt-proxy.py CACHE COMMAND...
#
# Runs COMMAND in a network namespace that has loopback and nothing else but an
# HTTP proxy on 127.0.0.1:3142, through which apt gets Debian's packages and
# nobody gets anything else.  Packages stay in the folder CACHE: their names
# are never used twice.  What changes (the lists) is asked for each time.
# Ends with COMMAND's status.
#
# From the environment: http_proxy; FRESH_MIRROR, instead of the host's name.
import ctypes
import http.server
import os
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

PORT = 3142
HOST = "http://deb.debian.org"
MIRROR = os.environ.get("FRESH_MIRROR", HOST)
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        error = ctypes.get_errno()
        sys.exit(f"apt-proxy: network namespace: {os.strerror(error)}")


def lasting(path):
    return path.startswith("/debian/pool/") or "/pool/" in path or "/by-hash/" in path


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"       # apt keeps its connection

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path[len(HOST):] if self.path.startswith(HOST + "/") else ""
        if not re.fullmatch(r"/debian(-security)?/[A-Za-z0-9%+._~/-]+", path) or ".." in path:
            self.send_error(403, "only Debian's packages")
            return
        kept = os.path.join(CACHE, path.lstrip("/").replace("/", "_"))
        try:
            if lasting(path) and os.path.exists(kept):
                os.utime(kept)
            else:
                self.fetch(path, kept)
        except urllib.error.HTTPError as e:
            self.send_error(e.code)
            return
        except OSError as e:
            # No network today: yesterday's lists will do.
            if not os.path.exists(kept):
                print(f"apt-proxy: {self.path}: {e}", file=sys.stderr)
                self.send_error(502)
                return
        with open(kept, "rb") as f:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(f.fileno()).st_size))
            self.end_headers()
            shutil.copyfileobj(f, self.wfile)

    def fetch(self, path, kept):
        with urllib.request.urlopen(MIRROR + path, timeout=60) as r:
            with tempfile.NamedTemporaryFile(dir=CACHE, prefix=".new", delete=False) as f:
                try:
                    shutil.copyfileobj(r, f)
                    f.flush()
                    if "Content-Length" in r.headers and f.tell() != int(r.headers["Content-Length"]):
                        raise OSError("the answer is too short")
                    os.rename(f.name, kept)
                except BaseException:
                    os.unlink(f.name)
                    raise


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64


CACHE = sys.argv[1]
os.makedirs(CACHE, exist_ok=True)
ours = os.open("/proc/self/ns/net", os.O_RDONLY)
check(libc.unshare(CLONE_NEWNET))
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
theirs = os.open("/proc/self/ns/net", os.O_RDONLY)
server = Server(("127.0.0.1", PORT), Proxy)     # stays in that namespace
command = subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + sys.argv[2:])
check(libc.setns(ours, CLONE_NEWNET))
threading.Thread(target=server.serve_forever, daemon=True).start()
status = command.wait()
sys.exit(status if status >= 0 else 128 - status)
