// Drives one page in Chromium: reads commands from standard input, one JSON object on each line, and answers each with a
// line, `{}`, `{"value": ...}` or `{"error": ...}`. The argument is the executable of Chromium.
//
//   {"go": URL}   {"reload": true}   {"see": SELECTOR, "text": TEXT}   {"press": KEY}   {"click": SELECTOR}
//   {"fill": SELECTOR, "text": TEXT}   {"select": SELECTOR, "text": VALUE}   {"upload": SELECTOR, "path": FILE}
//   {"hidden": true or false}: what the page is told of its visibility
//   {"offline": true or false}   {"run": an expression of JavaScript}: its value   {"read": SELECTOR}: its text
//   {"save": SELECTOR}: the text of the file that a click on it saves
//   {"wallets": [see wallet.mjs], "rpc": URL}: before the first page   {"wallet": NUMBER, "set": {..}}   {"calls": NUMBER}
//   {"look": NAME, "folder", "width", "scheme"}: a picture of the page as it is, and its faults as in look.mjs
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { inspect } from "./inspect.mjs";
import { announce, Wallet } from "./wallet.mjs";

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext();
const page = await context.newPage();
page.setDefaultTimeout(60_000);
const errors = [];
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));
let wallets = [];

const look = async ({ look: name, folder, width, scheme }) => {
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme: scheme });
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  const faults = await page.evaluate(inspect);
  if (await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)) faults.push("it is wider than its window");
  // Axe is run through the debugger, which the policy of the page does not bind.
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, help, nodes } of found.violations) {
    if (impact === "serious" || impact === "critical") faults.push(`${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
  }
  // An answer that asks for money is an error to the browser, and no fault.
  return [...faults, ...errors.filter((text) => !/status of \d{3}|ERR_INTERNET_DISCONNECTED/.test(text))];
};

const obey = async (command) => {
  if ("go" in command) await page.goto(command.go, { waitUntil: "load" });
  else if ("reload" in command) await page.reload({ waitUntil: "load" });
  else if ("see" in command) {
    await page.waitForFunction(
      ({ see, text }) => [...document.querySelectorAll(see)].some((found) => found.checkVisibility() && found.textContent.includes(text)),
      command,
    );
  } else if ("fill" in command) await page.fill(command.fill, command.text);
  else if ("select" in command) await page.selectOption(command.select, command.text);
  else if ("upload" in command) await page.setInputFiles(command.upload, command.path);
  else if ("press" in command) await page.keyboard.press(command.press);
  else if ("click" in command) await page.click(command.click);
  else if ("offline" in command) await context.setOffline(command.offline);
  else if ("run" in command) return { value: await page.evaluate(command.run) };
  else if ("read" in command) return { value: await page.innerText(command.read) };
  else if ("save" in command) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(command.save)]);
    return { value: { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") } };
  } else if ("wallets" in command) {
    wallets = command.wallets.map((told) => new Wallet(told, command.rpc));
    for (const wallet of wallets) {
      wallet.beforeSigning = async () => {
        if (wallet.cutsOff) await context.setOffline(true);
      };
    }
    await page.exposeFunction("askWallet", (index, method, params) => wallets[index].answer(method, params));
    await page.addInitScript(announce, command.wallets.map(({ name, legacy }) => ({ name, legacy })));
  } else if ("wallet" in command) Object.assign(wallets[command.wallet], command.set);
  else if ("calls" in command) return { value: wallets[command.calls].calls };
  else if ("look" in command) return { value: await look(command) };
  else if ("hidden" in command) {
    await page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, command.hidden);
  } else throw new Error("no such command");
  return {};
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      console.log(JSON.stringify(await obey(JSON.parse(line))));
    } catch (error) {
      console.log(JSON.stringify({ error: `${error}; the page says: ${await page.innerText("body").catch(() => "")}` }));
    }
  }
} finally {
  await browser.close();
}
