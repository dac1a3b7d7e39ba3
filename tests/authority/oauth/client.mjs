// OAuth clients by the library `oauth4webapi`: they find the server by its metadata, ask about tokens, with
// signed answers and without, and revoke them.
//
// Arguments: the library's directory, and JSON with `issuer` (what the server calls itself), `url` (where it
// is), `tokens` (of the clients `web` and `app`), `secret` (of `web` and `api`) and `key` (of `app` and
// `api`). Prints a line of JSON.

const [library, input] = process.argv.slice(2);
const oauth = await import(`${library}/build/index.js`);
const { issuer, url, tokens, secret, key } = JSON.parse(input);

const options = { [oauth.customFetch]: (asked, init) => fetch(asked.replace(issuer, url), init) };
const identifier = new URL(issuer);
const discovered = await oauth.discoveryRequest(identifier, { algorithm: 'oauth2', ...options });
const server = await oauth.processDiscoveryResponse(identifier, discovered);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const privateKey = await crypto.subtle.importKey('jwk', key, algorithm, false, ['sign']);
const byKey = oauth.PrivateKeyJwt({ key: privateKey, kid: key.kid });
const byHeader = oauth.ClientSecretBasic(secret);
const byForm = oauth.ClientSecretPost(secret);

const api = { client_id: 'api', introspection_signed_response_alg: 'ES256' };

const introspect = async (token, authentication, isSigned) => {
  const more = { ...options, requestJwtResponse: isSigned };
  const response = await oauth.introspectionRequest(server, api, authentication, token, more);
  const type = response.headers.get('content-type');
  const answer = await oauth.processIntrospectionResponse(server, api, response);
  if (isSigned) {
    await oauth.validateApplicationLevelSignature(server, response, options);
  }
  return { type, answer };
};

const revoke = async (client, authentication, token) => {
  const response = await oauth.revocationRequest(server, { client_id: client }, authentication, token, options);
  await oauth.processRevocationResponse(response);
};

// What an error of the protocol says; of an answer with a challenge, the challenge's scheme.
const refused = async (request) => {
  try {
    await request();
    return null;
  } catch (error) {
    return error.error ?? error.cause?.[0]?.scheme ?? `${error}`;
  }
};

const before = [
  await introspect(tokens.web, byKey, true),
  await introspect(tokens.web, byHeader, false),
  await introspect(tokens.app, byForm, false),
];
const others = await refused(() => revoke('web', byHeader, tokens.app));
const wrong = await refused(() => revoke('web', oauth.ClientSecretBasic(`${secret}!`), tokens.web));
await revoke('web', byHeader, tokens.web);
await revoke('app', byKey, tokens.app);
await revoke('web', byForm, 'an opaque refresh token');
const after = [
  await introspect(tokens.web, byKey, true),
  await introspect(tokens.web, byHeader, false),
  await introspect(tokens.app, byForm, false),
];
console.log(JSON.stringify({ before, others, wrong, after }));
