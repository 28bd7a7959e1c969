import { renderUnicodeCompact } from 'uqr';

/** Draws a ticket as a QR code for a terminal with light text on a dark background. Returns its lines. */
export function qrCode(ticket: string): string[] {
  // Tickets ignore case, and QR codes store upper case more densely.
  return renderUnicodeCompact(ticket.toUpperCase(), { ecc: 'L', border: 2 }).split('\n');
}
