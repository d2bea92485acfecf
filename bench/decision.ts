/**
 * The guard's own work on a call with a known token, measured in this process: the interceptor is driven over a base call
 * that does nothing, with and without the guard, and the difference is told in units of one ES256 verification. CPU time,
 * not time by the clock: other processes do not count.
 */

import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { type AuditSink, pinoAudit, type ServerGuard } from 'grpc-zero-trust';
import { createMaterial, EchoService, type Material, METHOD, REQUEST } from './material.js';
import { type Spread, spread } from './statistics.js';
import { createGuard } from './variants.js';

export interface DecisionCost {
  /** One `crypto.verify` of an ES256 signature over a token. */
  readonly verifyMicros: number;
  /** Everything the guard does, the audit event included, with a sink that drops it. */
  readonly decisionInVerifies: Spread;
  /** The same with a line handed to pino. */
  readonly auditedInVerifies: Spread;
}

type Listener = Parameters<grpc.ServerInterceptingCallInterface['start']>[0];
type Call = grpc.ServerInterceptingCallInterface;

const CALLS = 4_000;
const VERIFICATIONS = 150;
const NO_SINK: AuditSink = { write() {}, close: async () => {} };

/** @param rounds of 4,000 calls each */
export async function measureDecision(rounds: number): Promise<DecisionCost> {
  const material = await createMaterial();
  const folder = await mkdtemp(join(tmpdir(), 'decision-'));
  const sink = pinoAudit({ destination: join(folder, 'audit.log') });
  const guard = await createGuard(material, NO_SINK);
  const audited = await createGuard(material, sink);
  const session = fakeSession(material);
  const plain = (call: Call): Call => call;
  const verification = verifier(material.token);
  const costs = { decision: [] as number[], audited: [] as number[], verify: [] as number[] };
  try {
    for (const one of [guard, audited]) await warm(one, session, material);
    const ways = { plain, guarded: interceptorOf(guard), audited: interceptorOf(audited) };
    const warmUp = 5;
    for (let round = -warmUp; round < rounds; round++) {
      // Let pino write, outside of what is measured: the hand-over is what a call waits for.
      await turn();
      await turn();
      const base = cpu(() => calls(ways.plain, session, material));
      const guarded = cpu(() => calls(ways.guarded, session, material));
      const lines = cpu(() => calls(ways.audited, session, material));
      const verified = cpu(() => verification(VERIFICATIONS)) / VERIFICATIONS;
      if (round < 0) continue;
      costs.verify.push(verified);
      costs.decision.push((guarded - base) / CALLS / verified);
      costs.audited.push((lines - base) / CALLS / verified);
    }
  } finally {
    await guard.close();
    await audited.close();
    await sink.close();
    await rm(folder, { recursive: true });
  }
  return {
    verifyMicros: spread(costs.verify).median,
    decisionInVerifies: spread(costs.decision),
    auditedInVerifies: spread(costs.audited),
  };
}

/** CPU time of this process, microseconds. */
function cpu(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

const definition: grpc.ServerMethodDefinition<unknown, unknown> = {
  path: METHOD,
  requestStream: false,
  responseStream: false,
  requestDeserialize: (bytes) => EchoService['Echo']?.requestDeserialize(bytes),
  responseSerialize: (value) => EchoService['Echo']?.responseSerialize(value) ?? Buffer.alloc(0),
};

function interceptorOf({ credentials, interceptor }: ServerGuard): (call: Call) => Call {
  const [own] = credentials._getInterceptors();
  if (own === undefined) throw new Error('the credentials carry no interceptor');
  return (call) => interceptor(definition, own(definition, call));
}

/** What grpc-js does with a unary call, as far as an interceptor sees it. */
class BaseCall {
  readonly stream: unknown;
  readonly maxReceiveMessageSize = 4 * 1024 * 1024;
  readonly decoder = { maxReadMessageLength: 4 * 1024 * 1024 };
  listener: Listener | null = null;
  code: number | null = null;

  constructor(session: unknown) {
    this.stream = { session, close() {}, closed: false, destroyed: false };
  }
  start(listener: Listener): void {
    this.listener = listener;
  }
  startRead(): void {}
  sendMetadata(): void {}
  sendMessage(_message: unknown, callback: () => void): void {
    callback();
  }
  sendStatus(status: { code: number }): void {
    this.code = status.code;
  }
  getPeer(): string {
    return 'nobody';
  }
}

function drive(intercept: (call: Call) => Call, session: unknown, material: Material): BaseCall {
  const base = new BaseCall(session);
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${material.token}`);
  const call = intercept(base as unknown as Call);
  let request: unknown = null;
  call.start({
    onReceiveMetadata: () => call.startRead(),
    onReceiveMessage(message) {
      request = message;
      call.startRead();
    },
    onReceiveHalfClose() {
      if (request === null) return;
      call.sendMessage(request, () => call.sendStatus({ code: grpc.status.OK, details: 'OK', metadata: null }));
    },
    onCancel: () => {},
  });
  base.listener?.onReceiveMetadata(metadata);
  base.listener?.onReceiveMessage(REQUEST);
  base.listener?.onReceiveHalfClose();
  base.listener?.onCancel();
  return base;
}

function calls(intercept: (call: Call) => Call, session: unknown, material: Material): void {
  for (let i = 0; i < CALLS; i++) {
    const { code } = drive(intercept, session, material);
    if (code !== grpc.status.OK) throw new Error(`a call ended with status ${code}`);
  }
}

/** The first call waits for the signature; those after it do not. */
async function warm(guard: ServerGuard, session: unknown, material: Material): Promise<void> {
  const intercept = interceptorOf(guard);
  while (drive(intercept, session, material).code !== grpc.status.OK) await turn();
}

/** A connection of the client, as far as the guard looks at it. */
function fakeSession({ client, bundle }: Material): EventEmitter {
  const certificate = (pem: string, issuerCertificate?: unknown): object => {
    const raw = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    return { raw, fingerprint256: raw.toString('hex'), issuerCertificate };
  };
  const chain = certificate(client.certificate, certificate(bundle));
  const socket = { authorized: true, getPeerX509Certificate: () => undefined, getPeerCertificate: () => chain };
  return Object.assign(new EventEmitter(), { socket });
}

/** Verifies the signature of a token of the same length again and again. */
function verifier(token: string): (times: number) => void {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const input = Buffer.from(token.slice(0, token.lastIndexOf('.')));
  const how = (key: KeyObject) => ({ key, dsaEncoding: 'ieee-p1363' as const });
  const signature = sign('sha256', input, how(privateKey));
  const key = how(createPublicKey(privateKey));
  return (times) => {
    for (let i = 0; i < times; i++) {
      if (!verify('sha256', input, key, signature)) throw new Error('a signature did not verify');
    }
  };
}
