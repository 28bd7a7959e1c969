/** Record types of RFC 1035, section 3.2.2. */
const TYPE_A = 1;
const TYPE_TXT = 16;
const HEADER_BYTES = 12;
const TXT_CHUNK_BYTES = 250;

/**
 * Builds the answer of a small name server: 192.0.2.7 for an address query; for a text query, as many letters
 * as the first label of the name says (`4000.test`). It handles one question, and neither errors nor EDNS.
 */
export function dnsAnswer(query: Buffer): Buffer {
  let at = HEADER_BYTES;
  const firstLabel = query.toString('latin1', at + 1, at + 1 + (query[at] ?? 0));
  while ((query[at] ?? 0) > 0) at += 1 + (query[at] ?? 0);
  const type = query.readUInt16BE(at + 1);
  const question = query.subarray(HEADER_BYTES, at + 5);
  const data = type === TYPE_A ? Buffer.from([192, 0, 2, 7]) : text(Number(firstLabel));
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  // An authoritative answer, with recursion as requested.
  header.writeUInt16BE(0x8480 | (query.readUInt16BE(2) & 0x0100), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 6);
  const record = Buffer.alloc(12);
  // Repeats the name of the question.
  record.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  record.writeUInt16BE(type === TYPE_A ? TYPE_A : TYPE_TXT, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt16BE(data.length, 10);
  return Buffer.concat([header, question, record, data]);
}

function text(letters: number): Buffer {
  const chunks: Buffer[] = [];
  for (let left = letters; left > 0; left -= TXT_CHUNK_BYTES) {
    const chunk = Buffer.alloc(Math.min(left, TXT_CHUNK_BYTES), 'x');
    chunks.push(Buffer.from([chunk.length]), chunk);
  }
  return Buffer.concat(chunks);
}
