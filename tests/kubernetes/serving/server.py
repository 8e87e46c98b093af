"""Serves a model with mistral.rs as KServe's servers do: waits for the model, loads it, answers completions.

Runs in a pod: `python3 server.py DIRECTORY`. Imports nothing of this repository.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
ready = threading.Event()
engine = None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200 if ready.is_set() else 503, {})

    def do_POST(self) -> None:
        from mistralrs import CompletionRequest

        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = CompletionRequest(model="model", prompt=asked["prompt"], max_tokens=asked["max_tokens"])
        given = engine.send_completion_request(request)
        usage = {"completion_tokens": given.usage.completion_tokens}
        self.answer(200, {"choices": [{"text": one.text} for one in given.choices], "usage": usage})

    def answer(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the log to what happened."""


def load(directory: str) -> None:
    from mistralrs import Architecture, Runner, Which

    global engine
    while not os.path.exists(f"{directory}/config.json"):
        time.sleep(0.1)
    print(f"{directory} is there: {sorted(os.listdir(directory))}", flush=True)
    began = time.monotonic()
    engine = Runner(which=Which.Plain(model_id=directory, arch=Architecture.Llama))
    print(f"loaded in {time.monotonic() - began:.1f} s", flush=True)
    ready.set()


if __name__ == "__main__":
    threading.Thread(target=load, args=sys.argv[1:], daemon=True).start()
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
