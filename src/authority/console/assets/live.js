// Puts new numbers in place of old ones, every five seconds while the page is looked at. What comes has been
// written by the server like any page; without this script, loading the page again does the same.
"use strict";

const live = document.getElementById("live");

async function renew() {
  if (document.hidden) return true;
  const answer = await fetch(live.dataset.source, { redirect: "manual" }).catch(() => null);
  // The authority may be back a moment later. A visit that has ended is not.
  if (answer === null || answer.status >= 500) return true;
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  live.replaceChildren(...page.body.childNodes);
  return true;
}

if (live !== null) {
  const timer = setInterval(async () => {
    if (!(await renew())) clearInterval(timer);
  }, 5000);
}
