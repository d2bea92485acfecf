/**
 * The interceptor of a whole server: calls that arrived through the guarded port pass, all others are refused.
 *
 * @module
 */

import type * as grpc from '@grpc/grpc-js';
import { PRINCIPAL_KEY, type Principal } from '../call.js';
import { type Denial, deny } from '../errors.js';
import { type Admission, type Gate, GuardedCall } from './interceptor.js';

/** What the gate of the guarded port is asked about a call that may have come around it. */
export interface PortGate<P, A extends Admission> extends Gate<P, A> {
  /** Whether this very guard made the principal. */
  made(principal: Principal): boolean;
}

/** Refuses every call that `gate` did not let in. */
export function foreignPortInterceptor<P, A extends Admission>(gate: PortGate<P, A>): grpc.ServerInterceptor {
  const foreign: Gate<P, Admission> = {
    clock: gate.clock,
    decisionTimeoutMs: gate.decisionTimeoutMs,
    messageBytes: null,
    streamIdKey: gate.streamIdKey,
    connectionOf: (call, stream) => gate.connectionOf(call, stream),
    admit(_call, metadata): Admission | Denial {
      // An interceptor between the two guards may have wrapped the call; what the guard left in the metadata tells.
      const principal = metadata.getOpaque(PRINCIPAL_KEY) as Principal | undefined;
      if (principal !== undefined && gate.made(principal)) {
        return { principal, endsAt: Number.POSITIVE_INFINITY, streamId: null };
      }
      return deny(
        'PEER_MISSING',
        'the call arrived through a port that was not opened with the credentials of the guard',
      );
    },
    message: () => null,
    stillAllowed: () => null,
    refusal: (call, denial) => gate.refusal(call as unknown as GuardedCall<P, A>, denial),
    finished(call) {
      // Calls that passed are recorded by the guarded port.
      if (call.admission === null) gate.finished(call as unknown as GuardedCall<P, A>);
    },
    failed: (error) => gate.failed(error),
  };
  return (method, call) =>
    call instanceof GuardedCall && (call as GuardedCall<P, A>).gate === gate
      ? call
      : new GuardedCall(foreign, method, call);
}
