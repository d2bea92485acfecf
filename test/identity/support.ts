import { expect } from 'chai';
import type { Denial, Reason } from '#dist/errors.js';
import { RefusalError } from '#dist/errors.js';
import { type MintedCertificate, type MintOptions, mintCertificate } from '#dist/testing/index.js';

export const ID = 'spiffe://acme.example/agents/planner';
export const NOW = Date.now();
export const HOUR = 3_600_000;
/** Fixed with `NOW`: however late a test runs, what it mints is valid then. */
const SINCE = { notBefore: NOW - 60_000, notAfter: NOW + HOUR };

/** What an honest CA says. */
export const CA: MintOptions = { ...SINCE, ca: true, keyUsage: ['keyCertSign', 'cRLSign'] };

/** What an honest leaf says. */
export const LEAF: MintOptions = {
  ...SINCE,
  ca: false,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: ['clientAuth', 'serverAuth'],
  uriNames: [ID],
};

export function root(options: MintOptions = {}): MintedCertificate {
  return mintCertificate({ ...CA, subject: { CN: 'root' }, ...options });
}

export function intermediate(issuer: MintedCertificate, name: string, options: MintOptions = {}): MintedCertificate {
  return mintCertificate({ ...CA, issuer, subject: { CN: name }, ...options });
}

export function leaf(issuer: MintedCertificate, options: MintOptions = {}): MintedCertificate {
  return mintCertificate({ ...LEAF, issuer, subject: { CN: 'leaf' }, ...options });
}

/** Without the named options, which `exactOptionalPropertyTypes` does not let one set to undefined. */
export function without(options: MintOptions, ...names: (keyof MintOptions)[]): MintOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name as keyof MintOptions)));
}

export function ders(...certificates: MintedCertificate[]): Uint8Array[] {
  return certificates.map((certificate) => certificate.der);
}

/** Expects a refusal with this reason, whose detail says `about`. */
export function expectRefusal(run: () => unknown, reason: Reason, about: RegExp): void {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, 'refusal').to.be.instanceOf(RefusalError);
  const refusal = thrown as RefusalError;
  expect(`${refusal.reason}: ${refusal.detail}`)
    .to.match(new RegExp(`^${reason}: `))
    .and.to.match(about);
}

/** Expects a denial with this reason, whose detail says `about`. */
export function expectDenial(result: object | null, reason: Reason, about: RegExp): void {
  expect(result, 'denial').to.include.keys('reason', 'detail');
  const denial = result as Denial;
  expect(`${denial.reason}: ${denial.detail}`)
    .to.match(new RegExp(`^${reason}: `))
    .and.to.match(about);
}
