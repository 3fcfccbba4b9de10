// Makes an organization, an instance and keys over the management API, and deletes them again:
//
//     RESPGATE_TOKEN=… REDIS_URL=redis://127.0.0.1:6379/0 node dist/example.js

import { createClient, items, ProblemError, unwrap } from "./index.js";

const api = createClient({
  server: process.env.RESPGATE_SERVER ?? "http://127.0.0.1:3000",
  token: process.env.RESPGATE_TOKEN ?? "",
});
const redis = process.env.REDIS_URL ?? "redis://127.0.0.1:6379/0";

// With a key of its own a creation can be sent again when its answer was lost: it is done once.
const once = crypto.randomUUID();
const org = "example-" + once.slice(0, 8);
const create = () =>
  unwrap(
    api.POST("/api/v1/organizations", {
      params: { header: { "Idempotency-Key": once } },
      body: { name: org, max_keys: 3 },
    }),
  );
const made = await create();
const again = await create();
console.log("organization made once:", made.id === again.id);
try {
  await manage();
} finally {
  await unwrap(api.DELETE("/api/v1/organizations/{org}", { params: { path: { org }, query: { force: true } } }));
  console.log("organization deleted");
}

async function manage() {
  const instance = "cache";
  await unwrap(
    api.POST("/api/v1/organizations/{org}/instances", {
      params: { path: { org } },
      body: { name: instance, url: redis },
    }),
  );
  const probe = await unwrap(
    api.POST("/api/v1/organizations/{org}/instances/{instance}/test", { params: { path: { org, instance } } }),
  );
  console.log("instance reachable:", probe.reachable);

  const ids: string[] = [];
  for (const name of ["batch", "cron", "web"]) {
    const { id, key } = await unwrap(
      api.POST("/api/v1/organizations/{org}/keys", {
        params: { path: { org } },
        body: { name, instances: [instance], rate: 100 },
      }),
    );
    // The key itself is told this once: it is for Redis clients.
    if (key.split("_")[1] === id) {
      ids.push(id);
    }
  }
  console.log("keys made:", ids.length);

  // All pages, of two keys each.
  const names: string[] = [];
  const keys = items((cursor) =>
    api.GET("/api/v1/organizations/{org}/keys", { params: { path: { org }, query: { limit: 2, cursor } } }),
  );
  for await (const key of keys) {
    names.push(key.name);
  }
  console.log("keys:", names.sort().join(", "));

  // A change of what somebody else has changed meanwhile is refused.
  const path = { key: ids[0]! };
  const { response } = await api.GET("/api/v1/keys/{key}", { params: { path } });
  const header = { "If-Match": response.headers.get("ETag")! };
  await unwrap(api.PATCH("/api/v1/keys/{key}", { params: { path, header }, body: { rate: 200 } }));
  try {
    await unwrap(api.PATCH("/api/v1/keys/{key}", { params: { path, header }, body: { rate: 300 } }));
  } catch (refused) {
    if (!(refused instanceof ProblemError)) throw refused;
    console.log("stale:", refused.status, refused.problem.title);
  }

  // So is what is wrong, with where it is.
  try {
    await unwrap(
      api.POST("/api/v1/organizations/{org}/keys", {
        params: { path: { org } },
        body: { name: "a fourth", instances: [instance], burst: -1 },
      }),
    );
  } catch (refused) {
    if (!(refused instanceof ProblemError)) throw refused;
    for (const wrong of refused.problem.errors ?? []) {
      console.log("wrong:", refused.status, wrong.location);
    }
  }

  const revoked = await unwrap(api.POST("/api/v1/keys/{key}/revoke", { params: { path } }));
  console.log("revoked:", revoked.revoked_at !== null);
  await unwrap(api.DELETE("/api/v1/keys/{key}", { params: { path } }));
}
