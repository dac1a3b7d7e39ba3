// What happens to an application whose requests, refreshes and sign-outs cross. Prints a line for each story.
// Argument: the module. The gate is played here, so that what crosses does so every time.

const { Client, SessionEnded } = await import(process.argv[2]);

const problem = (code, action, more = {}) =>
  new Response(JSON.stringify({ code, action, ...more }), {
    status: action === "wait" ? 503 : 401,
    headers: { "content-type": "application/problem+json" },
  });

/** A session, with what has happened to it. */
class Scene {
  token = "old";
  refreshes = 0;
  requests = 0;
  ended = [];

  constructor({ refresh, gate }) {
    globalThis.fetch = async (url, init) => {
      this.requests += 1;
      await pause();
      return gate(new URL(url).pathname, init.headers.get("authorization")?.slice("Bearer ".length), this);
    };
    const session = {
      token: () => this.token,
      refresh: async () => {
        this.refreshes += 1;
        await pause();
        await pause();
        await refresh(this);
      },
      ended: (code) => {
        this.token = undefined;
        this.ended.push(code);
      },
    };
    this.client = new Client(session, "http://gate.example");
  }

  /** What becomes of some requests. */
  async outcomes(requests) {
    const settled = await Promise.allSettled(requests);
    return settled.map(({ value, reason }) => {
      if (reason === undefined) return value?.status ?? "done";
      return reason instanceof SessionEnded ? reason.code : String(reason);
    });
  }

  tell(story, outcomes) {
    const { token, refreshes, requests, ended } = this;
    console.log(JSON.stringify({ story, outcomes, token, refreshes, requests, ended }));
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 10));

/** Lets in whoever has `new`; what is `old` has expired, and without a token nothing goes. */
const gate = (path, token, scene) => {
  if (token === undefined) return problem("token_missing", "sign_in");
  if (path === "/session/sign-out") scene.over = true;
  if (path === "/session/sign-out") return new Response(null, { status: 204 });
  if (scene.over) return problem("token_revoked", "sign_in");
  return token === "old" ? problem("token_expired", "refresh") : new Response("{}");
};

const renew = (scene) => {
  scene.token = "new";
};

{
  const scene = new Scene({ refresh: renew, gate });
  scene.tell("two at once", await scene.outcomes([scene.client.fetch("/a"), scene.client.fetch("/b")]));
}
{
  const refresh = () => Promise.reject(new Error("no"));
  const scene = new Scene({ refresh, gate });
  scene.tell("a refresh that fails", await scene.outcomes([scene.client.fetch("/a"), scene.client.fetch("/b")]));
}
{
  const scene = new Scene({ refresh: renew, gate });
  const request = scene.client.fetch("/a");
  await pause();
  await pause();
  const done = scene.client.signOut();
  scene.tell("a sign-out during a refresh", await scene.outcomes([request, done]));
}
{
  const scene = new Scene({ refresh: renew, gate });
  const done = scene.client.signOut();
  scene.tell("a refresh during a sign-out", await scene.outcomes([done, scene.client.fetch("/a")]));
}
{
  const never = () => problem("token_expired", "refresh");
  const refresh = (scene) => void (scene.token += "+");
  const scene = new Scene({ refresh, gate: never });
  scene.tell("tokens that are never good", await scene.outcomes([scene.client.fetch("/a")]));
}
{
  const soon = () => {
    const headers = { date: new Date().toUTCString(), "x-session-expires-at": `${Date.now() / 1000 + 5}` };
    return new Response("{}", { headers });
  };
  const scene = new Scene({ refresh: () => Promise.reject(new Error("offline")), gate: soon });
  for (const path of ["/a", "/b", "/c"]) await scene.client.fetch(path);
  await pause();
  await pause();
  await pause();
  scene.tell("offline when it would refresh ahead", []);
}
{
  // Tokens are rotated: the old one is revoked as soon as a refresh begins.
  const rotating = (path, token, scene) => {
    if (token === "old" && scene.refreshes === 1) return problem("token_revoked", "sign_in");
    const headers = { date: new Date().toUTCString(), "x-session-expires-at": `${Date.now() / 1000 + 5}` };
    return path === "/soon" ? new Response("{}", { headers }) : new Response("{}");
  };
  for (const [story, refresh] of [
    ["a request that crosses a refresh ahead", renew],
    ["a request that crosses a refresh ahead that fails", () => Promise.reject(new Error("no"))],
  ]) {
    const scene = new Scene({ refresh, gate: rotating });
    await scene.client.fetch("/soon");
    scene.tell(story, await scene.outcomes([scene.client.fetch("/a"), scene.client.fetch("/b")]));
  }
}
{
  // Each sign-out fails and is followed at once by another one.
  const busy = (path, token, scene) => {
    if (path !== "/session/sign-out") return problem("token_expired", "refresh");
    return scene.requests > 2 ? gate(path, token, scene) : new Response(null, { status: 500 });
  };
  const scene = new Scene({ refresh: renew, gate: busy });
  const again = scene.client.signOut().catch(() => scene.client.signOut());
  scene.tell("a refresh between two sign-outs", await scene.outcomes([again, scene.client.fetch("/a")]));
}
{
  const begun = Date.now();
  const busy = (_, __, scene) =>
    scene.requests > 1 ? new Response("{}") : problem("revocation_stale", "wait", { retry_after: 0.2 });
  const scene = new Scene({ refresh: renew, gate: busy });
  const outcomes = await scene.outcomes([scene.client.fetch("/a")]);
  scene.tell(`asked to wait, and waited: ${Date.now() - begun >= 200}`, outcomes);
}
