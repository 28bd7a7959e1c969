const IPV6_BYTES = 16;

/**
 * The 16 bytes of an IPv6 address.
 *
 * @param text what `isIPv6` of node:net takes, without a zone; it may end as a dotted quad
 */
export function ipv6Bytes(text: string): Uint8Array {
  const [head = '', tail = ''] = text.split('::');
  const bytes = new Uint8Array(IPV6_BYTES);
  bytes.set(groupBytes(head));
  const last = groupBytes(tail);
  bytes.set(last, IPV6_BYTES - last.length);
  return bytes;
}

function groupBytes(groups: string): number[] {
  if (groups === '') return [];
  return groups.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >>> 8, value & 0xff];
  });
}
