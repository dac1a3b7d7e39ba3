// Writes jose.json: tokens of the npm package `jose`, for every algorithm that it has.
//
//     npm install --prefix target/vectors jose@6.2.18
//     NODE_PATH=target/vectors/node_modules node tests/vectors/signatures/generate.mjs
//
// Keys are made anew every time, and what is written has no private half.
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const library = join(process.env.NODE_PATH, "jose");
const { version } = JSON.parse(readFileSync(join(library, "package.json")));
const entry = createRequire(join(library, "package.json")).resolve("jose");
const { SignJWT, exportJWK, generateKeyPair } = await import(pathToFileURL(entry));

const algorithms = [
  "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
  "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256", "HS384", "HS512",
];
const claims = { iss: "https://issuer.example", sub: "alice", exp: 4102444800 };
let tcId = 0;

async function group(algorithm) {
  let signing, jwk;
  if (algorithm.startsWith("HS")) {
    signing = randomBytes(64);
    jwk = { kty: "oct", k: signing.toString("base64url") };
  } else {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    signing = pair.privateKey;
    jwk = await exportJWK(pair.publicKey);
  }
  // The name of a key's algorithm that all verifiers know; tokens may use the newer one.
  jwk = { ...jwk, kid: "one", alg: algorithm === "Ed25519" ? "EdDSA" : algorithm };
  const token = (payload, header = {}) =>
    new SignJWT(payload).setProtectedHeader({ alg: algorithm, kid: "one", ...header }).sign(signing);
  const tests = [
    ["all kinds of claims", await token({ ...claims, n: 1.5, list: [1, "a", null], text: "é\n\"\u2028" })],
    ["another type", await token(claims, { typ: "at+jwt" })],
    ["large", await token({ ...claims, groups: Array.from({ length: 300 }, (_, n) => `group-${n}`) })],
  ];
  return {
    type: algorithm,
    jwks: { keys: [jwk] },
    tests: tests.map(([comment, jws]) => ({ tcId: ++tcId, comment, flags: [], jws, result: "valid" })),
  };
}

const testGroups = [];
for (const algorithm of algorithms) testGroups.push(await group(algorithm));
const vectors = { algorithm: "JWS", generator: `jose ${version}, node ${process.version}`, numberOfTests: tcId, notes: {}, testGroups };
const path = join(dirname(fileURLToPath(import.meta.url)), "jose.json");
writeFileSync(path, JSON.stringify(vectors, null, 1) + "\n");
console.log(`jose.json: ${tcId} tests`);
