// Drives one page in Chromium: reads commands from standard input, one JSON object on each line, and answers each with a
// line, `{}` or `{"error": ...}`. The argument is the executable of Chromium.
//
//   {"go": URL}   {"see": SELECTOR, "text": TEXT}   {"fill": SELECTOR, "text": TEXT}   {"press": KEY}   {"click": SELECTOR}
//   {"hidden": true or false}: what the page is told of its visibility
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const page = await browser.newPage();
page.setDefaultTimeout(60_000);

const obey = async (command) => {
  if ("go" in command) await page.goto(command.go, { waitUntil: "load" });
  else if ("see" in command) {
    await page.waitForFunction(
      ({ see, text }) => [...document.querySelectorAll(see)].some((found) => found.checkVisibility() && found.textContent.includes(text)),
      command,
    );
  } else if ("fill" in command) await page.fill(command.fill, command.text);
  else if ("press" in command) await page.keyboard.press(command.press);
  else if ("click" in command) await page.click(command.click);
  else if ("hidden" in command) {
    await page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, command.hidden);
  } else throw new Error("no such command");
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      await obey(JSON.parse(line));
      console.log("{}");
    } catch (error) {
      console.log(JSON.stringify({ error: `${error}; the page says: ${await page.innerText("body").catch(() => "")}` }));
    }
  }
} finally {
  await browser.close();
}
