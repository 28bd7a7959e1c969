import fc from 'fast-check';

/**
 * Any code point but a half of a surrogate pair. fast-check has the same as its unit `binary`, but makes a map of all
 * million of them first, which takes seconds in each process.
 */
const codePoint = fc
  .integer({ min: 0, max: 0x10_ffff - 0x800 })
  .map((number) => String.fromCodePoint(number < 0xd800 ? number : number + 0x800));

/** Texts of any code points. @param constraints as for `fc.string` */
export function anyText(constraints: Omit<fc.StringConstraints, 'unit'>): fc.Arbitrary<string> {
  return fc.string({ ...constraints, unit: codePoint });
}
