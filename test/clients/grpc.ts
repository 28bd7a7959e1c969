/** grpc-js: a client over a local forward, and a server that listens on no port. */
import assert from 'node:assert/strict';
import * as grpc from '@grpc/grpc-js';
import { pattern } from '../support/pattern.js';
import type { Client } from './harness/client.js';

const asIs = (bytes: Buffer): Buffer => bytes;
const coding = {
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};
/** A service without a .proto file: its messages are bytes. */
const SERVICE = {
  echo: { path: '/test.Echo/Echo', requestStream: true, responseStream: true, ...coding },
  held: { path: '/test.Echo/Held', requestStream: false, responseStream: false, ...coding },
} as const;

const MESSAGES = 40;
const MESSAGE_BYTES = 65_536;

export function grpcClient(): Client {
  const target = { host: 'grpc.lan', port: 50_051 };
  return {
    name: 'grpc-js',
    whenLost: 'error',
    serve: (far, hold) => {
      const server = new grpc.Server();
      server.addService(SERVICE, {
        echo: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
          call.on('error', () => {});
          call.on('data', (message: Buffer) => void call.write(message)).on('end', () => call.end());
        },
        held: (_call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) =>
          void hold.pass().then(() => answer(null, Buffer.from('done'))),
      });
      const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
      far.offer({ ...target, allowHalfOpen: true }, (stream) => injector.injectConnection(stream));
      far.atEnd(() => server.forceShutdown());
    },
    open: async (tunnel) => {
      // It takes no stream, but the address of a local forward.
      const { local } = await tunnel.forward(`127.0.0.1:0:${target.host}:${target.port}`);
      const options = { 'grpc.initial_reconnect_backoff_ms': 200, 'grpc.max_reconnect_backoff_ms': 500 };
      const client = new grpc.Client(local, grpc.credentials.createInsecure(), options);
      return {
        work: async () => {
          await new Promise<void>((resolve, reject) => {
            client.waitForReady(Number.POSITIVE_INFINITY, (error) => (error ? reject(error) : resolve()));
          });
          const call = client.makeBidiStreamRequest(SERVICE.echo.path, asIs, asIs);
          const sent = Array.from({ length: MESSAGES }, (_, index) =>
            pattern(`grpc ${index}`, MESSAGE_BYTES),
          );
          const received: Buffer[] = [];
          await new Promise<void>((resolve, reject) => {
            call.on('data', (message: Buffer) => received.push(message));
            call.on('error', reject).on('end', resolve);
            for (const message of sent) call.write(message);
            call.end();
          });
          assert.ok(Buffer.concat(received).equals(Buffer.concat(sent)));
        },
        jobs: () =>
          Array.from(
            { length: 3 },
            () =>
              new Promise<void>((resolve, reject) => {
                client.makeUnaryRequest(SERVICE.held.path, asIs, asIs, Buffer.of(1), (error) =>
                  error ? reject(error) : resolve(),
                );
              }),
          ),
        close: () => client.close(),
      };
    },
  };
}
