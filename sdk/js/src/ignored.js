// The module in the place of one that a package leaves out of browsers (`"browser": { "fs": false }`).

export const $coinslot_load = () => ({});
