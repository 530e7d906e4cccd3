"""A stand-in for the Hugging Face Hub: the part of its HTTP interface that one file needs."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants

TOKEN = "hf_of_the_tests"


class Hub:
    """Repositories in memory: {"owner/name": [{file: content} of each commit]}."""

    def __init__(self):
        self.address = ""
        self.commits = {}
        self.private = {}

    def answer(self, method, path, body, token):
        """(status, headers, content) of a request."""
        parts = unquote(urlsplit(path).path).strip("/").split("/")
        if method == "POST" and token != f"Bearer {TOKEN}":
            return 401, {"X-Error-Message": "Invalid token."}, b"{}"
        if parts == ["api", "repos", "create"]:
            return self.create(json.loads(body))
        if parts == ["api", "validate-yaml"]:
            return as_json({"errors": [], "warnings": []})
        if parts[:2] == ["api", "models"]:
            return self.of_model("/".join(parts[2:4]), *parts[4:5] or ["revision"], body)
        if len(parts) > 4 and parts[2] == "resolve":
            return self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return 404, {}, b"{}"

    def create(self, asked):
        name = f"{asked.get('organization', 'me')}/{asked['name']}"
        if name in self.commits:
            return as_json({"url": f"{self.address}/{name}"}, 409)
        self.commits[name] = [{}]
        self.private[name] = asked.get("private") or asked.get("visibility") == "private"
        return as_json({"url": f"{self.address}/{name}", "name": name})

    def of_model(self, name, action, body):
        if name not in self.commits:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return as_json({"files": files})
        if action == "commit":
            return self.commit(name, [json.loads(line) for line in body.splitlines()])
        if action == "revision":
            return as_json({"id": name, "sha": self.revision(name), "siblings": []})
        return 404, {}, b"{}"

    def commit(self, name, lines):
        files = dict(self.commits[name][-1])
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self.commits[name].append(files)
        sha = self.revision(name)
        return as_json({"commitUrl": f"{self.address}/{name}/commit/{sha}", "commitOid": sha})

    def revision(self, name):
        return f"{len(self.commits[name]) - 1:040x}"

    def file(self, name, revision, file):
        if name not in self.commits:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        number = -1 if revision == "main" else int(revision, 16)
        if file not in self.commits[name][number]:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        content = self.commits[name][number][file]
        digest = hashlib.sha256(content).hexdigest()
        return 200, {"X-Repo-Commit": self.revision(name), "ETag": f'"{digest}"'}, content


def as_json(value, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextlib.contextmanager
def serving():
    """Yields a hub and its address."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            token = self.headers.get("Authorization")
            status, headers, content = hub.answer(self.command, self.path, body, token)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": len(content)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = _answer

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            hub.address = f"http://127.0.0.1:{server.server_port}"
            yield hub, hub.address
        finally:
            server.shutdown()
            thread.join()


def use(patch, address, cache):
    """Lets huggingface_hub in this process talk to an address, with a cache of its own."""
    pattern = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", pattern)
    patch.setattr(constants, "ENDPOINT", address)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setenv("HF_TOKEN", TOKEN)
