/**
 * Streams that outlive the token they were opened with: `zerotrust.v1.SessionService`.
 *
 * @module
 */

import type * as grpc from '@grpc/grpc-js';
import { type Denial, deny } from './errors.js';
import { type GuardCall, SESSION_CALL_KEY, unfitFor } from './server-admission.js';
import type { Caller } from './server-peers.js';
import type { ServerPipeline } from './server-pipeline.js';
import type { VerifiedToken } from './token/types.js';
import { type RenewRequest, type RenewResponse, sessionServiceDefinition } from './wire/session.js';

/** Different sets of rights one stream may have been renewed with. */
const MOST_RIGHTS = 8;

/** Serves the session service of `pipeline` on `server`; streams opened from now on can be renewed. */
export function addSessionService(server: grpc.Server, pipeline: ServerPipeline): void {
  server.addService(sessionServiceDefinition, {
    renew(call: grpc.ServerUnaryCall<RenewRequest, RenewResponse>, callback: grpc.sendUnaryData<RenewResponse>) {
      const renewal = call.metadata.getOpaque(SESSION_CALL_KEY) as GuardCall | undefined;
      if (renewal === undefined) {
        callback(new Error('The session service was called around its guard.'));
        return;
      }
      const renewed = renew(pipeline, renewal, call.request.streamId);
      if (typeof renewed === 'number') callback(null, { expiresAt: renewed });
      else renewal.terminate(renewed);
    },
  });
  pipeline.renewable = true;
}

/** When the stream now ends, or why it was not renewed. Rights become what the old and the new token both grant. */
function renew(pipeline: ServerPipeline, renewal: GuardCall, streamId: string): Denial | number {
  const { state } = renewal.connection;
  const stream = state?.streams.get(streamId) as GuardCall | undefined;
  const next = renewal.admission?.caller;
  const admission = stream?.admission;
  if (stream === undefined || admission == null || state === null || next?.token == null) {
    return deny('RESOURCE_NOT_GRANTED', 'no such stream on this connection');
  }
  if (!sameHolder(admission.caller.token, next.token)) {
    return deny('TOKEN_SUBJECT', 'the stream was opened by another holder');
  }
  const denial = unfitFor(admission.rule, next.token, pipeline.clock.now()) ?? pipeline.mayCall(admission.rule, next);
  if (denial !== null) return denial;
  const others = admission.rights.filter((caller) => !sameRights(caller, next));
  if (others.length >= MOST_RIGHTS)
    return deny('RATE_LIMITED', 'the stream was renewed with too many different rights');
  admission.rights = [...others, next];
  admission.bearer = next;
  admission.endsAt = pipeline.endOf(admission.rule, next, state.notAfter, admission.openedAt);
  stream.watchExpiry();
  pipeline.recorder.guard('stream-renewed', { decisionId: stream.decisionId, tokenId: next.token.id });
  return admission.endsAt;
}

function sameHolder(a: VerifiedToken | null, b: VerifiedToken): boolean {
  return (
    a !== null &&
    a.issuer === b.issuer &&
    a.subject === b.subject &&
    a.audience === b.audience &&
    a.clientId === b.clientId &&
    a.transaction === b.transaction &&
    JSON.stringify(a.actors) === JSON.stringify(b.actors)
  );
}

function sameRights(a: Caller, b: Caller): boolean {
  return JSON.stringify(a.principal.grants) === JSON.stringify(b.principal.grants);
}
