/** Rounded to a tenth: milliseconds as people and programs are told them. */
export function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
