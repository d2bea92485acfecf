/** The authority of the fleet: who gets which certificate and which token. It lives in the launcher, in memory. */

import {
  createTestAuthority,
  type TestAuthority,
  type TestIdentity,
  type TestTokenOptions,
} from 'grpc-zero-trust/testing';
import { agentId, TASKS_ID, TRUST_DOMAIN } from './api.js';
import { type Agent, ON_BEHALF_OF, RIGHTS } from './rights.js';
import type { Briefing } from './workload.js';

/** What an agent asks of the authority. */
export interface Wanted {
  readonly audience: string;
  /** On whose behalf; absent for itself. */
  readonly subject?: Agent;
}

export class FleetAuthority {
  readonly #authority: TestAuthority;
  readonly #identities = new Map<string, TestIdentity>();
  readonly #issued = new Map<Agent, string>();

  private constructor(authority: TestAuthority) {
    this.#authority = authority;
  }

  static async create(): Promise<FleetAuthority> {
    return new FleetAuthority(await createTestAuthority({ trustDomain: TRUST_DOMAIN }));
  }

  /** Certifies a process, and hands it what it must know. */
  async brief(name: 'tasks' | Agent, tasks: string): Promise<Briefing> {
    const identity = await this.#authority.identity(name === 'tasks' ? 'services/tasks' : `agents/${name}`);
    this.#identities.set(name, identity);
    return { identity: identity.export(), tasks, issuer: this.#authority.issuer, jwks: this.#authority.jwks() };
  }

  /** A token for `agent`, who has proven to be that: its own rights, or those it has on behalf of another. */
  async issue(agent: Agent, { audience, subject }: Wanted): Promise<string> {
    if (subject === undefined) {
      const token = await this.tokenFor(agent, { audience });
      this.#issued.set(agent, token);
      return token;
    }
    const delegation = ON_BEHALF_OF.find((entry) => entry.actor === agent && entry.subject === subject);
    if (delegation === undefined) throw new Error(`${agent} may not act on behalf of ${subject}`);
    const { grants } = delegation;
    return this.tokenFor(agent, { audience, grants, subject: agentId(subject), actors: [agentId(agent)] });
  }

  /** Signs a token bound to the certificate of `agent`; `more` makes it an unusual one. */
  tokenFor(agent: Agent, more: Partial<TestTokenOptions> = {}): Promise<string> {
    const boundTo = this.#identities.get(agent);
    if (boundTo === undefined) throw new Error(`${agent} has no certificate yet`);
    return this.#authority.token({ boundTo, audience: TASKS_ID, grants: RIGHTS[agent], ...more });
  }

  /** The token `agent` was given last: what a thief would find in its memory. */
  lastTokenOf(agent: Agent): string {
    return this.#issued.get(agent) ?? '';
  }
}
