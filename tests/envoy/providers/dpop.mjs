// An application on a phone, by the library `oauth4webapi`: it has a key, redeems a code for tokens that are
// bound to the key, and asks an API for things with them. Beside it a thief, who has a copy of its token.
//
// Arguments: the library's directory, and JSON with `issuer`, `client_id`, `callback` (where the browser has
// come back to), `redirect_uri`, `verifier`, `resource` and `url` (of the API). Prints a line of JSON.

const [library, input] = process.argv.slice(2);
const oauth = await import(`${library}/build/index.js`);
const { issuer, client_id, callback, redirect_uri, verifier, resource, url } = JSON.parse(input);

// The provider has no TLS, the API has.
const local = { [oauth.allowInsecureRequests]: true };
const client = { client_id };
const identifier = new URL(issuer);
const server = await oauth.processDiscoveryResponse(identifier, await oauth.discoveryRequest(identifier, local));

const phone = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
const thief = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));

const parameters = oauth.validateAuthResponse(server, client, new URL(callback), 's');
const redeemed = await oauth.processAuthorizationCodeResponse(
  server,
  client,
  await oauth.authorizationCodeGrantRequest(server, client, oauth.None(), parameters, redirect_uri, verifier, {
    ...local,
    DPoP: phone,
    additionalParameters: { resource },
  }),
  { expectedNonce: 'n' },
);
const refresh = async ({ refresh_token }) => {
  const response = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), refresh_token, {
    ...local,
    DPoP: phone,
  });
  return oauth.processRefreshTokenResponse(server, client, response);
};

// How often it asks, and what comes of it. With `proofs` of nothing, it asks with a bearer token.
const ask = async ({ access_token }, proofs, method = 'GET', path = '/api/orders?of=me', body = null) => {
  for (let requests = 1; ; requests += 1) {
    try {
      const at = new URL(path, url);
      const response = await oauth.protectedResourceRequest(access_token, method, at, undefined, body, { DPoP: proofs });
      const { headers } = await response.json();
      const found = new Map(headers);
      return { requests, status: response.status, key: found.get('x-session-key'), proof: found.get('dpop') ?? null };
    } catch (error) {
      if (requests > 1 || !oauth.isDPoPNonceError(error)) {
        return { requests, status: error.status, code: (await error.response.json()).code };
      }
    }
  }
};

const first = await ask(redeemed, phone);
const post = await ask(redeemed, phone, 'POST', '/api/orders', 'one of these');
const many = await Promise.all(Array.from({ length: 20 }, () => ask(redeemed, phone)));
const stolen = [await ask(redeemed, thief), await ask(redeemed, undefined)];
const renewed = await refresh(redeemed);
const later = await ask(renewed, phone);
const key = await phone.calculateThumbprint();
console.log(JSON.stringify({ types: [redeemed.token_type, renewed.token_type], key, first, post, many, stolen, later }));
