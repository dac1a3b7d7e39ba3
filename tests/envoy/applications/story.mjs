// What an application does with its session, by the client in envoy/clients. Prints a line for each step.
// Arguments: the gate's address, the module, a token that has expired, and a fresh one.

const [base, module, expired, fresh] = process.argv.slice(2);
const { Client, SessionEnded } = await import(module);

let token = expired;
let refreshed = 0;
const client = new Client(
  {
    token: () => token,
    refresh: async () => {
      refreshed += 1;
      token = fresh;
    },
    ended: (code) => console.log(`ended ${code}`),
  },
  base,
);

const replies = await Promise.all([1, 2, 3, 4, 5].map((number) => client.fetch(`/api/${number}`)));
console.log(`statuses ${replies.map((reply) => reply.status).join(" ")}, refreshed ${refreshed}`);
console.log(`not for this caller: ${(await client.fetch("/other")).status}`);
await client.signOut();
// The worker that was told refuses at once, another one when it has heard of it: some 20 ms later.
const told = async () => {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; ) {
    try {
      await client.fetch("/api");
    } catch (error) {
      return error instanceof SessionEnded ? `signed out: ${error.code}` : `${error}`;
    }
    await new Promise((done) => setTimeout(done, 10));
  }
  return "still signed in";
};
console.log(await told());
