import { renderUnicodeCompact } from 'uqr';

/** A ticket as a QR code, for a terminal with light text on dark; lines without their ends. */
export function qrCode(ticket: string): string[] {
  // Upper case goes into the denser alphabet of QR codes, and a ticket is the same in either case.
  return renderUnicodeCompact(ticket.toUpperCase(), { ecc: 'L', border: 2 }).split('\n');
}
