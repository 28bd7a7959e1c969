import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type IpAddress, inSubnet, parseAddress } from '../../src/core/ip.js';
import { embeddedIpv4, isSpecial } from '../../src/core/special_addresses.js';
import { AllowRules } from '../../src/rules/allow.js';
import { parseExposeSpec } from '../../src/rules/expose.js';

// These tests read and write addresses in their own way, as text and as big integers.

function address(text: string): IpAddress {
  const read = parseAddress(text);
  assert.ok(read !== undefined, text);
  return read;
}

const quadText = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.');

function ipv6(value: bigint): IpAddress {
  const digits = value.toString(16).padStart(32, '0');
  return address(digits.match(/.{4}/g)?.join(':') ?? '');
}

/** The networks whose addresses need a rule that means them. */
const SPECIAL_IPV4: ReadonlyArray<readonly [first: string, bits: number]> = [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['192.0.0.192', 32],
];

const quadValue = (text: string): number =>
  text.split('.').reduce((value, byte) => value * 256 + Number(byte), 0);

const specialIpv4 = fc
  .constantFrom(...SPECIAL_IPV4)
  .chain(([first, bits]) => fc.nat(2 ** (32 - bits) - 1).map((offset) => quadValue(first) + offset));

const ordinaryIpv4 = fc.nat(0xffff_ffff).filter((value) => {
  const read = address(quadText(value));
  return !SPECIAL_IPV4.some(([first, bits]) => inSubnet(read, address(first), bits));
});

/** Every way to carry an IPv4 address, as the value of the IPv6 address. `other` fills the bits that are free. */
type Embed = (value: number, other: bigint) => bigint;
const low = (value: number | bigint): bigint => BigInt(value);
const EMBEDDINGS: Readonly<Record<string, Embed>> = {
  mapped: (value) => (0xffffn << 32n) | low(value),
  compatible: (value) => low(value),
  SIIT: (value) => (0xffff_0000n << 32n) | low(value),
  'NAT64 64:ff9b::/96': (value) => (0x64_ff9bn << 96n) | low(value),
  // RFC 6052, section 2.2: 16 or 8 bits before the free byte, and the rest after it; or all of them after it.
  'NAT64 64:ff9b:1::/48': (value) =>
    (0x64_ff9b_0001n << 80n) | (low(value >>> 16) << 64n) | (low(value & 0xffff) << 40n),
  'NAT64 64:ff9b:1:0::/56': (value) =>
    (0x64_ff9b_0001n << 80n) | (low(value >>> 24) << 64n) | (low(value & 0xff_ffff) << 32n),
  'NAT64 64:ff9b:1:0::/64': (value) => (0x64_ff9b_0001n << 80n) | (low(value) << 24n),
  'NAT64 64:ff9b:1::/96': (value) => (0x64_ff9b_0001n << 80n) | low(value),
  '6to4': (value, other) => (0x2002n << 112n) | (low(value) << 80n) | (other & ((1n << 80n) - 1n)),
  'Teredo client': (value) => (0x2001n << 112n) | (0x0808_0808n << 64n) | low((value ^ 0xffff_ffff) >>> 0),
  'Teredo server': (value, other) =>
    (0x2001n << 112n) | (low(value) << 64n) | (other & 0xffff_ffffn & ~(0xffn << 24n)),
  ISATAP: (value, other) =>
    (0x2a00n << 112n) | (((other >> 64n) & 0xffff_ffffn) << 64n) | (0x5efen << 32n) | low(value),
  'ISATAP, globally unique': (value) => (0x2a00n << 112n) | (0x0200_5efen << 32n) | low(value),
};

const anyBits = fc.bigInt(0n, (1n << 128n) - 1n);
const wide = new AllowRules(
  ['*:80', '0.0.0.0/0:80', '[::/0]:80', '[2000::/3]:80', 'x.example:80'].map(parseExposeSpec),
);

function opens(rules: AllowRules, target: IpAddress): boolean {
  const named = { kind: 'name', name: 'x.example' } as const;
  const itself = { kind: 'address', address: target } as const;
  return rules.permits(itself, target, 80) || rules.permits(named, target, 80);
}

for (const [form, embed] of Object.entries(EMBEDDINGS)) {
  // An address of a site's own NAT64 has several readings, and is closed when any of them is special.
  const isAmbiguous = /\/(?:48|56|64)$/.test(form);
  test(`no wildcard, wide network or name opens a special IPv4 address inside of ${form}`, () => {
    fc.assert(
      fc.property(specialIpv4, anyBits, (value, other) => {
        // 0.0.0.0/8 leads nowhere behind a gateway, and cannot be told from the zeros of another reading.
        fc.pre(!isAmbiguous || value >= 2 ** 24);
        const target = ipv6(embed(value, other));
        assert.ok(isSpecial(target), target.text);
        assert.equal(opens(wide, target), false, target.text);
      }),
    );
  });

  test(`a wildcard opens an ordinary IPv4 address inside of ${form}`, () => {
    fc.assert(
      fc.property(ordinaryIpv4, (value) => {
        const target = ipv6(embed(value, 0x0808_0808n));
        if (!isAmbiguous)
          assert.equal(opens(wide, target), true, `${target.text} carries ${quadText(value)}`);
        if (target.family === 6)
          assert.ok(
            embeddedIpv4(target).some(({ text }) => text === quadText(value)),
            target.text,
          );
      }),
    );
  });

  test(`a rule for the address itself opens a special IPv4 address inside of ${form}, where one can be dialled`, () => {
    fc.assert(
      fc.property(specialIpv4, anyBits, (value, other) => {
        const target = ipv6(embed(value, other));
        const text = target.family === 6 ? `[${target.text}]` : target.text;
        const rules = new AllowRules([parseExposeSpec(`${text}:80`)]);
        const isUndiallable = target.family === 4 && /^(?:0|22[4-9]|23\d|255)\./.test(target.text);
        assert.equal(opens(rules, target), !isUndiallable && target.text !== '::', text);
      }),
    );
  });
}

for (const text of [
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  '169.254.42.42',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
  'fd00:42::42',
  'fd00:c1::a9fe:a9fe',
  'fd00:100::100:200',
  'fd00:a9fe:a9fe::1',
  'fe80::a9fe:a9fe',
  'fe80::1',
  '127.0.0.1',
  '::1',
]) {
  test(`only a rule for ${text} opens ${text}`, () => {
    const target = address(text);
    const bits = target.bytes.length * 8;
    assert.equal(opens(wide, target), false);
    const written = target.family === 6 ? `[${text}]` : text;
    assert.equal(opens(new AllowRules([parseExposeSpec(`${written}:80`)]), target), true);
    // A network that holds more than the special one does not mean it.
    for (let prefixBits = 0; prefixBits < 7; prefixBits++) {
      const network = { kind: 'subnet', network: target, prefixBits } as const;
      const rules = new AllowRules([{ host: network, ports: [{ from: 1, to: 0xffff }] }]);
      assert.equal(opens(rules, target), false, `${text}/${prefixBits} of ${bits}`);
    }
  });
}
