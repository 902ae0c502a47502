// Drives the official client of MCP: takes one command per line of stdin, as JSON, and answers each with one line.
//
//   {"do": "connect", "url": ".."} or {"do": "connect", "command": "..", "args": [..], "env": {..}}
//   {"do": "list"}                                   all pages of the list of tools
//   {"do": "call", "name", "arguments", "meta", "id"}  the result, and the notices of progress that came before it
//   {"do": "abort", "id"}                            gives up a call that was started with this id
//   {"do": "changes", "least"}                       waits for that many notices of a changed list
//   {"do": "about"}                                  what the server says of itself
//
// Commands are worked on at once; an answer has the number of its line.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { createInterface } from 'node:readline';

const client = new Client({ name: 'coinslot-tests', version: '1.0.0' });
const aborts = new Map();
let changes = 0;
let transport;

client.setNotificationHandler(ToolListChangedNotificationSchema, () => { changes += 1; });

const commands = {
  async connect({ url, command, args, env }) {
    transport = command === undefined
      ? new StreamableHTTPClientTransport(new URL(url))
      : new StdioClientTransport({ command, args, env: { ...process.env, ...env }, stderr: 'inherit' });
    await client.connect(transport);
    return { session: transport.sessionId ?? null, version: transport.protocolVersion ?? null };
  },
  async about() {
    return { ...client.getServerVersion(), instructions: client.getInstructions(), capabilities: client.getServerCapabilities() };
  },
  async list() {
    const tools = [];
    let cursor;
    let pages = 0;
    do {
      const page = await client.listTools(cursor === undefined ? {} : { cursor });
      tools.push(...page.tools);
      cursor = page.nextCursor;
      pages += 1;
    } while (cursor !== undefined);
    return { tools, pages };
  },
  async call({ name, arguments: input, meta, id, progress }) {
    const notices = [];
    const abort = new AbortController();
    if (id !== undefined) aborts.set(id, abort);
    const options = { timeout: 120_000, signal: abort.signal };
    if (progress) options.onprogress = (notice) => notices.push({ ...notice, at: Date.now() });
    const result = await client.callTool({ name, arguments: input ?? {}, ...(meta && { _meta: meta }) }, undefined, options);
    return { result, notices, at: Date.now() };
  },
  async abort({ id }) {
    aborts.get(id)?.abort('the test gives up');
    return {};
  },
  async changes({ least }) {
    const until = Date.now() + 60_000;
    while (changes < least && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
    return { changes };
  },
};

let number = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const answer = { number: number++ };
  commands[command.do](command)
    .then((ok) => Object.assign(answer, { ok }), (error) => Object.assign(answer, { error: String(error?.message ?? error), code: error?.code }))
    .then(() => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
await client.close();
process.exit(0);
