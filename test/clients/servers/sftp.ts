/** A small SFTP server that keeps its files in memory. Source: version 3 of the SFTP draft, which ssh2 speaks. */
import ssh2, { type SFTPWrapper } from 'ssh2';

const { STATUS_CODE } = ssh2.utils.sftp;

/** Serves a subsystem. @param files by their paths, for all connections */
export function serveSftp(sftp: SFTPWrapper, files: Map<string, Buffer>): void {
  const handles = new Map<number, string>();
  let opened = 0;
  const pathOf = (handle: Buffer): string => handles.get(handle.readUInt32BE(0)) ?? '';
  const attributes = (path: string) => ({
    mode: 0o100644,
    uid: 0,
    gid: 0,
    size: files.get(path)?.length ?? 0,
    atime: 0,
    mtime: 0,
  });
  sftp.on('error', () => {});
  sftp.on('OPEN', (id, path, flags) => {
    const handle = Buffer.alloc(4);
    handle.writeUInt32BE(++opened);
    handles.set(opened, path);
    if (flags & ssh2.utils.sftp.OPEN_MODE.TRUNC) files.set(path, Buffer.alloc(0));
    sftp.handle(id, handle);
  });
  sftp.on('WRITE', (id, handle, offset, data) => {
    const path = pathOf(handle);
    const old = files.get(path) ?? Buffer.alloc(0);
    const grown = old.length < offset + data.length ? Buffer.concat([old], offset + data.length) : old;
    data.copy(grown, offset);
    files.set(path, grown);
    sftp.status(id, STATUS_CODE.OK);
  });
  sftp.on('READ', (id, handle, offset, length) => {
    const piece = (files.get(pathOf(handle)) ?? Buffer.alloc(0)).subarray(offset, offset + length);
    if (piece.length === 0) sftp.status(id, STATUS_CODE.EOF);
    else sftp.data(id, piece);
  });
  sftp.on('FSTAT', (id, handle) => sftp.attrs(id, attributes(pathOf(handle))));
  sftp.on('STAT', (id, path) => sftp.attrs(id, attributes(path)));
  sftp.on('FSETSTAT', (id) => sftp.status(id, STATUS_CODE.OK));
  sftp.on('CLOSE', (id, handle) => {
    handles.delete(handle.readUInt32BE(0));
    sftp.status(id, STATUS_CODE.OK);
  });
}
