// A client for respgate's management API: openapi-fetch over the types of schema.d.ts.

import createFetchClient, { type Client as FetchClient, type ClientOptions } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";

/** The API's operations by method and path, such as `GET("/api/v1/organizations")`. */
export type Client = FetchClient<paths>;

/** What the API says of a refusal (RFC 9457). */
export type Problem = components["schemas"]["Problem"];

export interface Options extends Omit<ClientOptions, "baseUrl"> {
  /** Where the API is, such as https://respgate.example.com:3000. */
  server: string;
  /** An operator's or a user's token. */
  token: string;
}

/** Makes a client of the server's API, with the rights of the token. */
export function createClient({ server, token, ...options }: Options): Client {
  token = token.trim(); // a file's newline
  if (!/^[ -~]+$/.test(token)) {
    throw new TypeError("token: want printable ASCII characters");
  }
  const client = createFetchClient<paths>({ ...options, baseUrl: server });
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${token}`);
    },
  });
  return client;
}

/** The API refused. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  /** The HTTP status. */
  readonly status: number;
  /** What the API says. Something else in between may have answered: then only title is set. */
  readonly problem: Problem;
  /** In how many seconds to try again, where the API says so (429, 503). */
  readonly retryAfter: number | undefined;

  constructor(response: Response, problem: Problem) {
    const wrong = (problem.errors ?? []).map((e) => `${e.location}: ${e.message}`);
    super([`${response.status} ${problem.title}`, problem.detail, ...wrong].filter(Boolean).join("; "));
    this.status = response.status;
    this.problem = problem;
    const after = response.headers.get("Retry-After");
    this.retryAfter = after !== null && /^\d+$/.test(after) ? Number(after) : undefined;
  }
}

/** What an operation of the client's comes to. */
interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Returns what an operation answers, or throws ProblemError. */
export async function unwrap<T>(outcome: Outcome<T> | Promise<Outcome<T>>): Promise<T> {
  const { data, error, response } = await outcome;
  if (response.ok) {
    return data as T; // undefined is 204's type
  }
  const told = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  const problem = told && error instanceof Object ? (error as Problem) : { title: response.statusText };
  throw new ProblemError(response, problem);
}

/** Yields the items of all pages of a list, each of which is asked for when it is come to. */
export async function* items<T>(
  page: (cursor?: string) => Promise<Outcome<{ items: T[]; next: string }>>,
): AsyncGenerator<T, void, undefined> {
  let cursor: string | undefined;
  do {
    const list = await unwrap(page(cursor));
    yield* list.items;
    cursor = list.next;
  } while (cursor);
}
