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
  action: "refresh" | "sign_in" | "step_up" | "wait" | "none";
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

/** A session whose tokens live for less than `REFRESH_AHEAD_SECONDS` is refreshed ahead no more often than this. */
const AHEAD_PAUSE_SECONDS = 30;

export class Client {
  /** Under way, so that requests that fail together refresh once. */
  #refreshing: Promise<void> | undefined;
  /** Under way, so that no refresh signs in again meanwhile. */
  #signingOut: Promise<void> | undefined;
  #nextAhead = 0;

  /** `base` is the address of the gate. */
  constructor(
    private readonly session: Session,
    private readonly base: string,
  ) {}

  /** `fetch`, with the session's token. Gives back what the API answers, refusals that nothing mends included. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return this.#fetch(path, init, () => this.#signingOut);
  }

  /** Signs out here, on the other devices, or everywhere. Resolves when it is done; rejects when it is not. */
  async signOut(scope: "session" | "others" | "everywhere" = "session"): Promise<void> {
    while (this.#signingOut !== undefined) await this.#signingOut.catch(() => {});
    this.#signingOut = this.#signOut(scope).finally(() => (this.#signingOut = undefined));
    await this.#signingOut;
  }

  async #signOut(scope: string): Promise<void> {
    // What a refresh that is under way brings would be kept after the end.
    await this.#refreshing?.catch(() => {});
    const path = `/session/sign-out?scope=${scope}`;
    const reply = await this.#fetch(path, { method: "POST" }, () => undefined);
    if (reply.status !== 204) throw new Error(`not signed out: status ${reply.status}`);
    if (scope !== "others") this.session.ended("signed_out");
  }

  /** `before` is what a refresh has to wait for. */
  async #fetch(path: string, init: RequestInit, before: () => Promise<void> | undefined): Promise<Response> {
    let waits = 0;
    let hasRenewed = false;
    for (;;) {
      const token = this.session.token();
      const headers = new Headers(init.headers);
      if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
      const reply = await fetch(new URL(path, this.base), { ...init, headers });
      const refusal = await refusalOf(reply);
      const action = refusal?.action;
      if (refusal !== undefined && (action === "refresh" || action === "sign_in")) {
        // Another sign-out may begin where one ends.
        for (let first = before(); first !== undefined; first = before()) await first.catch(() => {});
        // A refresh that is under way may have had this token revoked, where tokens are rotated.
        if (action === "sign_in") await this.#refreshing?.catch(() => {});
        if (hasRenewed) this.#end(token, refusal.code);
        hasRenewed = true;
        if (this.session.token() !== token) {
          // Another request has refreshed meanwhile, or the session has ended, which was told then.
          if (this.session.token() === undefined) throw new SessionEnded(refusal.code);
        } else if (action === "sign_in" || token === undefined) {
          this.#end(token, refusal.code);
        } else {
          await this.#refresh().catch(() => this.#end(token, "refresh_failed"));
        }
      } else if (refusal !== undefined && action === "wait" && waits < MOST_WAITS) {
        waits += 1;
        await sleep(refusal.retry_after ?? 5);
      } else {
        if (refusal === undefined && token !== undefined) this.#refreshAhead(reply, token);
        return reply;
      }
    }
  }

  #refresh(): Promise<void> {
    this.#refreshing ??= this.session.refresh().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  /** Tells the application that the session of this token has ended, unless it has another one by now. */
  #end(token: string | undefined, code: string): never {
    if (this.session.token() === token) this.session.ended(code);
    throw new SessionEnded(code);
  }

  /** Refreshes in the background when the answer says that the token ends soon. If that fails, it is still good. */
  #refreshAhead(reply: Response, token: string): void {
    const expiresAt = Number(reply.headers.get("x-session-expires-at") ?? NaN);
    // By the server's clock: the device's may be wrong.
    const now = Date.parse(reply.headers.get("date") ?? "") / 1000;
    const isDue = expiresAt - now < REFRESH_AHEAD_SECONDS && now >= this.#nextAhead;
    if (!isDue || this.session.token() !== token || this.#signingOut !== undefined) return;
    this.#nextAhead = now + AHEAD_PAUSE_SECONDS;
    void this.#refresh().catch(() => {});
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
