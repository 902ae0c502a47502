// Reads stacks of the engine, and keeps the frames that an author wrote: neither the SDK's nor the engine's own.

// A frame is `    at name (/plugin.ts:41:9)`, or `    at /plugin.ts:41:9`.
const FRAME = /^\s*at (?:(.*?) \()?(.*?)(?::(\d+))?(?::(\d+))?\)?$/;

// Modules of CommonJS, with the columns of the wrapper that stand before their first line.
const wrappers = new Map();

export const markCommonJs = (file, before) => wrappers.set(file, before);

function frames(stack) {
  return String(stack ?? '')
    .split('\n')
    .map((line) => FRAME.exec(line))
    .filter(Boolean)
    .map(([, name, file, line, column]) => ({ name, file, line, column: inFile(file, line, column) }));
}

function inFile(file, line, column) {
  return line === '1' && column && wrappers.has(file) ? String(Math.max(column - wrappers.get(file), 1)) : column;
}

const MOST_FRAMES = 1000;

// The folder of the SDK, as the engine names its modules.
const sdk = (frames(new Error().stack)[0]?.file ?? '').replace(/[^/]*$/, '');

// The builder adds functions to modules of CommonJS, and puts the module itself into this one.
const BODY = '$coinslot_body';

const isOwn = ({ name, file }) =>
  (sdk !== '' && file.startsWith(sdk)) || file.startsWith('coinslot:') || (/^\$coinslot_/.test(name) && name !== BODY);

function text({ name, file, line, column }) {
  const place = [file.replace(/^file:\/\//, ''), line, column].filter(Boolean).join(':');
  return name && !/^<.*>$/.test(name) && name !== BODY ? `at ${name} (${place})` : `at ${place}`;
}

// The frames of the author, the innermost first, as `at handler (plugin.ts:41:9)`.
export function authorFrames(error) {
  return frames(error?.stack)
    .filter((frame) => frame.line !== undefined && !isOwn(frame) && !frame.file.startsWith('node:'))
    .map(text);
}

// The author's frames as the engine writes the stack of an error.
export function authorStack(error) {
  return authorFrames(error)
    .map((frame) => `    ${frame}\n`)
    .join('');
}

// The package that is evaluated, if no function of the author's calls it: the author cannot move what it calls.
// Modules of ECMAScript are evaluated one after another, and those of CommonJS within the one that requires them.
export function loadingPackage() {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = MOST_FRAMES;
  const all = frames(new Error().stack);
  Error.stackTraceLimit = stackTraceLimit;
  const end = all.findIndex(({ name }) => name === '$coinslot_evaluate');
  const inner = all.slice(0, end < 0 ? undefined : end).filter((frame) => frame.line !== undefined && !isOwn(frame));
  const isKnown = inner.length > 0 && all.length < MOST_FRAMES;
  if (!isKnown || !inner.every(({ file }) => file.includes('node_modules/'))) return undefined;
  return /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(inner[0].file)?.[1];
}

// The author's place of the call that is being made, as `plugin.ts:41:9`.
export function callSite() {
  const [frame] = authorFrames(new Error());
  return frame?.replace(/^at (?:.* \()?/, '').replace(/\)$/, '');
}

const headOf = (error) => {
  const name = String(error.name ?? 'Error');
  return error.message === '' ? name : `${name}: ${error.message}`;
};

// An error as a log shows it: its name and message, and the author's frames below.
export function stackOf(error) {
  return [headOf(error), ...authorFrames(error).map((frame) => `    ${frame}`)].join('\n');
}

const FRAMES = 8;

// An error in one line with its innermost frame, and further frames below.
export function failureText(error) {
  if (!(error instanceof Error)) return `threw ${typeof error === 'string' ? JSON.stringify(error) : String(error)}`;
  const [first, ...more] = authorFrames(error);
  let out = first ? `${headOf(error)} ${first}` : headOf(error);
  for (const frame of more.slice(0, FRAMES)) out += `\n    ${frame}`;
  if (error.cause instanceof Error) out += `\n  caused by ${failureText(error.cause)}`;
  return out;
}
