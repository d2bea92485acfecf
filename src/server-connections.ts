/**
 * The connections of one server guard: who they are from, how many each peer has, and which must be closed when
 * revocations or trust change.
 *
 * @module
 */

import { type Recorder, UNKNOWN_CALLER } from './audit/recorder.js';
import type { PeerIdentity } from './call.js';
import type { Clock } from './clock.js';
import { type Denial, deny } from './errors.js';
import { authenticatePeer } from './identity/authenticate.js';
import type { X509Context } from './identity/types.js';
import { acceptedPeer, type PeerState, refusedPeer } from './server-peers.js';
import type { RevocationSource } from './token/types.js';
import { type Connection, Connections, closeConnection } from './transport/connections.js';

/** What {@link ServerConnections} is made of. */
export interface ServerConnectionsParts {
  readonly clock: Clock;
  readonly identity: () => X509Context;
  readonly revocations: RevocationSource;
  readonly recorder: Recorder;
  readonly connectionsPerPeer: number;
  readonly allowTestAuthority: boolean;
}

/** Knows the peer of every connection; settles it at the first call. */
export class ServerConnections {
  readonly live: Connections<PeerState>;
  readonly #parts: ServerConnectionsParts;
  readonly #perPeer = new Map<string, number>();

  constructor(parts: ServerConnectionsParts) {
    this.#parts = parts;
    this.live = new Connections((connection) => this.#left(connection));
  }

  /** Who is at the other end of a connection that made no call yet. A peer that is not believed is never served. */
  meet(connection: Connection<PeerState>, now: number): PeerState {
    const { recorder } = this.#parts;
    const state = this.#authenticate(connection, now);
    state.denial ??= this.#room(state);
    if (state.denial !== null) {
      const { reason, detail } = state.denial;
      recorder.guard('connection-refused', { reason, detail, peer: state.audit.peer });
    }
    return state;
  }

  /**
   * Why nothing is served over a connection; `null` when calls are. One that was too many for its peer is looked at
   * again: others may have gone meanwhile, and trust may have changed.
   */
  standing(connection: Connection<PeerState>, state: PeerState, now: number): Denial | null {
    if (state.denial?.reason === 'RATE_LIMITED') {
      state.denial = this.#room(state) ?? this.#authenticate(connection, now).denial;
    }
    return state.denial;
  }

  /** Revocations changed: connections of revoked peers are closed, calls with revoked tokens end. */
  reconsider(): void {
    for (const connection of this.live) {
      const { state } = connection;
      if (state === null || state.peer === null) continue;
      if (this.#revoked(state.peer, state.root)) this.close(connection, peerRevoked());
      else for (const call of connection.calls) call.reconsider();
    }
  }

  /** Trust changed: connections whose chain no longer leads to an authority we trust are closed. */
  retrust(): void {
    const now = this.#parts.clock.now();
    for (const connection of this.live) {
      const { state } = connection;
      if (state === null || state.denial !== null) continue;
      const { denial } = this.#authenticate(connection, now);
      if (denial !== null) this.close(connection, denial);
    }
  }

  /** Ends what runs over a connection and closes it; nothing is served over it any more. */
  close(connection: Connection<PeerState>, denial: Denial): void {
    const { state } = connection;
    if (state !== null) {
      state.denial = denial;
      const { peer, fingerprint } = state.audit;
      this.#parts.recorder.guard('connection-closed', { peer, fingerprint, reason: denial.reason });
    }
    closeConnection(connection, denial);
  }

  #authenticate(connection: Connection<PeerState>, now: number): PeerState {
    if (connection.chain.length === 0) {
      return refusedPeer(deny('PEER_MISSING', 'the connection has no verified client certificate'), UNKNOWN_CALLER);
    }
    const { identity, allowTestAuthority } = this.#parts;
    const met = authenticatePeer(connection.chain, identity().bundles, { now, role: 'client' });
    if ('reason' in met) return refusedPeer(met, UNKNOWN_CALLER);
    const state = acceptedPeer(met.peer, met.root, met.notAfter);
    if (met.testAuthority && !allowTestAuthority) {
      state.denial = deny('PEER_UNTRUSTED', 'the chain leads to an authority of the test kit');
    }
    return state;
  }

  /** A source that fails here is asked again for each call, and ends those it cannot answer for. */
  #revoked(peer: PeerIdentity, root: string): boolean {
    try {
      return this.#parts.revocations.current().peerRevoked(peer, root);
    } catch {
      return false;
    }
  }

  /** Takes one of the places its peer has. */
  #room(state: PeerState): Denial | null {
    if (state.peer === null) return null;
    const { spiffeId } = state.peer;
    const open = this.#perPeer.get(spiffeId) ?? 0;
    if (open >= this.#parts.connectionsPerPeer) return deny('RATE_LIMITED', 'too many connections of this peer');
    this.#perPeer.set(spiffeId, open + 1);
    state.counted = true;
    return null;
  }

  #left({ state }: Connection<PeerState>): void {
    if (state === null || state.peer === null || !state.counted) return;
    const { spiffeId } = state.peer;
    const open = (this.#perPeer.get(spiffeId) ?? 1) - 1;
    if (open > 0) this.#perPeer.set(spiffeId, open);
    else this.#perPeer.delete(spiffeId);
  }
}

/** The refusal of a peer that was revoked. */
export function peerRevoked(): Denial {
  return deny('PEER_REVOKED', 'the certificate or identity of the peer is revoked');
}
