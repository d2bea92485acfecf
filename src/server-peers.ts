/**
 * What the server guard settles once per connection, and once per token on it, so that calls do not have to.
 *
 * @module
 */

import { safeText } from './audit/text.js';
import type { AuditCaller } from './audit/types.js';
import type { PeerIdentity, Principal } from './call.js';
import type { Denial } from './errors.js';
import { createPrincipal } from './policy/principal.js';
import type { MethodRule } from './policy/types.js';
import type { VerifiedToken } from './token/types.js';
import type { RunningCall } from './transport/connections.js';

/** A caller: this peer with this token. */
export interface Caller {
  readonly token: VerifiedToken | null;
  readonly principal: Principal;
  readonly audit: AuditCaller;
  /** A list of this caller alone. */
  readonly alone: readonly Caller[];
  /** Rules whose callers, delegation and permission this caller passed: nothing in them depends on the call. */
  readonly passed: Set<MethodRule>;
}

/** What is remembered of a connection after its first call. */
export interface PeerState {
  readonly peer: PeerIdentity | null;
  readonly root: string;
  /** When the first certificate of its chain expires; milliseconds since the Unix epoch. */
  notAfter: number;
  /** Why no call is served over this connection. */
  denial: Denial | null;
  /** Whether it takes one of the places of its peer. */
  counted: boolean;
  readonly audit: AuditCaller;
  /** The caller on methods that read no token. */
  anonymous: Caller | null;
  /** The `authorization` value of the last call, which most often is that of the next. */
  lastHeader: unknown;
  lastCaller: Caller | null;
  readonly callers: WeakMap<VerifiedToken, Caller>;
  /** Streams that can be renewed, by their id. */
  readonly streams: Map<string, RunningCall>;
}

/** The state of a connection whose peer is not believed. */
export function refusedPeer(denial: Denial, audit: AuditCaller): PeerState {
  return { ...emptyState(null, '', 0, audit), denial };
}

/** The state of a connection whose peer was authenticated. */
export function acceptedPeer(peer: PeerIdentity, root: string, notAfter: number): PeerState {
  return emptyState(peer, root, notAfter, {
    peer: peer.spiffeId,
    fingerprint: peer.fingerprint,
    serialNumber: peer.serialNumber,
    issuer: null,
    subject: null,
    actors: [],
    tokenId: null,
  });
}

function emptyState(peer: PeerIdentity | null, root: string, notAfter: number, audit: AuditCaller): PeerState {
  return {
    peer,
    root,
    notAfter,
    denial: null,
    counted: false,
    audit,
    anonymous: null,
    lastHeader: null,
    lastCaller: null,
    callers: new WeakMap(),
    streams: new Map(),
  };
}

/** The caller that `token` makes of the peer of a connection; the same one each time. */
export function callerOf(state: PeerState, peer: PeerIdentity, token: VerifiedToken | null): Caller {
  const known = token === null ? state.anonymous : state.callers.get(token);
  if (known !== null && known !== undefined) return known;
  const principal = createPrincipal(peer, token);
  const audit = auditOf(state, token, principal.subject);
  const alone: Caller[] = [];
  const caller: Caller = { token, principal, alone, passed: new Set(), audit };
  alone.push(caller);
  if (token === null) state.anonymous = caller;
  else state.callers.set(token, caller);
  return caller;
}

/** What a record says of a peer and its token. The token is verified, and need not be one that is good for this call. */
export function auditOf(state: PeerState, token: VerifiedToken | null, subject = token?.subject): AuditCaller {
  return {
    ...state.audit,
    issuer: token === null ? null : safeText(token.issuer),
    subject: subject === undefined ? null : safeText(subject),
    actors: token === null ? [] : token.actors.map((actor) => safeText(actor.subject)),
    tokenId: token === null || token.id === null ? null : safeText(token.id),
  };
}
