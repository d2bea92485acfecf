import { expect } from 'chai';
import { auditedResources } from '#dist/policy/audited.js';
import type { CompiledCheck } from '#dist/policy/authorizer.js';
import type { MethodRule } from '#dist/policy/types.js';
import { template } from './shapes.js';

const KEY = new Uint8Array(32).fill(7);

function rule(...texts: (string | null)[]): MethodRule {
  const checks = texts.map(
    (text): CompiledCheck => ({
      permission: 'a.b',
      resource: text,
      template: text === null ? null : template(text),
    }),
  );
  return { checks } as unknown as MethodRule;
}

const names = (message: unknown, ...texts: (string | null)[]) =>
  auditedResources(rule(...texts), message, KEY).map(({ resource }) => resource);

describe('policy/audited', () => {
  it('names what a message is about', () => {
    expect(names({ project_id: '7', names: ['a', 'b'] }, 'p/{project_id}/n/{names}', null)).to.deep.equal([
      'p/7/n/a',
      'p/7/n/b',
      null,
    ]);
  });

  it('names nothing where nothing can be read, and never throws', () => {
    const throwing = {
      get project_id(): string {
        throw new Error('no');
      },
    };
    for (const odd of [null, undefined, 7, {}, { project_id: 'a/b' }, { project_id: '' }, throwing]) {
      expect(names(odd, 'p/{project_id}')).to.deep.equal([null]);
    }
  });

  it('hides a sensitive value behind a keyed hash, the same for the same value under the same key', () => {
    const [shown] = names({ by_name: 'secret-name' }, 'w/{by_name}');
    expect(shown).to.match(/^w\/hmac:[A-Za-z0-9_-]{22}$/);
    expect(names({ by_name: 'secret-name' }, 'w/{by_name}')).to.deep.equal([shown]);
    expect(names({ by_name: 'other-name' }, 'w/{by_name}')).to.not.deep.equal([shown]);
    const other = auditedResources(rule('w/{by_name}'), { by_name: 'secret-name' }, new Uint8Array(32));
    expect(other[0]?.resource).to.not.equal(shown);
    expect(names({ project_id: 'plain' }, 'w/{project_id}')).to.deep.equal(['w/plain']);
  });

  it('is bounded, and says how many more there were', () => {
    const many = names({ names: Array.from({ length: 1000 }, (_, i) => `n${i}`) }, 'n/{names}');
    expect(many).to.have.length(17);
    expect(many.at(-1)).to.equal('and 984 more');
    expect(names({ names: Array.from({ length: 16 }, (_, i) => `n${i}`) }, 'n/{names}')).to.have.length(16);
  });
});
