/**
 * The test kit, the same one the project tests itself with. Start with {@link createTestAuthority}: it issues
 * identities over real certificates and tokens bound to them, in memory, and can make every kind of wrong ones too.
 * Nothing here is for production, and guards refuse it unless `unsafeAllowTestAuthority: true` is spelled.
 *
 * @module
 */

export { type RecordingAudit, recordingAudit } from './audit.js';
export { createTestAuthority, type TestAuthority, type TestAuthorityOptions } from './authority.js';
export {
  type KeyUsageName,
  type MintedCertificate,
  type MintOptions,
  mintCertificate,
  type NameConstraint,
  type RawExtension,
} from './certificates.js';
export { createFakeClock, type FakeClock } from './clock.js';
export type { ExportedIdentity, TestIdentity, TestIdentityOptions } from './identity.js';
export { createKeyPair, type KeyKind, type KeyPair } from './keys.js';
export { staticToken } from './static-token.js';
export type { TestTokenOptions } from './token.js';
export { signJwt, type TokenKey } from './token-key.js';
