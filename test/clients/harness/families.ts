import type { Client } from './client.js';

/** Clients that are tried together, over one tunnel: each family is a process. */
export const FAMILIES: Readonly<Record<string, () => Promise<{ readonly CLIENTS: readonly Client[] }>>> = {
  databases: () => import('../databases.js'),
  messages: () => import('../messages.js'),
  shells: () => import('../shells.js'),
  web: () => import('../web.js'),
};
