import {
  type ClientGuardOptions,
  createClientGuard,
  createServerGuard,
  decide,
  type Policy,
  type ServerGuardOptions,
  type TokenSource,
  verifyJws,
  type X509Source,
} from 'grpc-zero-trust';

declare const identity: X509Source;
declare const policy: Policy;
declare const tokens: TokenSource;
declare const name: string;

export const off: ServerGuardOptions = { identity, policy, tokens: null };
// @ts-expect-error: that no tokens are read must be spelled
export const silent: ServerGuardOptions = { identity, policy };
// @ts-expect-error: a guard without a policy
export const open: ServerGuardOptions = { identity, tokens: null };
declare const flag: boolean;
const given = { identity, policy, tokens: null };
// @ts-expect-error: the test authority is allowed or not mentioned
export const unclear: ServerGuardOptions = { ...given, unsafeAllowTestAuthority: flag };
// @ts-expect-error: an option that does not exist
export const misspelt: ServerGuardOptions = { identity, policy, tokens: null, shadows: {} };
// @ts-expect-error: shadow without an end
export const forever: ServerGuardOptions = { identity, policy, tokens: null, shadow: { methods: [] } };

export const client: ClientGuardOptions = { identity, tokens };
// @ts-expect-error: that no tokens are sent must be spelled
export const tokenless: ClientGuardOptions = { identity };

export async function targets(): Promise<void> {
  const guard = await createClientGuard(client);
  guard.credentialsFor({ server: 'spiffe://acme.example/services/tasks' });
  // @ts-expect-error: a host name is not the identity of a server
  guard.credentialsFor({ server: 'tasks.acme.example' });
  // @ts-expect-error: nor is any text
  guard.credentialsFor({ server: name });
  // @ts-expect-error: the identity of the server must be said
  guard.credentialsFor({});
  const server = await createServerGuard(off);
  // @ts-expect-error: what is enforced is read, never changed
  server.policy = policy;
  // @ts-expect-error: a principal cannot be written down
  decide(policy, { subject: name, grants: [] }, { method: '/p.S/M' });
  // @ts-expect-error: the algorithms must be said
  await verifyJws(name, { keys: { keys: [] } });
}
