/** Forged tokens: each differs from an honest one in what its name says, and is signed with the honest key where it can be. */

import { sign } from 'node:crypto';
import { expect } from 'chai';
import type { Reason } from 'grpc-zero-trust';
import { signJwt, type TokenKey } from 'grpc-zero-trust/testing';
import { expectRefused, served } from './calls.js';
import type { Fixture } from './fixture.js';
import { whoAmI } from './impostor.js';

export type Members = Record<string, unknown>;

/** An honest token taken apart, and what is needed to put it together again in another way. */
export interface Mould {
  readonly fixture: Fixture;
  /** The key of the issuer, which the guard knows. */
  readonly key: TokenKey;
  readonly honest: string;
  readonly header: Members;
  readonly claims: Members;
  /** Signed with the honest key: the header and claims of the honest token with these put over them; `undefined` removes. */
  signed(header?: Members, claims?: Members): string;
  /** Signed with the honest key: these very bytes. */
  signedBytes(header: string | Uint8Array, payload: string | Uint8Array): string;
}

/** A forgery: its name, the reason it must be refused for, and how it is made. */
export type Forgery = readonly [name: string, reason: Reason, forge: (mould: Mould) => string | Promise<string>];

export async function mould(fixture: Fixture): Promise<Mould> {
  const key = fixture.authority.tokenKey;
  const honest = await fixture.token();
  const [header, claims] = honest
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Members) as [Members, Members];
  return {
    fixture,
    key,
    honest,
    header,
    claims,
    signed: (otherHeader = {}, otherClaims = {}) =>
      signJwt(key, { ...header, ...otherHeader }, { ...claims, ...otherClaims }),
    signedBytes(headerBytes, payload) {
      const input = `${base64url(headerBytes)}.${base64url(payload)}`;
      return `${input}.${ecdsa(key, input).toString('base64url')}`;
    },
  };
}

export function base64url(bytes: string | Uint8Array): string {
  return Buffer.from(bytes as Uint8Array).toString('base64url');
}

/** ES256 as JOSE writes it: r and s. */
export function ecdsa(key: TokenKey, input: string): Buffer {
  return sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
}

const UNVERIFIED: ReadonlySet<Reason> = new Set([
  'TOKEN_MALFORMED',
  'TOKEN_TYPE',
  'TOKEN_ALGORITHM',
  'TOKEN_KEY_UNKNOWN',
  'TOKEN_SIGNATURE',
  'TOKEN_ISSUER',
]);

/**
 * A test for each forgery: it is refused for exactly this reason, no handler runs, nothing in it is recorded as fact, and
 * the honest token is served over the very same connection, before and after.
 */
export function refuses(fixture: () => Fixture, forgeries: readonly Forgery[]): void {
  for (const [name, reason, forge] of forgeries) {
    it(`${name}: ${reason}`, async () => {
      const server = fixture();
      const made = await mould(server);
      const client = server.raw(server.planner);
      served(await whoAmI(client, made.honest));
      server.seen.calls.length = 0;
      const forged = await forge(made);
      const event = await expectRefused(server, await whoAmI(client, forged), reason);
      expect(server.seen.calls, 'a handler ran').to.deep.equal([]);
      if (UNVERIFIED.has(reason))
        expect([event.issuer, event.subject, event.tokenId]).to.deep.equal([null, null, null]);
      // A second time nothing is different: a refusal is not remembered as anything else.
      await expectRefused(server, await whoAmI(client, forged), reason);
      expect(served(await whoAmI(client, made.honest)).subject).to.equal(server.planner.spiffeId);
      client.close();
    });
  }
}

/** A test for each: it looks odd and is served all the same, so that refusing everything odd cannot pass. */
export function accepts(
  fixture: () => Fixture,
  tokens: readonly (readonly [name: string, make: (made: Mould) => string | Promise<string>])[],
): void {
  for (const [name, make] of tokens) {
    it(`${name}: served`, async () => {
      const server = fixture();
      const client = server.raw(server.planner);
      expect(served(await whoAmI(client, await make(await mould(server)))).subject).to.equal(server.planner.spiffeId);
      client.close();
    });
  }
}
