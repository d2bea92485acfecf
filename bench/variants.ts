/** The servers that are compared. */

import * as grpc from '@grpc/grpc-js';
import { createServerGuard, loadPolicy, pinoAudit, staticIdentity } from 'grpc-zero-trust';
import { handWrittenInterceptor } from './hand-written.js';
import { INCLUDE_DIRS, type Material, PROTO } from './material.js';

export type Variant = 'bare' | 'guarded' | 'guarded without audit' | 'hand-written' | 'hand-written, caching';

export interface Opened {
  readonly credentials: grpc.ServerCredentials;
  readonly interceptors: grpc.ServerInterceptor[];
}

/** @param auditFile where the guarded server writes its audit lines */
export async function open(variant: Variant, material: Material, auditFile: string): Promise<Opened> {
  switch (variant) {
    case 'bare':
      return { credentials: mutualTls(material), interceptors: [] };
    case 'hand-written':
      return { credentials: mutualTls(material), interceptors: [handWrittenInterceptor(material, false)] };
    case 'hand-written, caching':
      return { credentials: mutualTls(material), interceptors: [handWrittenInterceptor(material, true)] };
    default: {
      const guard = await createGuard(
        material,
        variant === 'guarded' ? pinoAudit({ destination: auditFile }) : { write() {}, close: async () => {} },
      );
      return { credentials: guard.credentials, interceptors: [guard.interceptor] };
    }
  }
}

/** A guard with everything on. */
export async function createGuard(
  material: Material,
  audit: NonNullable<Parameters<typeof createServerGuard>[0]['audit']>,
): ReturnType<typeof createServerGuard> {
  return createServerGuard({
    identity: await staticIdentity(material.server),
    policy: await loadPolicy({ protos: [PROTO], includeDirs: INCLUDE_DIRS }),
    tokens: {
      issuers: [
        {
          issuer: material.issuer,
          keys: material.jwks,
          subjects: ['spiffe://acme.example/**'],
          permits: [{ actions: ['echo.*'], resources: ['**'] }],
          grants: 'authorization_details',
          maxLifetimeSeconds: material.maxLifetimeSeconds,
        },
      ],
    },
    audit,
    unsafeAllowTestAuthority: true,
  });
}

function mutualTls({ bundle, server }: Material): grpc.ServerCredentials {
  const pair = { cert_chain: Buffer.from(server.certificate), private_key: Buffer.from(server.privateKey) };
  return grpc.ServerCredentials.createSsl(Buffer.from(bundle), [pair], true);
}
