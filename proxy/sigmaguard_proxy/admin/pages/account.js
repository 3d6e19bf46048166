"use strict";
// Accepting an invitation, signing in, and a personal token: what a person needs a browser for. Text goes in as text
// only. An invitation's token stands behind `#`, which browsers keep to themselves: it is in no log and no referrer.

const at = (id) => document.getElementById(id);
const say = (text) => (at("said").textContent = text);
const WAIT = "One moment ..."; // a password is hashed slowly on purpose
let me = null;

// One request of the admin API. Gives the body, or null after saying what went wrong.
const ask = async (method, path, body) => {
  const headers = { "Content-Type": "application/json", ...(me ? { "X-CSRF-Token": me.csrf } : {}) };
  try {
    const answer = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    const got = answer.status === 204 ? {} : await answer.json();
    if (answer.ok) return got;
    if (answer.status === 401 && me) {
      outside();
      say("Your session is over; sign in again.");
    } else say(got.detail);
  } catch {
    say("Sigmaguard does not answer. See whether it still runs, then try again.");
  }
  return null;
};

// A form that sends once at a time: a double click makes no second account and no second token.
const onSubmit = (id, send) =>
  at(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = at(id).querySelector("button");
    if (button.disabled) return;
    button.disabled = true;
    say(WAIT);
    await send(Object.fromEntries(new FormData(at(id))));
    if (at("said").textContent === WAIT) say("");
    button.disabled = false;
  });

const show = (id) => {
  for (const one of ["claim", "login", "inside"]) at(one).hidden = one !== id;
};

const inside = (principal) => {
  me = principal;
  for (const form of ["claim", "login", "token"]) at(form).reset();
  at("made").hidden = true;
  const places = me.places.map((place) => `${place.role} of ${place.tenant === "*" ? "everything" : place.tenant}`);
  at("who").textContent = `You are signed in as ${me.email} (${places.join(", ")})`;
  show("inside");
  at("who").focus();
};

const outside = async () => {
  me = null;
  at("secret").textContent = at("try").textContent = "";
  show("login");
  const ways = await ask("GET", "/auth/ways");
  at("oidc").hidden = !(ways && ways.oidc);
};

const examples = (secret) => {
  const call = `curl -s ${location.origin}/api/v1/tenants`;
  const bearer = `-H 'Authorization: Bearer ${secret}'`;
  const place = me.places.find((one) => one.permissions.includes("key.write"));
  if (!place) return `${call} ${bearer}`;
  const keys = `${call}/${place.tenant === "*" ? "default" : place.tenant}/keys`;
  return `${call} ${bearer}\n${keys} ${bearer} -H 'Content-Type: application/json' -d '{"name":"my first key"}'`;
};

onSubmit("claim", async (fields) => {
  const principal = await ask("POST", "/auth/claim", { token: location.hash.slice(1), ...fields });
  if (!principal) return;
  history.replaceState(null, "", "/sign-in");
  inside(principal);
});

onSubmit("login", async (fields) => {
  const principal = await ask("POST", "/auth/login", fields);
  if (principal) inside(principal);
});

onSubmit("token", async (fields) => {
  const made = await ask("POST", "/me/tokens", fields);
  if (!made) return;
  at("token").reset();
  at("secret").textContent = made.secret;
  at("try").textContent = examples(made.secret);
  at("made").hidden = false;
  at("made").querySelector("h3").focus();
});

onSubmit("logout", async () => {
  if (await ask("POST", "/auth/logout")) await outside();
});

// Why signing in with the organisation failed, by the code it came back with, and what to do.
const FAILED = {
  no_oidc: "No identity provider is set up here. Sign in with a password.",
  oidc_unavailable: "Your organisation's identity provider does not answer. Try again in a moment.",
  login_over: "This sign-in was finished already or took too long. Begin it again.",
  login_refused: "The identity provider did not let you in. Try again, or ask who looks after it.",
  not_invited: "Nobody has invited you yet. Ask an administrator of this Sigmaguard to invite your e-mail address.",
  email_unverified: "Your identity provider does not vouch for your e-mail address. Verify it there, then try again.",
};
const ELSE = "Signing in with your organisation failed. Begin it again; if it fails again, ask an administrator.";

const begin = async () => {
  say("");
  if (location.pathname === "/claim" && location.hash.length > 1) return show("claim");
  try {
    const answer = await fetch("/api/v1/auth/session");
    if (answer.ok) return inside(await answer.json());
  } catch {
    // nobody answers: signing in says so
  }
  await outside();
  const code = location.hash.slice(1);
  if (location.pathname === "/sign-in" && code) say(Object.hasOwn(FAILED, code) ? FAILED[code] : ELSE);
  if (location.pathname === "/claim")
    say("An invitation needs its whole link, with what stands behind #. If you accepted it already, sign in.");
};

window.addEventListener("hashchange", begin); // another invitation's link, put into the same tab
begin();
