import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Reporter, type Verbosity } from '../../src/cli/output/reporter.js';
import { FileOutput, isReaderGone } from '../../src/cli/process/output_stream.js';
import { CliBench, TextSink } from '../support/cli_bench.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const full = (): Error =>
  Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });

/** A disk with `room` bytes left that takes at most `most` bytes per write. */
class Disk {
  text = '';
  room: number;
  readonly #most: number;

  constructor(room: number, most = Number.POSITIVE_INFINITY) {
    this.room = room;
    this.#most = most;
  }

  readonly write = (bytes: Uint8Array): number => {
    const count = Math.min(bytes.length, this.room, this.#most);
    if (count === 0) throw full();
    this.room -= count;
    this.text += Buffer.from(bytes.subarray(0, count)).toString();
    return count;
  };
}

function outputOn(disk: Disk): FileOutput & { failure?: Error } {
  const output: FileOutput & { failure?: Error } = new FileOutput(disk.write);
  output.on('error', (error) => {
    output.failure = error;
  });
  return output;
}

const JSON_ONLY: Verbosity = { json: true, verbose: 0, quiet: false };
const FOR_PEOPLE: Verbosity = { json: false, verbose: 0, quiet: false };
const clocks = { timers: new VirtualTimers(), wallClock: (): Date => new Date('2026-01-02T03:04:05.678Z') };
const waiting = (message: string) => ({ event: 'waiting', message }) as const;

describe('output to a file', () => {
  test('is complete although each write takes only a part', () => {
    const disk = new Disk(1000, 3);
    const output = outputOn(disk);
    output.write('ten bytes\n');
    output.write('more');
    assert.equal(disk.text, 'ten bytes\nmore');
  });

  test('fails when the disk takes only a part of the last block, which Node’s own stream misses', async () => {
    const output = outputOn(new Disk(5));
    await assert.rejects(
      new Promise((resolve, reject) =>
        output.end('too long', (error?: Error | null) => (error ? reject(error) : resolve(0))),
      ),
      /ENOSPC/,
    );
    assert.match(String(output.failure), /ENOSPC/);
  });

  test('a write that writes 0 bytes without an error is a failure, not an endless loop', () => {
    const output = new FileOutput(() => 0);
    assert.match(String(output.tryLine('x\n')), /nothing more can be written/);
  });

  test('a line that does not fit leaves the stream usable, and the next one starts on a new line', () => {
    const disk = new Disk(8);
    const output = outputOn(disk);
    assert.equal(output.tryLine('one\n'), undefined);
    assert.match(String(output.tryLine('second\n')), /ENOSPC/);
    assert.match(String(output.tryLine('third\n')), /ENOSPC/);
    disk.room = 100;
    assert.equal(output.tryLine('fourth\n'), undefined);
    assert.equal(output.tryLine('fifth\n'), undefined);
    assert.equal(disk.text, 'one\nseco\nfourth\nfifth\n');
    assert.equal(output.failure, undefined);
  });

  test('a file has no reader that can go away: EIO means a closed terminal, or a failing disk', () => {
    const error = Object.assign(new Error('EIO'), { code: 'EIO' });
    assert.equal(isReaderGone(error, new TextSink()), true);
    assert.equal(isReaderGone(error, new FileOutput(() => 1)), false);
    assert.equal(isReaderGone(full(), new TextSink()), false);
  });
});

describe('events as a log on a full disk', () => {
  test('are dropped and counted; one line reports the loss, and another its end', () => {
    const disk = new Disk(0);
    const people = new TextSink();
    const reporter = new Reporter(outputOn(disk), people, JSON_ONLY, clocks);
    reporter.logEvents();
    for (let number = 0; number < 3; number++) reporter.event(waiting(String(number)));
    assert.deepEqual(people.lines, [
      'tox-wasm-tunnel: dropping events until standard output can be written again: ENOSPC: no space left on device, write',
    ]);
    disk.room = 10_000;
    reporter.event(waiting('there is room'));
    reporter.event(waiting('and more'));
    const [dropped, ...events] = disk.text
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    const time = clocks.wallClock().toISOString();
    assert.deepEqual(dropped, {
      event: 'dropped',
      time,
      count: 3,
      message: 'ENOSPC: no space left on device, write',
    });
    assert.deepEqual(events, [
      { event: 'waiting', time, message: 'there is room' },
      { event: 'waiting', time, message: 'and more' },
    ]);
    assert.equal(people.lines.at(-1), 'tox-wasm-tunnel: writing events again; 3 were dropped');
    disk.room = 0;
    reporter.event(waiting('full again'));
    assert.equal(people.lines.length, 3, 'a second failure is reported again');
  });

  test('an error goes to stderr when stdout cannot be written', () => {
    const people = new TextSink();
    const reporter = new Reporter(outputOn(new Disk(0)), people, JSON_ONLY, clocks);
    reporter.error(new Error('it broke'));
    assert.deepEqual(people.lines, ['tox-wasm-tunnel: it broke']);
  });

  test('lines for people are counted too, and a failure neither throws nor ends the command', () => {
    const disk = new Disk(0);
    const stderr = outputOn(disk);
    const reporter = new Reporter(new TextSink(), stderr, FOR_PEOPLE, clocks);
    reporter.people('one');
    reporter.error(new Error('two'));
    reporter.people('three');
    disk.room = 1000;
    reporter.people('four');
    assert.equal(disk.text, '3 lines are missing here: ENOSPC: no space left on device, write\nfour\n');
    assert.equal(stderr.failure, undefined);
  });

  test('when both disks are full, only lines are lost', () => {
    const [stdout, stderr] = [new Disk(0), new Disk(0)];
    const reporter = new Reporter(outputOn(stdout), outputOn(stderr), JSON_ONLY, clocks);
    reporter.logEvents();
    reporter.event(waiting('1'));
    reporter.error(new Error('2'));
    stdout.room = stderr.room = 1000;
    reporter.event(waiting('3'));
    assert.match(stdout.text, /"dropped".*"count":2.*\n.*"3"/);
    assert.match(stderr.text, /^2 lines are missing here/);
  });
});

describe('a command whose output cannot be written', () => {
  for (const args of [
    ['id'],
    ['id', '--json'],
    ['ticket'],
    ['ticket', '--json'],
    ['completion', 'bash'],
    ['nodes'],
    ['--help'],
    ['--version'],
    ['service', 'install', '--print', '--', '--expose', '22'],
  ]) {
    test(`${args.join(' ')} exits with 1 and one line`, async () => {
      const bench = new CliBench();
      bench.stdout.failure = full();
      assert.equal(await bench.run(...args), 1);
      const told = bench.stderr.lines.filter((line) => line.startsWith('tox-wasm-tunnel: '));
      assert.equal(told.length, 1);
      assert.match(
        told[0] ?? '',
        /output could not be written: standard output: the disk is full \(ENOSPC\); free some space.*incomplete/,
      );
    });

    test(`${args.join(' ')} exits quietly and as usual when its reader stops reading`, async () => {
      const bench = new CliBench();
      bench.stdout.failure = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
      assert.equal(await bench.run(...args), 0);
      assert.doesNotMatch(bench.stderr.text, /EPIPE|could not be written/);
    });
  }

  test('reports the failure by its exit code when nothing can be written', async () => {
    const bench = new CliBench();
    bench.stdout.failure = full();
    bench.stderr.failure = full();
    assert.equal(await bench.run('ticket'), 1);
  });

  test('the line of node is its result, not a log: node exits with 1 when it cannot be written', async () => {
    const bench = new CliBench();
    bench.stdout.failure = full();
    assert.equal(await bench.run('node', '--ephemeral'), 1);
    assert.equal(bench.tunnel.closes, 1);
    assert.match(bench.stderr.text, /standard output: the disk is full \(ENOSPC\)/);
  });

  test('a result is never dropped for its length', async () => {
    const sink = new TextSink();
    const reporter = new Reporter(sink, new TextSink(), FOR_PEOPLE, clocks);
    const text = 'x'.repeat(3 * 1024 * 1024);
    reporter.result(text);
    assert.equal(sink.text, `${text}\n`);
    const programs = new TextSink();
    new Reporter(programs, new TextSink(), JSON_ONLY, clocks).event(waiting(text));
    assert.equal(programs.events.length, 1);
  });
});

test('--hide-ticket prints everything but the ticket, in words and as events', async () => {
  for (const more of [[], ['--json', '-vvv']]) {
    const bench = new CliBench();
    const { ended } = await bench.start(
      /Listening|started/,
      'listen',
      '--expose',
      '22',
      '--hide-ticket',
      ...more,
    );
    bench.tunnel.node.emit('online', { path: 'udp' });
    bench.signal('SIGTERM');
    assert.equal(await ended, 0);
    const said = bench.stdout.text + bench.stderr.text;
    assert.match(said, /TICKET 22/);
    assert.match(said, /Joined|"ready"/);
    assert.doesNotMatch(said, /twt1/);
  }
  const both = new CliBench();
  assert.equal(await both.run('listen', '--expose', '22', '--hide-ticket', '--qr'), 2);
  assert.match(both.stderr.text, /the code is the ticket/);
});
