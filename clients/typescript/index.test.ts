// What the client does with a server that answers what the API would, and what it would not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient, items, ProblemError, unwrap } from "./index.js";

/** Makes a client that gets the answers, in order, and the requests that it makes. */
function answering(...answers: Response[]) {
  const asked: Request[] = [];
  const api = createClient({
    server: "http://respgate.test/",
    token: "rgt_a_token\n",
    fetch: async (request) => {
      asked.push(request);
      return answers.shift()!;
    },
  });
  return { api, asked };
}

function problem(status: number, said: object, headers = {}) {
  return Response.json(said, { status, headers: { ...headers, "Content-Type": "application/problem+json" } });
}

const acme = { params: { path: { org: "a/b" } } };

test("requests have the token, and a path's parameters are escaped", async () => {
  const { api, asked } = answering(Response.json({ name: "acme" }));
  const org = await unwrap(api.GET("/api/v1/organizations/{org}", acme));
  assert.equal(org.name, "acme");
  assert.equal(asked[0]?.url, "http://respgate.test/api/v1/organizations/a%2Fb");
  assert.equal(asked[0]?.headers.get("Authorization"), "Bearer rgt_a_token");
});

test("what is deleted answers nothing", async () => {
  const { api } = answering(new Response(null, { status: 204 }));
  assert.equal(await unwrap(api.DELETE("/api/v1/organizations/{org}", acme)), undefined);
});

test("a list is followed to its end, page by page", async () => {
  const { api, asked } = answering(
    Response.json({ items: [{ name: "a" }, { name: "b" }], next: "1.x&y" }),
    Response.json({ items: [{ name: "c" }], next: "" }),
  );
  const names: string[] = [];
  const list = items((cursor) => api.GET("/api/v1/organizations", { params: { query: { cursor } } }));
  assert.equal(asked.length, 0);
  for await (const org of list) {
    names.push(`${org.name}${asked.length}`);
  }
  assert.deepEqual(names, ["a1", "b1", "c2"]);
  assert.equal(asked[1]?.url, "http://respgate.test/api/v1/organizations?cursor=1.x%26y");
});

test("a refusal is thrown with its problem", async () => {
  const errors = [{ location: "body.name", message: "expected string" }];
  const said = { title: "Unprocessable Entity", status: 422, detail: "no", errors };
  const { api } = answering(problem(422, said, { "Retry-After": "7" }));
  await assert.rejects(unwrap(api.GET("/api/v1/me")), (refused) => {
    assert.ok(refused instanceof ProblemError);
    assert.equal(refused.message, "422 Unprocessable Entity; no; body.name: expected string");
    assert.deepEqual(refused.problem, said);
    assert.deepEqual([refused.status, refused.retryAfter], [422, 7]);
    return true;
  });
});

test("so is one that is not of the API", async () => {
  for (const type of ["text/html", "application/problem+json"]) {
    const headers = { "Content-Type": type };
    const { api } = answering(new Response("<p>", { status: 502, statusText: "Bad Gateway", headers }));
    await assert.rejects(unwrap(api.GET("/api/v1/me")), { name: "ProblemError", message: "502 Bad Gateway" });
  }
});

test("a token that cannot be sent is refused, and not repeated", () => {
  for (const token of ["", " ", "rgt_ä", "rgt_a\nX: y"]) {
    const want = { message: "token: want printable ASCII characters" };
    assert.throws(() => createClient({ server: "http://respgate.test", token }), want);
  }
});
