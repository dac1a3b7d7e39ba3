// Drives the console in a real browser, as an operator would: signs in, finds a user, signs that user out
// everywhere, sees Envoy refuse the token, restores, and sees it accepted. What it has to work with comes as
// JSON in its one argument. Any surprise ends it with an error.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const setup = JSON.parse(process.argv[2]);
const { chromium } = createRequire(join(setup.modules, "/"))("playwright-core");

// Its sandbox cannot be had in a container.
const browser = await chromium.launch({
  executablePath: setup.browser,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"],
});

try {
  await run();
} finally {
  await browser.close();
}

async function run() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const surprises = watch(page);
  await signIn(page, setup.credential);

  await page.getByRole("link", { name: "Search" }).click();
  await page.getByLabel("Name").fill(setup.subject);
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByRole("link", { name: setup.subject, exact: true }).first().click();
  await page.getByRole("heading", { name: setup.subject }).waitFor();
  assert.match(await page.locator("main").innerText(), new RegExp(setup.sid));

  assert.equal(await status(), 200, "before");
  await page.getByRole("link", { name: "Sign out everywhere" }).click();
  // A form without a reason does not leave the browser.
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  assert.match(page.url(), /\/console\/revoke\?/);
  await page.getByLabel("Reason").fill(setup.hostile);
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  await page.getByText("Revoked. It is on the disk.").waitFor();
  await page.getByText("1 of 1").waitFor();
  assert.equal(await status(), 401, "signed out");
  const entry = page.url();

  await page.getByRole("link", { name: setup.subject, exact: true }).click();
  await page.getByText("are refused: revoked by admin").waitFor();
  await page.getByRole("link", { name: "Restore" }).click();
  await page.getByLabel("Reason").fill("a mistake");
  await page.getByRole("button", { name: "Restore" }).click();
  await page.getByText("Restored. It is on the disk.").waitFor();
  assert.equal(await status(), 200, "restored");

  await page.goto(`${setup.console}/search`);
  await page.getByLabel("Token", { exact: true }).fill(setup.token);
  await page.getByRole("button", { name: "Read" }).click();
  await page.getByText("Not revoked by any name below").waitFor();
  assert.ok(!page.url().includes(setup.token) && !(await page.content()).includes(setup.token));

  await textEverywhere(page, entry);
  await withoutScript(entry);
  await newNumbers(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.goto(`${setup.console}/audit`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.deepEqual(surprises, []);
}

// Whatever the browser complains of, refuses to load, or runs that it should not.
function watch(page) {
  const surprises = [];
  page.on("dialog", (dialog) => {
    surprises.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("pageerror", (error) => surprises.push(`error: ${error}`));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) surprises.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(setup.console)) surprises.push(`request: ${request.url()}`);
  });
  return surprises;
}

async function signIn(page, credential) {
  await page.goto(setup.console);
  await page.getByLabel("Credential").fill(credential);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  const [cookie] = await page.context().cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
}

// What Envoy answers to the token.
async function status() {
  const headers = { authorization: `Bearer ${setup.token}` };
  const answer = await fetch(setup.api, { headers });
  await answer.arrayBuffer();
  return answer.status;
}

// Names that strangers have chosen stand as text on every page that shows them.
async function textEverywhere(page, entry) {
  const names = new URLSearchParams({ issuer: setup.hostile, subject: setup.hostile });
  const seen = [
    `${setup.console}/sessions?ended=yes`,
    `${setup.console}/user?${names}`,
    `${setup.console}/search?what=device&name=${encodeURIComponent(setup.hostile)}`,
    `${setup.console}/revocations?restored=yes`,
    `${setup.console}/signals`,
    `${setup.console}/edges`,
    `${setup.console}/audit`,
    entry,
  ];
  for (const address of seen) {
    await page.goto(address);
    if (!/signals$/.test(address)) {
      const text = await page.locator("main").innerText();
      assert.ok(text.includes(setup.hostile), `${address}: ${text}`);
    }
    assert.equal(await page.locator("main img").count(), 0, address);
  }
  await page.goto(`${setup.console}/user?${names}`);
  await page.locator("main tbody a").first().click();
  await page.getByRole("heading", { name: "Session" }).first().waitFor();
  assert.ok((await page.locator("main").innerText()).includes(setup.hostile));
}

// A browser that runs no script shows the same.
async function withoutScript(entry) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page, setup.credential);
  await page.locator("svg").first().waitFor();
  await page.goto(entry);
  await page.getByRole("heading", { name: "History" }).waitFor();
  await context.close();
}

// The script puts new numbers into the first page.
async function newNumbers(page) {
  await page.goto(setup.console);
  await page.evaluate(() => {
    document.querySelector(".figure dd").textContent = "old";
  });
  await page.waitForFunction(() => document.querySelector(".figure dd").textContent !== "old");
}
