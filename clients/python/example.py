"""Makes an organization, an instance and keys over the management API, and deletes them again.

    RESPGATE_TOKEN=… REDIS_URL=redis://127.0.0.1:6379/0 python3 example.py
"""

import os
import uuid

import respgate

server = os.environ.get("RESPGATE_SERVER", "http://127.0.0.1:3000")
redis = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
api = respgate.Client(server, os.environ["RESPGATE_TOKEN"])


def main() -> None:
    # With a key of its own a creation can be sent again when its answer was lost: it is done once.
    once = str(uuid.uuid4())
    name = "example-" + once[:8]
    made = api.create_organization({"name": name, "max_keys": 3}, idempotency_key=once)
    again = api.create_organization({"name": name, "max_keys": 3}, idempotency_key=once)
    print("organization made once:", made.id == again.id)
    try:
        manage(name)
    finally:
        api.delete_organization(name, force=True)
        print("organization deleted")


def manage(org: str) -> None:
    api.create_instance(org, {"name": "cache", "url": redis})
    print("instance reachable:", api.test_instance(org, "cache").reachable)

    ids = []
    for name in ("batch", "cron", "web"):
        made = api.create_key(org, {"name": name, "instances": ["cache"], "rate": 100})
        # The key itself is told this once: it is for Redis clients.
        if made.key.split("_")[1] == made.id:
            ids.append(made.id)
    print("keys made:", len(ids))

    # All pages, of two keys each.
    print("keys:", ", ".join(sorted(key.name for key in api.list_keys(org, page_size=2))))

    # A change of what somebody else has changed meanwhile is refused.
    key = api.get_key(ids[0])
    api.update_key(key.id, {"rate": 200}, if_match=key.etag)
    try:
        api.update_key(key.id, {"rate": 300}, if_match=key.etag)
    except respgate.ProblemError as refused:
        print("stale:", refused.status, refused.problem.title)

    # So is what is wrong, with where it is.
    try:
        api.create_key(org, {"name": "a fourth", "instances": ["cache"], "burst": -1})
    except respgate.ProblemError as refused:
        for wrong in refused.problem.errors or []:
            print("wrong:", refused.status, wrong.location)

    print("revoked:", api.revoke_key(key.id).revoked_at is not None)
    api.delete_key(key.id)


main()
