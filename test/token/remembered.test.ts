import { expect } from 'chai';
import { DigestTable } from '#dist/token/digest-table.js';
import { Remembered } from '#dist/token/remembered.js';
import { seeded } from './kit.js';

describe('Remembered', () => {
  const holds = (memory: Remembered<{ expiresAt: number }>, keys: string) =>
    [...keys].filter((key) => memory.recall(key) !== null).join('');

  it('takes from the same owner at its quota, although there is room', () => {
    const memory = new Remembered(100, 2);
    for (const key of 'abcd') memory.remember(key, { expiresAt: 10 }, 'o', 0);
    memory.remember('x', { expiresAt: 10 }, 'p', 0);
    expect(holds(memory, 'abcdx')).to.equal('cdx');
  });

  it('takes from the same owner when full, and from the oldest of all only for who holds nothing', () => {
    const memory = new Remembered(4, 4);
    memory.remember('a', { expiresAt: 10 }, 'first', 0);
    memory.remember('b', { expiresAt: 10 }, 'second', 0);
    for (const key of 'cdef') memory.remember(key, { expiresAt: 10 }, 'third', 0);
    expect(holds(memory, 'abcdef')).to.equal('abef');
    memory.remember('g', { expiresAt: 10 }, 'fourth', 0);
    expect(holds(memory, 'abefg')).to.equal('befg');
    expect(memory.size).to.equal(4);
  });

  it('takes what expired first, whoever held it', () => {
    const memory = new Remembered(3, 3);
    memory.remember('a', { expiresAt: 5 }, 'first', 0);
    memory.remember('b', { expiresAt: 6 }, 'first', 0);
    memory.remember('c', { expiresAt: 9 }, 'second', 0);
    memory.remember('d', { expiresAt: 9 }, 'second', 5);
    expect(holds(memory, 'abcd')).to.equal('bcd');
    memory.remember('e', { expiresAt: 9 }, 'second', 6);
    expect(holds(memory, 'bcde')).to.equal('cde');
  });

  it('takes what expired of the same owner although older entries of others live on', () => {
    const memory = new Remembered(3, 3);
    memory.remember('a', { expiresAt: 9 }, 'first', 0);
    memory.remember('b', { expiresAt: 5 }, 'second', 0);
    memory.remember('c', { expiresAt: 5 }, 'second', 0);
    memory.remember('d', { expiresAt: 9 }, 'second', 5);
    expect(memory.size).to.equal(2);
    expect(holds(memory, 'abcd')).to.equal('ad');
  });

  it('keeps the first of two values under one key', () => {
    const memory = new Remembered(3, 3);
    const value = { expiresAt: 5 };
    memory.remember('a', value, 'o', 0);
    memory.remember('a', { expiresAt: 6 }, 'p', 0);
    expect(memory.recall('a')).to.equal(value);
    expect(memory.size).to.equal(1);
  });
});

describe('DigestTable', () => {
  it('takes expired slots back instead of growing without end', () => {
    const table = new DigestTable();
    const random = seeded(11);
    const digest = () => new Uint32Array(4).map(() => random() * 2 ** 32);
    let peak = 0;
    for (let second = 1; second < 400; second++) {
      for (let i = 0; i < 100; i++) table.add(digest(), second + 10, second);
      if (second === 100) peak = table.byteLength;
    }
    expect(table.byteLength).to.be.at.most(peak * 1.5);
    expect(table.byteLength).to.be.at.most(1000 * 20 * 4);
  });
});
