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
try {
  await client.fetch("/api");
  console.log("still signed in");
} catch (error) {
  console.log(error instanceof SessionEnded ? `signed out: ${error.code}` : `${error}`);
}
