// The parts of the page, and the sentences that it says.
const data = JSON.parse(document.getElementById("data").textContent);
const part = (id) => document.getElementById(id);
const form = part("request");
const send = part("send");

// Makes an element. Texts are texts: nothing is read as HTML.
const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// Something that a person has to know, and the reason why the page goes no further.
class Trouble extends Error {}

const button = (text, act) => {
  const made = element("button", { type: "button" }, text);
  made.addEventListener("click", act);
  return made;
};

// Says where the work stands. Screen readers hear it. `tone`: work, good, warn or bad.
const say = (tone, text, ...more) => {
  const state = part("state");
  state.className = `state ${tone}`;
  state.replaceChildren(element("p", {}, text), ...more);
};

const silence = () => {
  part("state").className = "";
  part("state").replaceChildren();
};

// Atomic units as a decimal, without a loss: 10000 of six decimals is 0.01.
const decimal = (amount, decimals) => {
  const digits = String(amount).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return fraction ? `${whole}.${fraction}` : whole;
};

const money = (price) => `${decimal(price.amount, price.decimals)} ${price.symbol}`;
const on = (price) => `${money(price)} on ${price.networkName}`;
const time = (seconds) => new Date(seconds * 1000).toLocaleString();

// Bytes as base64 and back, in pieces that fit on the stack.
const base64 = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
};
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const encodeHeader = (value) => base64(new TextEncoder().encode(JSON.stringify(value)));
const decodeHeader = (text) => JSON.parse(new TextDecoder().decode(fromBase64(text)));
