"use strict";
// Draws the OpenAPI document of this very server. Text goes in as text only, so nothing in it can become markup.

const element = (tag, attributes, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
};

// Prose with its `code` set as code.
const prose = (tag, text) =>
  element(tag, {}, ...(text || "").split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part)));

const nameOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(nameOf).join(" | ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.type === "array") return `${nameOf(schema.items) || "any"}[]`;
  return schema.format || schema.type || "any";
};

// What a field is made of, to be unfolded: limits, budgets and the like are found nowhere else on this page.
const inner = (schema, schemas, seen) => {
  if (schema.anyOf) return schema.anyOf.flatMap((one) => inner(one, schemas, seen));
  if (schema.items) return inner(schema.items, schemas, seen);
  const name = schema.$ref && nameOf(schema);
  if (!name || seen.has(name) || !schemas[name].properties) return [];
  return [element("details", {}, element("summary", {}, name), fields(schema, schemas, seen))];
};

const fields = (schema, schemas, seen = new Set()) => {
  if (!schema) return null;
  if (schema.$ref) {
    const name = nameOf(schema);
    if (seen.has(name)) return null;
    return fields(schemas[name], schemas, new Set([...seen, name]));
  }
  if (!schema.properties) return element("p", {}, nameOf(schema));
  const rows = Object.entries(schema.properties).map(([name, value]) =>
    element(
      "tr",
      {},
      element("td", {}, element("code", {}, name + ((schema.required || []).includes(name) ? "" : "?"))),
      element("td", {}, nameOf(value)),
      element("td", {}, prose("div", value.description), ...inner(value, schemas, seen)),
    ),
  );
  return element("div", {}, prose("p", schema.description), element("table", {}, ...rows));
};

const operation = (method, path, value, schemas) => {
  const body = element("div", { class: "body" });
  if (value.description) body.append(prose("p", value.description));
  const parameters = (value.parameters || []).map((one) =>
    element(
      "tr",
      {},
      element("td", {}, element("code", {}, one.name + (one.required ? "" : "?"))),
      element("td", {}, one.in),
      element("td", {}, nameOf(one.schema)),
      element("td", {}, one.schema.pattern ? element("code", {}, one.schema.pattern) : ""),
    ),
  );
  if (parameters.length) body.append(element("h3", {}, "Parameters"), element("table", {}, ...parameters));
  const sent = value.requestBody && value.requestBody.content["application/json"].schema;
  if (sent) body.append(element("h3", {}, `Body: ${nameOf(sent)}`), fields(sent, schemas));
  body.append(element("h3", {}, "Answers"));
  for (const [status, answer] of Object.entries(value.responses)) {
    const content = Object.entries(answer.content || {})[0];
    const label = `${status} ${answer.description}${content ? `: ${nameOf(content[1].schema)}` : ""}`;
    const isGood = Number(status) < 300 && content;
    body.append(isGood ? element("div", {}, prose("p", label), fields(content[1].schema, schemas)) : prose("div", label));
  }
  const head = element(
    "summary",
    {},
    element("span", { class: "method" }, method.toUpperCase()),
    element("code", {}, path),
    " ",
    element("span", { class: "where" }, value.summary),
  );
  return element("details", { "data-text": `${method} ${path} ${value.summary}`.toLowerCase() }, head, body);
};

const said = document.getElementById("said");

const draw = (api) => {
  document.getElementById("about").replaceWith(prose("p", api.info.description));
  const main = document.getElementById("operations");
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, value] of Object.entries(methods)) {
      const tag = value.tags[0];
      if (!groups.has(tag)) groups.set(tag, element("section", {}, element("h2", {}, tag)));
      groups.get(tag).append(operation(method, path, value, api.components.schemas));
    }
  main.append(...groups.values());
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const one of main.querySelectorAll("section > details")) one.hidden = !one.dataset.text.includes(wanted);
    for (const one of main.querySelectorAll("section")) one.hidden = !one.querySelector(":scope > details:not([hidden])");
    said.textContent = main.querySelector("section:not([hidden])") ? "" : "Nothing is called that.";
  });
  said.textContent = "";
};

fetch("../api/v1/openapi.json")
  .then((answer) => answer.json())
  .then(draw)
  .catch(() => (said.textContent = "Sigmaguard does not answer. See whether it still runs, then reload."));
