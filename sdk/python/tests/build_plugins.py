"""Builds the plugins of `plugins/`, and with COINSLOT=BINARY serves and pays them on a chain of its own."""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from support import HERE, ROOT, SDK

COINSLOT = os.environ.get("COINSLOT")
CACHE = os.environ.get("COINSLOT_PYTHON_CACHE") or os.path.join(tempfile.gettempdir(), "coinslot-python-tests")


def build(source: str, out: str) -> subprocess.CompletedProcess:
    command = [sys.executable, os.path.join(SDK, "build.py"), "--source", source, "--out", out]
    command += ["--wit", os.path.join(ROOT, "wit"), "--sdk", SDK, "--cache", CACHE]
    return subprocess.run(command, capture_output=True, text=True)


class Upstream(http.server.BaseHTTPRequestHandler):
    """Another server, which answers with what it was sent."""

    def do_GET(self):
        answer = json.dumps({"method": self.command, "path": self.path, "a": self.headers.get("x-a")}).encode()
        self.send_response(201)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


class Plugins(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        plugins = os.path.join(cls.folder.name, "plugins")
        os.mkdir(plugins)
        for name in ("features", "libraries"):
            built = build(os.path.join(HERE, "plugins", name, "app.py"), os.path.join(plugins, f"{name}.wasm"))
            assert built.returncode == 0, built.stderr
            assert f"built {name} " in built.stdout, built.stdout
        if COINSLOT:
            cls.serve(plugins)

    @classmethod
    def serve(cls, plugins: str):
        upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        cls.addClassCleanup(upstream.server_close)
        cls.addClassCleanup(upstream.shutdown)
        cls.upstream = f"http://127.0.0.1:{upstream.server_port}"
        config = os.path.join(cls.folder.name, "coinslot.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write('[plugin.features]\nkeyvalue = true\nconfig = { unit = "times" }\n')
            file.write(f'http = [{{ origin = "{cls.upstream}", private = true }}]\n')
        log = open(os.path.join(cls.folder.name, "log"), "w+", encoding="utf-8")
        cls.addClassCleanup(log.close)
        command = [COINSLOT, "dev", "--plugins", plugins, "--listen", "127.0.0.1:0", "--config", config]
        host = subprocess.Popen(command, cwd=cls.folder.name, stdout=log, stderr=log)
        cls.addClassCleanup(host.wait)
        cls.addClassCleanup(host.terminate)
        cls.log, deadline = log.name, time.monotonic() + 600
        while True:
            with open(log.name, encoding="utf-8") as file:
                text = file.read()
            if "serving on  " in text:
                cls.url = text.split("serving on  ")[1].split()[0]
                return
            assert host.poll() is None and time.monotonic() < deadline, text
            time.sleep(0.2)

    def setUp(self):
        if not COINSLOT and self._testMethodName != "test_they_build":
            self.skipTest("COINSLOT names no binary")

    def get(self, path: str, data: bytes | None = None, method: str | None = None, **headers):
        request = urllib.request.Request(self.url + path, data, {**headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def pay(self, path: str, *options: str):
        command = [COINSLOT, "pay", "--json", self.url + path, *options]
        done = subprocess.run(command, cwd=self.folder.name, capture_output=True, text=True)
        return json.loads(done.stdout)

    def test_they_build(self):
        """Nothing but what `setUpClass` has done."""

    def test_libraries_are_paid(self):
        document = json.dumps({"title": "<t>", "items": ["a"], "text": "# Hi\n\n|a|\n|-|\n|1|\n"})
        self.assertIn("<h1>Hi</h1>\n<table>", self.pay("/markdown", "-d", document)["body"])
        self.assertEqual(self.pay("/page", "-d", document)["body"], "<h1>&lt;t&gt;</h1><p>a</p>")
        self.assertEqual(self.pay("/document", "-d", '{"title": "x"}')["body"], '{"title":"x","items":[],"text":""}')
        self.assertEqual(self.pay("/slug?text=H%C3%A9llo+W")["body"], "hello-w")
        status, answer = self.get("/page", b'{"title": ""}')
        self.assertEqual((status, json.loads(answer)["error"]), (400, "invalid_body"))
        self.assertIn("/body/title", json.loads(answer)["message"])

    def test_a_quote_decides_the_price(self):
        self.assertEqual(self.pay("/tiers/abc", "-H", "x-tier: gold")["body"], "gold abc")
        self.assertEqual(self.get("/tiers/abc", **{"x-tier": "free"}), (200, b"free abc"))
        self.assertEqual(self.get("/tiers/abcdefghijklm")[0], 400)
        self.assertEqual(self.get("/tiers/broken")[0], 500)
        with open(self.log, encoding="utf-8") as file:
            text = file.read()
        self.assertRegex(
            text, r"the quote of GET /tiers/\{text\} failed: RuntimeError: the quote broke at by_tier \(app.py:\d+\)"
        )
        self.assertNotIn("_serve.py", text)

    def test_the_receipt_and_recursive_bodies(self):
        self.assertEqual(json.loads(self.pay("/paid")["body"])["amount"], "0.01")
        tree = '{"value": 1, "children": [{"value": 2, "children": []}]}'
        self.assertEqual(self.pay("/tree", "-d", tree)["body"], "3")

    def test_store_configuration_and_fetch(self):
        first, second = (json.loads(self.get("/count")[1]) for _ in range(2))
        self.assertEqual((first["unit"], first["keys"], first["many"]), ("times", ["a/1", "a/2"], {"a/1": "x"}))
        self.assertEqual(second["calls"], first["calls"] + 1)
        reply = json.loads(self.get(f"/fetch?url={self.upstream}/x%3Fy")[1])
        self.assertEqual(
            (reply["status"], json.loads(reply["body"])), (201, {"method": "POST", "path": "/x?y", "a": "b"})
        )
        self.assertEqual(json.loads(self.get("/fetch?url=http://127.0.0.1:9/")[1])["error"], "http_request_denied")
        self.assertEqual(self.get(f"/both?url={self.upstream}/1&url={self.upstream}/2")[1], b"[201,201]")

    def test_streams_uploads_and_asyncio(self):
        large = bytes(range(256)) * 8_000
        self.assertEqual(json.loads(self.get("/upload", large, "PATCH")[1])["bytes"], len(large))
        self.assertEqual(self.get("/echo", large)[1], large)
        self.assertEqual(self.get("/events?n=2")[1], b'event: tick\ndata: {"i":0}\n\nevent: tick\ndata: {"i":1}\n\n')
        self.assertEqual(self.get("/events?n=11")[0], 400)
        self.assertTrue(0.2 <= json.loads(self.get("/sleep")[1])["seconds"] < 1.5)

    def test_randomness_is_fresh_and_none_is_absent(self):
        self.assertEqual(len({self.get("/dice")[1] for _ in range(4)}), 4)
        self.assertEqual(self.get("/absent")[0], 404)
        self.assertEqual(self.get("/words", b"a b")[1], b'["a","b"]')


if __name__ == "__main__":
    unittest.main()
