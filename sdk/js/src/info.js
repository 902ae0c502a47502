// Holds the name and the version of this plugin.

import pkg from 'coinslot:package';

export const info = { name: pkg.name, version: pkg.version, onLoad: undefined };

// The operator's table for this plugin, as messages name it.
export const table = () => `[plugin.${info.name ?? 'NAME'}]`;
