import type { IssuerOptions } from '#dist/token/types.js';

const given = {
  issuer: 'https://issuer.acme.example',
  keys: { keys: [] },
  subjects: ['spiffe://acme.example/**'],
  permits: [{ actions: ['tasks.*'], resources: ['**'] }],
};
const { permits, ...withoutPermits } = given;

export const good: IssuerOptions = { ...given, grants: 'authorization_details' };
export const mapped: IssuerOptions = { ...given, grants: () => permits };

// @ts-expect-error: where the rights of its tokens are written must be said
export const withoutGrants: IssuerOptions = { ...given };
// @ts-expect-error: the ceiling on what it may grant must be said
export const withoutPermit: IssuerOptions = { ...withoutPermits, grants: 'authorization_details' };
// @ts-expect-error: symmetric algorithms cannot be chosen
export const symmetric: IssuerOptions = { ...good, algorithms: ['HS256'] };
// @ts-expect-error: nor can no algorithm at all
export const unsigned: IssuerOptions = { ...good, algorithms: ['none'] };
// @ts-expect-error: leaving the binding undefined is not a way to turn it off
export const unbound: IssuerOptions = { ...good, binding: undefined };

export const svid: IssuerOptions = { ...given, grants: () => permits, profile: 'jwt-svid', binding: null };
// @ts-expect-error: an access token is always bound
export const unboundToken: IssuerOptions = { ...good, profile: 'at+jwt', binding: null };
// @ts-expect-error: which profile is unbound must be said
export const unboundByDefault: IssuerOptions = { ...given, grants: () => permits, binding: null };
