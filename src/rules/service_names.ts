/**
 * Ports of services that people share through tunnels, by the names that the services have. Source: IANA, "Service Name
 * and Transport Protocol Port Number Registry", and for the last group each project's documentation. Rules and
 * forwards take numbers only; messages use this table to give the number.
 */
const SERVICE_PORTS: ReadonlyMap<string, number> = new Map([
  ['ssh', 22],
  ['sftp', 22],
  ['scp', 22],
  ['telnet', 23],
  ['smtp', 25],
  ['dns', 53],
  ['domain', 53],
  ['http', 80],
  ['www', 80],
  ['ntp', 123],
  ['smb', 445],
  ['imap', 143],
  ['ldap', 389],
  ['https', 443],
  ['rtsp', 554],
  ['ipp', 631],
  ['cups', 631],
  ['ldaps', 636],
  ['rsync', 873],
  ['imaps', 993],
  ['mqtt', 1883],
  ['nfs', 2049],
  ['mysql', 3306],
  ['mariadb', 3306],
  ['rdp', 3389],
  ['svn', 3690],
  ['postgres', 5432],
  ['postgresql', 5432],
  ['amqp', 5672],
  ['vnc', 5900],
  ['redis', 6379],
  ['irc', 6667],
  ['git', 9418],
  ['docker', 2375],
  ['jupyter', 8888],
  ['elasticsearch', 9200],
  ['minecraft', 25_565],
  ['mongodb', 27_017],
]);

/** Ports on which programs on a developer's machine often listen, besides those of {@link SERVICE_PORTS}. */
const DEVELOPERS_PORTS = [3000, 4200, 5000, 5173, 8000, 8080, 8443, 9229];

/** Ports worth trying on a machine that cannot list the open ones. */
export const USUAL_PORTS: readonly number[] = [...new Set([...SERVICE_PORTS.values(), ...DEVELOPERS_PORTS])];

/** Returns the usual port of a service, in any case; undefined for other words. */
export function portOfService(word: string): number | undefined {
  return SERVICE_PORTS.get(word.toLowerCase());
}

/** Returns the service that usually has the port; undefined if the table has none. */
export function serviceOfPort(port: number): string | undefined {
  for (const [service, usual] of SERVICE_PORTS) if (usual === port) return service;
  return undefined;
}

/** Replaces each service name among the words of a string by its usual port. */
export function withPortNumbers(text: string): string {
  return text.replaceAll(/[a-z][a-z0-9.-]*/gi, (word) => String(portOfService(word) ?? word));
}

/** The scheme of a URL, up to the host, and what follows the host. */
const URL_IN_TEXT = /([a-z][a-z0-9+.-]*):\/\/(\[[^\]]*\]|[^/:\s]*)(?::(\d+))?(?:\/\S*)?$/i;

/**
 * Puts `HOST:PORT` in place of a URL at the end of a string: `http://localhost:3000/x` becomes `localhost:3000`.
 * Returns undefined when there is no URL, or its port is unknown.
 */
export function withoutUrl(text: string): string | undefined {
  const [whole, scheme = '', host = '', written] = URL_IN_TEXT.exec(text) ?? [];
  const port = written ?? portOfService(scheme);
  if (whole === undefined || host === '' || port === undefined) return undefined;
  return `${text.slice(0, -whole.length)}${host}:${port}`;
}
