// The identity provider of the profile `idp` (docker-compose.yaml), by the library `oidc-provider`. It takes
// its users for who they say they are, so it is for trying things out and nothing else.
//
// Who is signed in is kept in memory: after a restart, everyone signs in anew.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const port = 10021;
const settings = process.env;
// What a browser calls them; within the network of the containers they have other names.
const issuer = `http://localhost:${settings.PORTCULLIS_IDP_PORT}`;
const gates = ['localhost', '127.0.0.1'].map((host) => `http://${host}:${settings.PORTCULLIS_IDP_GATE_PORT}`);
const [gate] = gates;
const read = (name) => readFileSync(`/keys/idp/${name}`, 'utf8').trim();

const escaped = (text) => `${text}`.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const page = (title, content) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: 4rem auto; padding: 0 1rem; }
  input, button { font: inherit; padding: 0.4rem 0.8rem; margin: 0 0.4rem 0.4rem 0; }
</style>
<h1>${title}</h1>
${content}
`;

const signIn = (uid) => page('Sign in', `
<p>Any name will do. This provider asks for no password: it is there to be tried out.</p>
<form method="post" action="/interaction/${escaped(uid)}">
  <input name="login" aria-label="Name" placeholder="Name" required maxlength="100" autofocus autocomplete="username">
  <button>Sign in</button>
</form>`);

const provider = new Provider(issuer, {
  jwks: { keys: [JSON.parse(read('es256.jwk'))] },
  // Another key with each start, as nothing is left then of what it is for.
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  clients: [{
    client_id: 'gate',
    client_secret: read('client.secret'),
    token_endpoint_auth_method: 'client_secret_post',
    redirect_uris: gates.map((url) => `${url}/callback`),
    post_logout_redirect_uris: gates.map((url) => `${url}/`),
    id_token_signed_response_alg: 'ES256',
    // How the authority hears of it that a user has signed out, and of which session.
    backchannel_logout_uri: 'http://authority:10003/backchannel-logout',
    backchannel_logout_session_required: true,
  }],
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: false },
    // Without a resource, access tokens would be opaque.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:portcullis:api',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: '',
        audience: 'api',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
    rpInitiatedLogout: {
      logoutSource: (context, form) => {
        context.body = page('Sign out', `
<p>You are signed in as ${escaped(context.oidc.session.accountId)}.</p>
${form}
<button form="op.logoutForm" name="logout" value="yes" autofocus>Sign out</button>`);
      },
      postLogoutSuccessSource: (context) => {
        context.body = page('Signed out', `<p>See what the gate says now: <a href="${gate}/">a page behind it</a></p>`);
      },
    },
  },
  // By these the gate knows which session a token is of, and since when.
  extraTokenClaims: ({ oidc }, token) => ({ sid: token.sid, auth_time: oidc.entities.AuthorizationCode?.authTime }),
  findAccount: (_context, name) => ({ accountId: name, claims: () => ({ sub: name }) }),
  interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
  // The one client is the provider's own, so that no user is asked whether it may be.
  loadExistingGrant: async ({ oidc }) => {
    const grant = new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId: oidc.client.clientId });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
  renderError: (context, { error, error_description: description }) => {
    context.type = 'html';
    context.body = page('That did not work', `<p>${escaped(description ?? error)}</p><p><a href="${gate}/">Start again</a></p>`);
  },
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 86400, IdToken: 86400, Interaction: 600, Session: 86400 },
  // Its own connects to no address of a private network.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
});
provider.on('backchannel.success', (_context, _client, user, sid) => console.log(JSON.stringify({ signed_out: user, sid })));
provider.on('backchannel.error', (_context, error, _client, user, sid) => console.error(JSON.stringify({ authority_not_told_of: user, sid, error: `${error}` })));
provider.on('server_error', (_context, error) => console.error(error));

const html = (response, status, text) => response
  .writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
  .end(text);

// The form of a sign-in, and what the user has written into it.
const interaction = async (request, response) => {
  const { uid } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    html(response, 200, signIn(uid));
    return;
  }
  let form = '';
  for await (const chunk of request.setEncoding('utf8')) {
    // The rest is read, so that an answer can be given.
    if (form.length <= 4096) form += chunk;
  }
  if (form.length > 4096) throw new Error('the form is too long');
  const name = new URLSearchParams(form).get('login')?.trim();
  if (!name) {
    html(response, 200, signIn(uid));
    return;
  }
  await provider.interactionFinished(request, response, { login: { accountId: name } });
};

const callback = provider.callback();
const server = createServer((request, response) => {
  const [pathname] = request.url.split('?');
  if (pathname.startsWith('/interaction/')) {
    interaction(request, response).catch((error) => {
      if (response.headersSent) response.destroy();
      else html(response, 400, page('That did not work', `<p>${escaped(error.message)}</p><p><a href="${gate}/">Start again</a></p>`));
    });
  } else if (pathname === '/') {
    html(response, 200, page('An identity provider', `
<p><a href="${gate}/">Open a page behind the gate</a></p>
<p><a href="/session/end">Sign out here</a></p>`));
  } else {
    callback(request, response);
  }
});

// The first process of a container gets no signal that it has not asked for.
process.on('SIGTERM', () => process.exit());
server.listen(port, () => {
  console.log(`open ${gate}/ in a browser and sign in with any name; sign out at ${issuer}/session/end`);
});
