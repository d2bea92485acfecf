/**
 * The guard's own work on a call with a known token, in units of one ES256 signature verification: what can be held on a
 * machine whose speed nobody knows.
 *
 * @module
 */

import { generateKeyPairSync, sign, verify } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { type AuditSink, createServerGuard, loadPolicy, pinoAudit } from 'grpc-zero-trust';
import { createTestAuthority } from 'grpc-zero-trust/testing';
import { INCLUDE_DIRS, PROTO, SERVER_ID } from './service.js';

/** Costs in units of one `crypto.verify` (ES256). */
export interface OwnWork {
  /** All the guard does about a call, but for handing its record to a sink. */
  readonly decision: number;
  /** The same, with the record handed to pino. */
  readonly withAudit: number;
}

type Listener = Parameters<grpc.ServerInterceptingCallInterface['start']>[0];

const METHOD = '/fixture.v1.TaskService/GetTask';
const MESSAGE = { project_id: '7', task_id: '1' };

/** Measures in short rounds that alternate with rounds of verifications; the medians of their ratios. */
export async function ownWork(rounds = 21, calls = 2_000): Promise<OwnWork> {
  const none: AuditSink = { write() {}, close: async () => {} };
  const pino = pinoAudit({ destination: '/dev/null' });
  const [decision, withAudit] = [await driver(none), await driver(pino)];
  const verification = verifier();
  const ratios: [number[], number[]] = [[], []];
  for (let round = -3; round < rounds; round++) {
    const own = [await decision(calls), await withAudit(calls)];
    const unit = verification(Math.ceil(calls / 20));
    // The first rounds warm up.
    if (round < 0) continue;
    for (const [index, cost] of own.entries()) ratios[index]?.push(cost / unit);
  }
  await pino.close();
  return { decision: median(ratios[0]), withAudit: median(ratios[1]) };
}

/** The middle value. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function verifier(): (times: number) => number {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const text = Buffer.alloc(600, 'a');
  const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
  const signature = sign('sha256', text, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return (times) => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < times; i++) if (!verify('sha256', text, key, signature)) throw new Error('not verified');
    return Number(process.hrtime.bigint() - start) / times;
  };
}

/** A guard whose calls come from no socket: each is driven through the interceptor of its credentials by hand. */
async function driver(audit: AuditSink): Promise<(calls: number) => Promise<number>> {
  const authority = await createTestAuthority({ trustDomain: 'acme.example' });
  const planner = await authority.identity('agents/planner');
  const grants = [{ type: 'zerotrust', actions: ['tasks.task.read'], resources: ['projects/7/tasks/**'] }];
  const token = await authority.token({ audience: SERVER_ID, boundTo: planner, subject: planner.spiffeId, grants });
  const guard = await createServerGuard({
    identity: await authority.identity('services/tasks'),
    policy: await loadPolicy({ protos: [PROTO], includeDirs: INCLUDE_DIRS }),
    tokens: {
      issuers: [
        {
          issuer: authority.issuer,
          keys: authority.jwks(),
          subjects: ['spiffe://acme.example/**'],
          permits: [{ actions: ['tasks.*'], resources: ['**'] }],
          grants: 'authorization_details',
        },
      ],
    },
    audit,
    unsafeAllowTestAuthority: true,
  });
  const [interceptor] = guard.credentials._getInterceptors();
  if (interceptor === undefined) throw new Error('the credentials have no interceptor');
  const [leaf] = planner.current().svid.chain;
  const socket = {
    authorized: true,
    getPeerX509Certificate: () => undefined,
    getPeerCertificate: () => ({ raw: leaf, fingerprint256: 'leaf' }),
  };
  const session = { socket, once() {}, destroyed: false };
  const method = { path: METHOD, requestStream: false, responseStream: false } as grpc.ServerMethodDefinition<
    unknown,
    unknown
  >;

  return async (calls) => {
    let spent = 0n;
    for (let i = 0; i < calls; i++) {
      const metadata = new grpc.Metadata();
      metadata.set('authorization', `Bearer ${token}`);
      let answered = false;
      const base = baseCall(session, () => {
        answered = true;
      });
      const handler = handlerListener();
      const start = process.hrtime.bigint();
      const call = interceptor(method, base.call);
      call.start(handler);
      base.listener().onReceiveMetadata(metadata);
      // The first call verifies its token, which takes a turn or two of the event loop.
      if (i === 0) await handler.admitted;
      base.listener().onReceiveMessage(MESSAGE);
      base.listener().onReceiveHalfClose();
      call.sendMessage(MESSAGE, () => {});
      call.sendStatus({ code: 0, details: 'OK' });
      base.listener().onCancel();
      if (i > 0) spent += process.hrtime.bigint() - start;
      if (!answered || handler.messages !== 1) throw new Error('the call was not let through');
    }
    return Number(spent) / (calls - 1);
  };
}

function handlerListener(): Listener & { messages: number; admitted: Promise<void> } {
  let admit = (): void => {};
  return {
    messages: 0,
    admitted: new Promise((resolve) => {
      admit = resolve;
    }),
    onReceiveMetadata() {
      admit();
    },
    onReceiveMessage() {
      this.messages += 1;
    },
    onReceiveHalfClose() {},
    onCancel() {},
  };
}

function baseCall(
  session: object,
  onStatus: () => void,
): { call: grpc.ServerInterceptingCallInterface; listener: () => Listener } {
  let listener: Listener | null = null;
  const call = {
    stream: { session, close() {} },
    start(next: Listener) {
      listener = next;
    },
    sendMetadata() {},
    sendMessage() {},
    sendStatus: onStatus,
  };
  return {
    call: call as unknown as grpc.ServerInterceptingCallInterface,
    listener: () => listener as unknown as Listener,
  };
}
