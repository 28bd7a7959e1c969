import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/** The network interfaces of this machine, by name. */
export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** Undefined when the system cannot tell: it needs a descriptor and memory for that. */
export function interfacesNow(read: () => Interfaces = networkInterfaces): Interfaces | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
