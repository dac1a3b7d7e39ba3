// An identity provider on loopback, by the library `oidc-provider`. Its users need no password, and its
// clients are those that `PUT /clients/ID` has told it of.
//
// Arguments: the library's directory, and the claims that access tokens have besides those that they need.
// Prints a line of JSON as soon as it can be asked, and one for each logout token that it has sent. Ends
// when its standard input does.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';

const [library, ...claims] = process.argv.slice(2);
const { Provider } = await import(`${library}/lib/index.js`);
const { createMemoryAdapter } = await import(`${library}/lib/adapters/memory_adapter.js`);

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const key = (alg, ...parameters) => {
  const jwk = generateKeyPairSync(...parameters).privateKey.export({ format: 'jwk' });
  return { ...jwk, alg, kid: alg, use: 'sig' };
};
const keys = [
  key('RS256', 'rsa', { modulusLength: 2048 }),
  key('ES256', 'ec', { namedCurve: 'P-256' }),
  key('EdDSA', 'ed25519'),
];

// The issuer has the port in it, so that the provider can be made only when there is one.
const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

// A refresh has the sign-in's own time, which comes with the refresh token.
const source = ({ entities }) => entities.RotatedRefreshToken ?? entities.RefreshToken ?? entities.AuthorizationCode;

const adapter = createMemoryAdapter();
const provider = new Provider(issuer, {
  adapter,
  jwks: { keys },
  enabledJWA: {
    idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'],
  },
  cookies: { keys: ['of a test'] },
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_context, audience, client) => ({
        scope: 'api',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: { alg: client.idTokenSignedResponseAlg } },
      }),
      useGrantedResource: () => true,
    },
    revocation: { enabled: true },
  },
  claims: { openid: ['sub'] },
  extraTokenClaims: ({ oidc }, token) => {
    const known = { sid: token.sid, auth_time: source(oidc).authTime };
    return Object.fromEntries(claims.map((claim) => [claim, known[claim]]));
  },
  ttl: { Grant: 86400, RefreshToken: 86400, Session: 86400, IdToken: 3600, AuthorizationCode: 60, Interaction: 600 },
  // Its own dispatcher connects to no loopback address.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
});
provider.on('backchannel.success', (_context, { clientId }) => print({ told: clientId }));
provider.on('backchannel.error', (_context, error, { clientId }) => print({ not_told: clientId, error: `${error}` }));
provider.on('server_error', (_context, error) => console.error(error));

const callback = provider.callback();
server.on('request', async (request, response) => {
  const [, client] = request.url.match(/^\/clients\/(.+)$/) ?? [];
  if (request.method !== 'PUT' || !client) {
    callback(request, response);
    return;
  }
  await adapter('Client').upsert(client, { ...JSON.parse(await text(request)), client_id: client });
  response.writeHead(204).end();
});

process.stdin.resume().on('end', () => process.exit());
print({ issuer });
