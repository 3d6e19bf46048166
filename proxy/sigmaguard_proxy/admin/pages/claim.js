"use strict";
// The token stands behind `#`, which browsers keep to themselves: it is in no log and no referrer.

const said = document.getElementById("said");
const form = document.getElementById("claim");
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
if (!token) said.textContent = "This page needs the link that was given to you.";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  const answer = await fetch("/api/v1/auth/claim", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token, ...fields }),
  });
  const body = await answer.json();
  if (!answer.ok) {
    said.textContent = body.detail;
    return;
  }
  form.hidden = true;
  said.textContent = `You are signed in as ${body.email} (${body.places.map((place) => place.role).join(", ")}).`;
});
