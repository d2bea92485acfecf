import type { Claims, PeerIdentity, Principal, Resource, ResourceInput, SpiffeId, TrustDomain } from '#dist/call.js';

declare const principal: Principal;
declare const parsed: SpiffeId;
declare const peer: PeerIdentity;
declare const tenant: string;

// A SPIFFE ID comes from parsing, and prints as text.
export const text: string = parsed;
// @ts-expect-error: text that was not parsed is not a SPIFFE ID
export const unparsed: SpiffeId = 'spiffe://acme.example/agents/planner';
// @ts-expect-error: text that was not parsed is not a trust domain
export const domain: TrustDomain = 'acme.example';

// A peer comes from TLS, claims from a verified token: neither can be written down.
export const same: PeerIdentity = peer;
// @ts-expect-error: a peer identity cannot be written as a literal
export const forged: PeerIdentity = {
  spiffeId: parsed,
  trustDomain: peer.trustDomain,
  fingerprint: '',
  serialNumber: '',
  issuer: '',
  notBefore: 0,
  notAfter: 0,
};
// @ts-expect-error: claims cannot be written as a literal
export const claims: Claims = { iss: 'i', sub: 's', aud: 'a', exp: 1 };
// @ts-expect-error: nor can a resource; it is built with the `resource` tag
export const resource: Resource = { segments: ['projects', '7'] };

// A principal is read, never changed.
export const caller: string = principal.subject;
// @ts-expect-error: the subject is readonly
principal.subject = 'spiffe://acme.example/agents/other';
// @ts-expect-error: the grants are readonly
principal.grants.push({ actions: ['tasks.*'], resources: ['**'] });
// @ts-expect-error: on methods that read no token there is none
export const id: string | null = principal.token.id;

// A resource is segments, never concatenated text.
export const allowed: boolean = principal.can('tasks.task.read', ['projects', tenant]);
export const input: ResourceInput = ['projects', tenant];
// @ts-expect-error: concatenated text is not a resource
principal.can('tasks.task.read', `projects/${tenant}`);
// @ts-expect-error: a resource of each item is needed
principal.filter('tasks.task.read', [{ id: '1' }]);
