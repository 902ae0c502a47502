// The resolve hook of Node for the SDK's specifiers.

const SDK = new URL('../../src/', import.meta.url).href;
const SUPPORT = new URL('./', import.meta.url).href;

const KNOWN = {
  coinslot: `${SDK}coinslot.js`,
  'coinslot/test': `${SDK}test.js`,
  'coinslot:exports': `${SDK}exports.js`,
  'coinslot:test-exports': `${SDK}test-exports.js`,
  // A test declares its endpoints itself.
  'coinslot:entry': 'data:text/javascript,',
  'coinslot:package': 'data:text/javascript,export default { name: "quote-of-day", version: "1.2.3" }',
};

export async function resolve(specifier, context, next) {
  if (Object.hasOwn(KNOWN, specifier)) return { url: KNOWN[specifier], shortCircuit: true };
  const isHost = context.parentURL?.startsWith(SDK) && /(^|\/)host\.js$/.test(specifier);
  if (isHost) return { url: `${SUPPORT}host.js`, shortCircuit: true };
  return next(specifier, context);
}
