"""A judge at the other end of a real connection: slow, busy, away for a while, wrong, or gone for good."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from depthgauge.core.errors import TrainingFailed
from depthgauge.core.testbed import Item
from depthgauge.tasks import llm_judge as module
from depthgauge.tasks.llm_judge import UselessAnswer, mark
from depthgauge_methods.second_pass.rewards import paid
from depthgauge_testbeds.science import articles_judge
from tests.processes import refused

ITEM = Item(id="1", prompt="What is the symbol of iron?", answer="Fe")
GOOD = '{"factual": 1, "concise": 0.5, "format": 0}'


@pytest.fixture
def server(monkeypatch):
    """A judge whose replies are (status, content, seconds), one a request; the last is repeated."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.05)
    asked, replies = [], [(200, GOOD, 0)]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], body))
            status, content, seconds = replies[min(len(asked), len(replies)) - 1]
            time.sleep(seconds)
            reply = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.handle_error = lambda *_: None  # a client that does not wait is meant
    threading.Thread(target=http.serve_forever, daemon=True).start()
    http.asked, http.replies = asked, replies
    http.endpoint = f"http://127.0.0.1:{http.server_address[1]}/v1"
    yield http
    http.shutdown()
    http.server_close()


def judge(server, **changes):
    return articles_judge(server.endpoint, "m", **{"patience_s": 5, "timeout_s": 2} | changes)


def test_marks_are_weighted_as_published(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")

    assert judge(server, key_from="MY_KEY").score(ITEM, "It is Fe.") == pytest.approx(0.5 + 0.35 / 2)
    path, key, body = server.asked[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert all(text in body["messages"][0]["content"] for text in (ITEM.prompt, "It is Fe.", "Fe"))


def test_a_judge_that_is_busy_or_away_is_asked_again(server):
    server.replies[:] = [(503, "", 0), (429, "", 0), (200, GOOD, 0)]

    assert judge(server).score(ITEM, "Fe") == pytest.approx(0.675)
    assert len(server.asked) == 3


def test_a_judge_that_is_slow_is_asked_again(server):
    server.replies[:] = [(200, GOOD, 1), (200, GOOD, 0)]

    assert judge(server, timeout_s=0.3).score(ITEM, "Fe") == pytest.approx(0.675)


def test_prose_instead_of_numbers_is_asked_again_and_then_named(server):
    server.replies[:] = [(200, "A fine answer!", 0), (200, f"Here it is: {GOOD}", 0)]
    assert judge(server).score(ITEM, "Fe") == pytest.approx(0.675)

    server.asked.clear()
    server.replies[:] = [(200, "A fine answer!", 0)]
    with refused(TrainingFailed, "'m'", "'A fine answer!'", 3):
        judge(server).score(ITEM, "Fe")


def test_a_judge_that_is_gone_is_one_sentence(server):
    gone = judge(server, patience_s=0.3)
    server.shutdown()
    server.server_close()

    with refused(TrainingFailed, "0 s", "ConnectionError"):
        gone.score(ITEM, "Fe")


def test_a_refusal_is_not_asked_again(server):
    server.replies[:] = [(401, "", 0)]
    with refused(TrainingFailed, 401, "'m'"):
        judge(server).score(ITEM, "Fe")
    assert len(server.asked) == 1


def test_many_completions_are_judged_together(server):
    server.replies[:] = [(200, GOOD, 0.3)]
    began = time.monotonic()
    reward_func = paid(judge(server, max_concurrency=8).reward(), [ITEM])(completions=["Fe"] * 8, place=[0] * 8)

    assert reward_func == [pytest.approx(0.675)] * 8
    assert time.monotonic() - began < 4 * 0.3


@pytest.mark.parametrize("answer", ["", "0.5", "[1, 2]", '{"factual": 2}', '{"factual": "much"}', '{"other": 1}', "{"])
def test_what_holds_no_mark_is_no_mark(answer):
    with pytest.raises(UselessAnswer):
        mark(answer, "factual")
