/**
 * No gRPC call trusted by default.
 *
 * Start with {@link createServerGuard} on a server and {@link createClientGuard} on its callers;
 * {@link loadPolicy} reads the annotations, {@link principalOf} tells a handler who is calling.
 *
 * @module
 */

// Server
export { createServerGuard, type Posture, type ServerGuard } from './server-guard.js';
export type { EffectiveLimits, Limits, ServerGuardOptions, ShadowOptions, TokenOptions } from './server-options.js';
export { principalOf } from './call.js';

// Client
export {
  type ClientConstructor,
  type ClientGuard,
  type ClientGuardOptions,
  createClientGuard,
  type GuardedClientOptions,
  type ServerTarget,
} from './client-guard.js';
