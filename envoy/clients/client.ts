/**
 * A client of an API behind the gate: it refreshes tokens before they expire, waits where it should, and
 * tells its application once when the session has ended. Needs `fetch`: a browser, Node.js 20, Deno, Bun.
 */

/** What an application does about its tokens. */
export interface Session {
  /** The access token, if there is one. */
  token(): string | undefined;
  /** Gets a new access token with the refresh token, and keeps it. Rejects when there is none to get. */
  refresh(): Promise<void>;
  /** Drops the tokens and shows the sign-in page. `code` says why, as `session_idle`. */
  ended(code: string): void;
}

/** The part of a problem document (RFC 9457) that a client goes by. */
interface Refusal {
  code: string;
  action: "refresh" | "sign_in" | "wait" | "none";
  retry_after?: number;
}

/** The session has ended: the user has to sign in. */
export class SessionEnded extends Error {
  constructor(readonly code: string) {
    super(`the session has ended: ${code}`);
  }
}

/** A token is refreshed when it has less than this left. */
const REFRESH_AHEAD_SECONDS = 60;

/** How often a request is repeated that is told to wait. */
const MOST_WAITS = 3;

export class Client {
  /** Under way, so that requests that fail together refresh once. */
  #refreshing: Promise<void> | undefined;

  /** `base` is the address of the gate. */
  constructor(
    private readonly session: Session,
    private readonly base: string,
  ) {}

  /** `fetch`, with the session's token. Gives back what the API answers, refusals that nothing mends included. */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    let waits = 0;
    let hasRefreshed = false;
    for (;;) {
      const token = this.session.token();
      const headers = new Headers(init.headers);
      if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
      const reply = await fetch(new URL(path, this.base), { ...init, headers });
      const refusal = await refusalOf(reply);
      if (refusal?.action === "refresh" && !hasRefreshed) {
        hasRefreshed = true;
        // Another request may have refreshed meanwhile.
        if (this.session.token() === token) await this.#refresh();
      } else if (refusal?.action === "wait" && waits < MOST_WAITS) {
        waits += 1;
        await sleep(refusal.retry_after ?? 5);
      } else if (refusal?.action === "sign_in" || refusal?.action === "refresh") {
        this.session.ended(refusal.code);
        throw new SessionEnded(refusal.code);
      } else {
        if (refusal === undefined) this.#refreshAhead(reply);
        return reply;
      }
    }
  }

  /** Signs out here, on the other devices, or everywhere. Resolves when it is done; rejects when it is not. */
  async signOut(scope: "session" | "others" | "everywhere" = "session"): Promise<void> {
    const reply = await this.fetch(`/session/sign-out?scope=${scope}`, { method: "POST" });
    if (reply.status !== 204) throw new Error(`not signed out: status ${reply.status}`);
    if (scope !== "others") this.session.ended("signed_out");
  }

  #refresh(): Promise<void> {
    this.#refreshing ??= this.session
      .refresh()
      .catch(() => {
        this.session.ended("refresh_failed");
        throw new SessionEnded("refresh_failed");
      })
      .finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  /** Refreshes in the background when the answer says that the token ends soon. */
  #refreshAhead(reply: Response): void {
    const expiresAt = Number(reply.headers.get("x-session-expires-at") ?? NaN);
    // By the server's clock: the device's may be wrong.
    const now = Date.parse(reply.headers.get("date") ?? "") / 1000;
    if (expiresAt - now < REFRESH_AHEAD_SECONDS) void this.#refresh().catch(() => {});
  }
}

/** What the gate says; `undefined` for an answer of the API itself. */
async function refusalOf(reply: Response): Promise<Refusal | undefined> {
  const type = reply.headers.get("content-type") ?? "";
  if (reply.ok || !type.startsWith("application/problem+json")) return undefined;
  const body: unknown = await reply.clone().json().catch(() => undefined);
  const isRefusal = typeof body === "object" && body !== null && "code" in body && "action" in body;
  return isRefusal ? (body as Refusal) : undefined;
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
