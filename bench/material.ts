/** The service, and what its servers and clients need to know: made once, sent to the other processes as text. */

import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';
import { createTestAuthority, type ExportedIdentity } from 'grpc-zero-trust/testing';
import type { JSONWebKeySet } from 'jose';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const PROTO = `${root}bench/proto/bench/v1/bench.proto`;
export const INCLUDE_DIRS = [`${root}bench/proto`, `${root}proto`];
export const METHOD = '/bench.v1.EchoService/Echo';
export const PERMISSION = 'echo.text.send';
/** Longer than any run. */
const LIFETIME_SECONDS = 7_200;

/** Survives JSON. Holds private keys, made for this run. */
export interface Material {
  readonly issuer: string;
  readonly jwks: JSONWebKeySet;
  readonly serverId: string;
  readonly clientId: string;
  readonly server: ExportedIdentity;
  readonly client: ExportedIdentity;
  readonly bundle: string;
  readonly token: string;
  readonly maxLifetimeSeconds: number;
}

export interface EchoRequest {
  readonly project_id: string;
  readonly text_id: string;
  readonly data: Buffer;
}

/** What the load generator sends, and what the in-process measurements read. */
export const REQUEST: EchoRequest = { project_id: '7', text_id: 'a1b2c3', data: Buffer.alloc(100, 'x') };

export async function createMaterial(): Promise<Material> {
  const authority = await createTestAuthority({ trustDomain: 'acme.example' });
  const server = await authority.identity('services/echo', { lifetimeSeconds: LIFETIME_SECONDS });
  const client = await authority.identity('agents/planner', { lifetimeSeconds: LIFETIME_SECONDS });
  const token = await authority.token({
    audience: server.spiffeId,
    boundTo: client,
    lifetimeSeconds: LIFETIME_SECONDS,
    grants: [{ actions: [PERMISSION], resources: ['projects/7/**'] }],
  });
  return {
    issuer: authority.issuer,
    jwks: authority.jwks(),
    serverId: server.spiffeId,
    clientId: client.spiffeId,
    server: server.export(),
    client: client.export(),
    bundle: authority.bundle(),
    token,
    maxLifetimeSeconds: LIFETIME_SECONDS,
  };
}

const loaded = loader.loadSync(PROTO, { includeDirs: INCLUDE_DIRS, keepCase: true, longs: String });
const packages = grpc.loadPackageDefinition(loaded) as unknown as {
  bench: { v1: { EchoService: grpc.ServiceClientConstructor } };
};

export const EchoService = packages.bench.v1.EchoService.service;

export const handlers: grpc.UntypedServiceImplementation = {
  Echo(call: grpc.ServerUnaryCall<EchoRequest, { data: Buffer }>, callback: grpc.sendUnaryData<{ data: Buffer }>) {
    callback(null, { data: call.request.data });
  },
};
