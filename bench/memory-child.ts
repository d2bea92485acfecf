/** Verifies many distinct tokens and says by how much the heap has grown. Needs `--expose-gc`. */

import { createTestAuthority } from 'grpc-zero-trust/testing';
import { createTokenVerifier } from '#dist/token/verifier.js';
import { PERMISSION } from './material.js';

const TOKENS = 4_000;

const gc = (globalThis as { gc?: () => void }).gc;

async function main(): Promise<void> {
  const authority = await createTestAuthority({ trustDomain: 'acme.example' });
  const client = await authority.identity('agents/planner');
  const audience = 'spiffe://acme.example/services/echo';
  const verifier = await createTokenVerifier({
    audience,
    issuers: [
      {
        issuer: authority.issuer,
        keys: authority.keys,
        subjects: ['spiffe://acme.example/**'],
        permits: [{ actions: ['echo.*'], resources: ['**'] }],
        grants: 'authorization_details',
      },
    ],
    unsafeAllowTestAuthority: true,
  });
  const grants = [{ actions: [PERMISSION], resources: ['projects/7/**'] }];
  const remember = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const token = await authority.token({ audience, boundTo: client, grants });
      const verified = await verifier.verify(token, client.spiffeId);
      if ('reason' in verified) throw new Error(`a token was refused: ${verified.reason}`);
    }
  };
  await remember(500);
  const before = used();
  await remember(TOKENS);
  const bytesPerToken = (used() - before) / TOKENS;
  await verifier.close();
  process.send?.({ tokens: TOKENS, bytesPerToken }, () => process.disconnect());
}

function used(): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 4; i++) {
    gc?.();
    const { heapUsed, external } = process.memoryUsage();
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

void main();
