/** Servers from Debian packages, on the loopback, with private files. */
import { spawn } from 'node:child_process';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { LineProcess } from './line_process.js';
import { freePort, LOOPBACK_HOST, listenOnLoopback } from './loopback.js';
import { postgresProgram } from './programs.js';
import { runProgram } from './run_program.js';
import type { TempFolder } from './temp_folder.js';

/** A server that listens. */
export interface Service {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

async function serve(command: readonly string[], port: number, ready: RegExp): Promise<Service> {
  const [program = '', ...args] = command;
  const process = new LineProcess(program, args);
  await process.line(ready);
  return { port, stop: () => process.stop() };
}

/** Runs a program that must succeed. @returns its standard output */
export async function mustRun(command: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runProgram(command, args);
  if (exitCode !== 0)
    throw new Error(`${command} ${args.join(' ')}: exit code ${exitCode}\n${stdout}${stderr}`);
  return stdout;
}

/** A database cluster with a user `tester` that trusts everybody. PostgreSQL refuses to run as root. */
export async function startPostgres(folder: TempFolder): Promise<Service> {
  const data = folder.file('postgres');
  mkdirSync(data, { mode: 0o700 });
  let drop: string[] = [];
  if (process.getuid?.() === 0) {
    drop = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'];
    const [uid, gid] = [await mustRun('id', '-u', 'postgres'), await mustRun('id', '-g', 'postgres')];
    for (const path of [folder.path, data]) chownSync(path, Number(uid), Number(gid));
  }
  const [program = '', ...args] = [
    ...drop,
    ...[postgresProgram('initdb'), '-D', data, '-U', 'tester', '--auth=trust', '--no-sync', '--locale=C'],
  ];
  await mustRun(program, ...args);
  const port = await freePort();
  const settings = ['fsync=off', `listen_addresses=${LOOPBACK_HOST}`, `unix_socket_directories=${data}`];
  return await serve(
    [
      ...drop,
      ...[postgresProgram('postgres'), '-D', data, '-p', String(port)],
      ...settings.flatMap((setting) => ['-c', setting]),
    ],
    port,
    /ready to accept connections/,
  );
}

export async function startRedis(folder: TempFolder): Promise<Service> {
  const port = await freePort();
  const args = ['--port', String(port), '--bind', LOOPBACK_HOST, '--save', '', '--dir', folder.path];
  return await serve(['redis-server', ...args], port, /Ready to accept connections/);
}

/** Serves the files in `root`. */
export async function startNginx(folder: TempFolder, root: string): Promise<Service> {
  const port = await freePort();
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const config = `
    daemon off;
    pid ${folder.file('nginx.pid')};
    error_log stderr notice;
    worker_processes 1;
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    events { worker_connections 256; }
    http {
      access_log off;
      ${places.map((place) => `${place}_temp_path ${folder.file(place)};`).join(' ')}
      server { listen ${LOOPBACK_HOST}:${port}; root ${root}; }
    }`;
  writeFileSync(folder.file('nginx.conf'), config);
  const args = ['-e', 'stderr', '-p', folder.path, '-c', folder.file('nginx.conf')];
  return await serve(['/usr/sbin/nginx', ...args], port, /start worker process/);
}

/**
 * Serves `root` as the module `files`, for reading and writing. Each connection gets a process, as under
 * inetd.
 */
export async function startRsync(folder: TempFolder, root: string): Promise<Service> {
  const owner = process.getuid?.() === 0 ? 'uid = root\ngid = root\n' : '';
  const config = folder.file('rsyncd.conf');
  writeFileSync(config, `use chroot = no\n${owner}[files]\npath = ${root}\nread only = no\n`);
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    spawn('rsync', ['--daemon', `--config=${config}`], { stdio: [socket, socket, 'ignore'] });
    socket.destroy(); // ours; the child has its own
  });
  const port = await listenOnLoopback(server);
  return {
    port,
    stop: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An HTTP proxy for CONNECT to any port, for clients that know the password. */
export async function startTinyproxy(folder: TempFolder, user: string, password: string): Promise<Service> {
  const port = await freePort();
  const config = [
    `Port ${port}`,
    `Listen ${LOOPBACK_HOST}`,
    `Allow ${LOOPBACK_HOST}`,
    `BasicAuth ${user} ${password}`,
    'LogLevel Info',
    '',
  ];
  writeFileSync(folder.file('tinyproxy.conf'), config.join('\n'));
  return await serve(['tinyproxy', '-d', '-c', folder.file('tinyproxy.conf')], port, /Accepting connections/);
}

/** Serves the repositories in `root` for fetching and pushing. */
export async function startGit(root: string): Promise<Service> {
  const port = await freePort();
  const args = ['daemon', `--listen=${LOOPBACK_HOST}`, `--port=${port}`, `--base-path=${root}`];
  const what = ['--export-all', '--enable=receive-pack', '--verbose', root];
  return await serve(['git', ...args, ...what], port, /Ready to rumble/);
}
