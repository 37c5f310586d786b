"""A runner that carries out the shell steps of an action as GitHub's would, and a server that speaks its comments."""

import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import yaml

from tests.processes import ROOT

EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")


class Comments(HTTPServer):
    """The comments of pull requests: a list that is read a page at a time, added to, and rewritten."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies, self.requests, self.refuses = [], [], False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = int(re.search(r"[?&]page=(\d+)", self.path)[1])
        found = [
            {"id": i, "body": body, "user": {"type": "User" if "somebody's" in body else "Bot"}}
            for i, body in enumerate(self.server.bodies)
        ]
        self.answer(200, found[100 * (number - 1) : 100 * number])

    def do_POST(self):
        self.server.bodies.append(self.read()["body"])
        self.answer(201, {"id": len(self.server.bodies) - 1})

    def do_PATCH(self):
        self.server.bodies[int(self.path.rsplit("/", 1)[1])] = self.read()["body"]
        self.answer(200, {})

    def read(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status, found):
        self.server.requests.append((self.command, self.path, self.headers["Authorization"]))
        body = json.dumps(found).encode()
        self.send_response(403 if self.server.refuses else status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Runner:
    """One job: the files that steps write for each other, and the environment that GitHub gives them."""

    def __init__(self, folder: Path, workspace: Path, comments: Comments, *, fork: bool = False):
        self.folder, self.workspace, self.summary = folder, workspace, folder / "summary"
        event = {"pull_request": {"number": 7, "head": {"repo": {"full_name": "some/fork" if fork else "our/models"}}}}
        (folder / "event.json").write_text(json.dumps(event))
        self.environment = os.environ | {
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_API_URL": comments.address,
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_PATH": str(folder / "path"),
            "GITHUB_REPOSITORY": "our/models",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(folder),
        }

    def run(self, step, inputs, outputs):
        """A shell step, given what others put out; its completed process, and what it puts out itself."""
        values = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.token": "secret"} | outputs
        given = {name: EXPRESSION.sub(lambda m: values[m[1]], text) for name, text in step.get("env", {}).items()}
        path = self.folder / "path"
        first = path.read_text().split() if path.is_file() else []
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        environment = self.environment | given | {"PATH": os.pathsep.join([*first, os.environ["PATH"]])}
        done = subprocess.run(
            command, cwd=self.workspace, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        return done, self.put_out(step)

    def put_out(self, step):
        """What a step has left for the others, by the expressions that name it."""
        path = self.folder / "output"
        lines = path.read_text().splitlines() if path.is_file() else []
        path.unlink(missing_ok=True)
        return {f"steps.{step['id']}.outputs.{name}": value for name, value in (line.split("=", 1) for line in lines)}


def shell_steps(path: Path):
    steps = yaml.safe_load(path.read_text())["runs"]["steps"]
    return [step for step in steps if "run" in step]


def is_run(step, inputs, failed):
    """Whether GitHub runs a step: by its own condition, and not after a step that failed."""
    condition = step.get("if", "")
    assert condition in ("", "always()", "inputs.comment == 'true'"), condition
    wanted = inputs["comment"] == "true" if "inputs.comment" in condition else True
    return wanted and (condition == "always()" or not failed)
