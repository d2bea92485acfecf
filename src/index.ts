/**
 * No gRPC call trusted by default.
 *
 * Start with {@link createServerGuard} on a server and {@link createClientGuard} on its callers; {@link loadPolicy}
 * reads the annotations, {@link principalOf} tells a handler who is calling.
 *
 * @module
 */

// Audit
export { type PinoAuditOptions, pinoAudit } from './audit/pino-sink.js';
export type { AuditCaller, AuditEvent, AuditSink, DecisionEvent, GuardEvent } from './audit/types.js';
// Handlers
export {
  type Actor,
  type CallWithMetadata,
  type Claims,
  type Grant,
  type PeerIdentity,
  type Principal,
  type PrincipalToken,
  principalOf,
  type Resource,
  type ResourceInput,
  type SpiffeId,
  type SpiffeIdText,
  type TrustDomain,
} from './call.js';
// Client
export {
  type ClientGuard,
  type ClientGuardOptions,
  createClientGuard,
  type GuardedClientOptions,
  refusalOf,
  type ServerTarget,
} from './client-guard.js';
// Ground
export { type Clock, systemClock } from './clock.js';
// Refusals and mistakes
export {
  ConfigurationError,
  type Denial,
  type Problem,
  REASONS,
  type Reason,
  type ReasonEntry,
  RefusalError,
} from './errors.js';
// Layers, each the function that guards live calls
export { type ChainOptions, verifyChain } from './identity/chain.js';
// Identity
export { type FileIdentity, type FileIdentityOptions, fileIdentity } from './identity/file-identity.js';
export { type PeerRole, peerIdentityOf } from './identity/leaf.js';
export { parseSpiffeId } from './identity/spiffe-id.js';
export { type StaticIdentityOptions, staticIdentity } from './identity/static-identity.js';
export type { TrustBundles, X509Context, X509Source, X509SourceStatus, X509Svid } from './identity/types.js';
export type { Closeable } from './lifecycle.js';
export type { SubjectPattern } from './pattern.js';
export { decide } from './policy/authorizer.js';
export type { BuiltinPolicies, BuiltinPolicy } from './policy/builtin.js';
export { loadPolicy, type PolicySource } from './policy/load.js';
export { resource } from './policy/resource.js';
export type {
  AccessMode,
  AuditedResource,
  CheckRule,
  Decision,
  DecisionRequest,
  MethodRule,
  Policy,
} from './policy/types.js';
// Server
export { createServerGuard, type Posture, type ServerGuard } from './server-guard.js';
export type { EffectiveLimits, Limits, ServerGuardOptions, ShadowOptions, TokenOptions } from './server-options.js';
export { fileTokens, TokenSourceError } from './token/file-tokens.js';
// Keys, replay, revocation
export { type FileJwks, type FileJwksOptions, fileJwks, staticJwks } from './token/jwks-sources.js';
export { type JwsHeader, type VerifiedJws, type VerifyJwsOptions, verifyJws } from './token/jws.js';
export { createReplayStore, type MemoryReplayStore, type ReplayStoreOptions } from './token/replay.js';
export {
  createRevocations,
  type RevocationEntry,
  type Revocations,
  type RevocationsOptions,
} from './token/revocations.js';
export type {
  AccessTokenIssuerOptions,
  AnyIssuerOptions,
  ClaimResult,
  IssuerOptions,
  IssuerPosture,
  JwksSource,
  JwtSvidIssuerOptions,
  ReplayStore,
  RevocationSnapshot,
  RevocationSource,
  SignatureAlgorithm,
  TokenProfile,
  TokenRequest,
  TokenSource,
  VerifiedToken,
} from './token/types.js';
export { type VerifyTokenOptions, verifyToken } from './token/verify-token.js';
export type { ClientConstructor } from './transport/channel.js';
export type { RefusalInfo } from './wire/status.js';
