/**
 * The token profile on its own, without a connection.
 *
 * @module
 */

import type { Claims } from '../call.js';
import { RefusalError } from '../errors.js';
import type { IssuerOptions } from './types.js';
import { compileVerifier } from './verifier.js';

/** Options of {@link verifyToken}. */
export interface VerifyTokenOptions {
  /** Whom to trust, and for what. */
  readonly issuers: readonly IssuerOptions[];
  /** The one value of `aud` that is accepted. */
  readonly audience: string;
  /** Milliseconds since the Unix epoch. Default: the clock of the machine. */
  readonly now?: number;
  /** Accepted difference between clocks. Default and maximum 30. */
  readonly clockToleranceSeconds?: number;
  /**
   * Accepts the keys of the test kit.
   * @deprecated never outside tests
   */
  readonly unsafeAllowTestAuthority?: boolean;
}

/**
 * Verifies a token by the profile of its issuer (RFC 9068 and RFC 8705, or JWT-SVID): encoding, header, signature, claims,
 * lifetime, times, audience, and whether the issuer may say what it says. It is what guards live calls, less the
 * connection.
 *
 * Does *not* check that the presenter holds the certificate the token is bound to (the shape of `cnf` is checked, its value
 * is not), who presents it, revocation, replay, age, or permission. Whoever calls this with a token taken from elsewhere
 * knows what was issued, not who sent it.
 *
 * It reads its configuration each time; to verify many tokens create a guard.
 *
 * @throws RefusalError with the reason
 * @throws ConfigurationError when the options are wrong
 */
export async function verifyToken(compact: string, options: VerifyTokenOptions): Promise<Claims> {
  const { now = Date.now(), ...rest } = options;
  const verifier = compileVerifier({ ...rest, maxRemembered: 0 });
  try {
    await verifier.start();
    const result = await verifier.verify(compact, '');
    if ('reason' in result) throw new RefusalError(result);
    const refused = verifier.checkWithoutPeer(result, now);
    if (refused !== null) throw new RefusalError(refused);
    return result.claims;
  } finally {
    await verifier.close();
  }
}
