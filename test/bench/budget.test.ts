import { expect } from 'chai';
import { measureDecision } from '../../bench/decision.js';
import { measureMemory } from '../../bench/memory.js';

/**
 * What can be held on a machine whose speed nobody knows: the guard's own work on a call with a known token in units of
 * one ES256 verification, and bytes per entry. The figures to reach are lower; these leave room for a busy machine.
 */
describe('bench: the budget of a call', function () {
  this.timeout(120_000);

  it('a known token costs a small part of one signature verification, its audit line included', async () => {
    const { decisionInVerifies, auditedInVerifies } = await measureDecision(15);
    expect(decisionInVerifies.median).to.be.greaterThan(0).and.lessThan(0.12);
    expect(auditedInVerifies.median).to.be.greaterThan(decisionInVerifies.min).and.lessThan(0.3);
  });

  it('a remembered token takes less than a kilobyte', async () => {
    const { tokens, bytesPerToken } = await measureMemory();
    expect(tokens).to.be.greaterThan(1_000);
    expect(bytesPerToken).to.be.greaterThan(50).and.lessThan(1_000);
  });
});
