"""What the client does with a server that answers what the API would, and what it would not."""

from __future__ import annotations

import json
import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Optional

import respgate

TOKEN = "rgt_a_token"
PROBLEM = "application/problem+json"
TIME = "2026-01-31T12:00:00Z"
ORGANIZATION: dict[str, object] = {
    "id": "2UzDGFq7ZTkB",
    "name": "acme",
    "max_instances": 0,
    "max_keys": 0,
    "max_members": 0,
    "max_connections": 0,
    "rate": 0,
    "burst": 0,
    "byte_rate": 0,
    "limit_mode": "",
    "version": 1,
    "created_at": TIME,
    "deleted_at": None,
}
KEY: dict[str, object] = {
    "id": "5jX0sYq1Zb7K",
    "org": "acme",
    "instances": ["cache"],
    "name": "web",
    "rate": None,
    "burst": None,
    "byte_rate": None,
    "limit_mode": "",
    "commands": "+@all",
    "allow_from": [],
    "max_connections": 0,
    "certificate_name": "",
    "audit": "",
    "version": 1,
    "created_at": TIME,
    "expires_at": None,
    "revoked_at": None,
    "previous_until": None,
    "last_used_at": None,
}


class Server(HTTPServer):
    """Answers with what it is given, in order, and notes what it was asked."""

    def __init__(self, *answers: tuple[int, dict[str, str], str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, headers, text = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


def said(status: int, value: object, **headers: str) -> tuple[int, dict[str, str], str]:
    return status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(value)


@contextmanager
def serving(*answers: tuple[int, dict[str, str], str]) -> Iterator[tuple[respgate.Client, Server]]:
    with Server(*answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield respgate.Client(server.url + "/", TOKEN + "\n"), server
        finally:
            server.shutdown()
            thread.join()


class Answers(unittest.TestCase):
    def test_a_thing_has_its_fields_and_its_tag(self) -> None:
        later = {"deleted_at": "2026-01-31T12:00:00.123456789Z", "of_a_later_version": [1]}
        with serving(said(200, {**ORGANIZATION, **later}, ETag='"1-x"')) as (api, server):
            got = api.get_organization("a/b ä")
        self.assertEqual(got.created_at, datetime(2026, 1, 31, 12, tzinfo=timezone.utc))
        self.assertEqual(got.deleted_at, datetime(2026, 1, 31, 12, 0, 0, 123456, timezone.utc))
        self.assertEqual((got.name, got.max_keys, got.etag), ("acme", 0, '"1-x"'))
        method, path, headers, _ = server.asked[0]
        self.assertEqual((method, path), ("GET", "/api/v1/organizations/a%2Fb%20%C3%A4"))
        self.assertEqual(headers["Authorization"], "Bearer " + TOKEN)

    def test_a_change_sends_what_is_given_and_null(self) -> None:
        with serving(said(200, KEY)) as (api, server):
            end = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
            api.update_key("5jX0sYq1Zb7K", {"rate": None, "expires_at": end}, if_match='"1-x"')
        method, _, headers, body = server.asked[0]
        sent = {"rate": None, "expires_at": "2026-01-31T12:00:00+00:00"}
        self.assertEqual((method, json.loads(body), headers["If-Match"]), ("PATCH", sent, '"1-x"'))
        self.assertEqual(headers["Content-Type"], "application/json")

    def test_what_is_deleted_answers_nothing(self) -> None:
        with serving((204, {}, "")) as (api, server):
            api.delete_organization("acme", force=True)
        self.assertEqual(server.asked[0][:2], ("DELETE", "/api/v1/organizations/acme?force=true"))

    def test_a_list_is_followed_to_its_end(self) -> None:
        a, b, c = (dict(ORGANIZATION, name=name) for name in ("a", "b", "c"))
        first = {"items": [a, b], "next": "1.x&y"}
        last = {"items": [c], "next": ""}
        with serving(said(200, first), said(200, last)) as (api, server):
            self.assertEqual([o.name for o in api.list_organizations(page_size=2)], ["a", "b", "c"])
        paths = [path for _, path, _, _ in server.asked]
        path = "/api/v1/organizations?limit=2"
        self.assertEqual(paths, [path, path + "&cursor=1.x%26y"])

    def test_a_list_ends_where_nothing_is_next(self) -> None:
        with serving(said(200, {"items": [ORGANIZATION], "next": None})) as (api, _):
            self.assertEqual([o.name for o in api.list_organizations()], ["acme"])

    def test_a_page_is_asked_for_when_it_is_come_to(self) -> None:
        with serving(said(200, {"items": [ORGANIZATION], "next": "more"})) as (api, server):
            organizations = api.list_organizations()
            self.assertEqual(len(server.asked), 0)
            next(organizations)
            self.assertEqual(len(server.asked), 1)

    def test_times_are_sent_with_their_zone(self) -> None:
        east = datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))
        with serving(said(200, {"items": [], "next": ""})) as (api, server):
            self.assertEqual(list(api.list_events("acme", from_=east)), [])
        self.assertIn("from=2026-01-31T12%3A00%3A00%2B00%3A00", server.asked[0][1])

    def test_a_new_key_is_not_printed(self) -> None:
        with serving(said(201, dict(KEY, key="rg_secret"))) as (api, _):
            made = api.create_key("acme", {"name": "web", "instances": ["cache"]})
        self.assertEqual(made.key, "rg_secret")
        self.assertNotIn("rg_secret", repr(made))


class Refusals(unittest.TestCase):
    def refused(self, *answers: tuple[int, dict[str, str], str]) -> respgate.ProblemError:
        with serving(*answers) as (api, _), self.assertRaises(respgate.ProblemError) as caught:
            api.get_organization("acme")
        return caught.exception

    def test_a_problem_says_what_is_wrong(self) -> None:
        wrong = [{"location": "body.name", "message": "expected string"}]
        told = {"title": "Unprocessable Entity", "status": 422, "detail": "no", "errors": wrong}
        got = self.refused(said(422, told, Content_Type=PROBLEM))
        self.assertEqual(str(got), "422 Unprocessable Entity; no; body.name: expected string")
        self.assertEqual((got.status, got.problem.detail, got.retry_after), (422, "no", None))

    def test_when_to_try_again(self) -> None:
        told = {"title": "Too Many Requests", "status": 429}
        got = self.refused(said(429, told, Content_Type=PROBLEM, Retry_After="7"))
        self.assertEqual(got.retry_after, 7)

    def test_what_is_no_problem_of_the_apis(self) -> None:
        for kind, text in (("text/html", "<p>Bad Gateway"), (PROBLEM, "<p>")):
            with self.subTest(kind):
                got = self.refused((502, {"Content-Type": kind}, text))
                self.assertEqual((str(got), got.problem.status), ("502 Bad Gateway", None))

    def test_a_token_is_not_sent_elsewhere(self) -> None:
        with Server() as elsewhere:
            got = self.refused((307, {"Location": elsewhere.url}, ""))
            self.assertEqual((got.status, elsewhere.asked), (307, []))

    def test_answers_of_something_else(self) -> None:
        for text in ("", "<html>", "[]", "7", '"x"', "{}", json.dumps(dict(KEY, created_at=7))):
            with self.subTest(text), serving((200, {}, text)) as (api, _):
                self.assertRaises(ValueError, api.get_key, "5jX0sYq1Zb7K")

    def test_pages_of_something_else(self) -> None:
        for told in ([], {"items": []}, {"items": 7, "next": ""}, {"items": [7], "next": ""}):
            with self.subTest(told), serving(said(200, told)) as (api, _):
                self.assertRaises(ValueError, list, api.list_organizations())

    def test_nobody_there(self) -> None:
        with Server() as server:
            url = server.url
        self.assertRaises(OSError, respgate.Client(url, TOKEN).get_me)


class Construction(unittest.TestCase):
    def wrong(self, server: str, token: str) -> str:
        with self.assertRaises(ValueError) as caught:
            respgate.Client(server, token)
        return str(caught.exception)

    def test_servers(self) -> None:
        for server in ("127.0.0.1:3000", "file:///etc", ""):
            want = f"server: want http:// or https://, got {server!r}"
            self.assertEqual(self.wrong(server, TOKEN), want)

    def test_tokens_are_not_repeated(self) -> None:
        for token in ("", " ", "rgt_ä", "rgt_a\nX: y"):
            want = "token: want printable ASCII characters"
            self.assertEqual(self.wrong("http://127.0.0.1", token), want)


if __name__ == "__main__":
    unittest.main()
