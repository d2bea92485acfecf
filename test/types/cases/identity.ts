import type { X509Context, X509Source, X509Svid } from '#dist/identity/types.js';

declare const source: X509Source;
declare const svid: X509Svid;

// One generation is published as a whole.
export const context: X509Context = source.current();
// @ts-expect-error: an identity without the bundles to check others with is half of one
export const half: X509Context = { generation: 1, svid };
// @ts-expect-error: the certificate of a generation does not change
context.svid = svid;
// @ts-expect-error: a trust domain in a bundle is a parsed one
context.bundles.get('acme.example');
