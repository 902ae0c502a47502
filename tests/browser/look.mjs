// Opens pages in Chromium as the job on standard input says, and prints what is wrong with them, as JSON.
//
//   { "folder": where the pictures go, "executable": Chromium, "cookie": "NAME=VALUE" or null,
//     "open": the selector of what is opened first, or null,
//     "pages": [{ "name": of the picture, "url", "width", "scheme": "light" or "dark" }] }
//
// Of each page it prints the text, whether it overflows its window, what a reader would stumble over (inspect.mjs), the
// serious violations that axe finds, and what the browser reports as errors, among it what the policy of the page's
// content has kept away.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { inspect } from "./inspect.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const job = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({
  executablePath: job.executable,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});

const look = async ({ name, url, width, scheme }) => {
  // Axe is run through the debugger, which the policy of the page does not bind.
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme, deviceScaleFactor: 1 });
  if (job.cookie) {
    const [key, value] = job.cookie.split("=");
    await context.addCookies([{ name: key, value, url, httpOnly: true, sameSite: "Strict" }]);
  }
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  const answer = await page.goto(url, { waitUntil: "load" });
  if (job.open) {
    await page.evaluate((open) => {
      for (const details of document.querySelectorAll(open)) details.open = true;
    }, job.open);
  }
  await page.screenshot({ path: `${job.folder}/${name}.png`, fullPage: true });
  const [text, overflows] = await page.evaluate(() => [
    document.body.innerText,
    document.documentElement.scrollWidth > document.documentElement.clientWidth,
  ]);
  const obstacles = await page.evaluate(inspect);
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const violations = found.violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
  await context.close();
  return { name, status: answer.status(), text, overflows, obstacles, violations, errors };
};

try {
  const seen = [];
  for (const page of job.pages) seen.push(await look(page));
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
